"""Who is compared over time, and whose scans that leaves out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from fibromorph.postprocessing.stats.change.covariates import etiv_of_people
from fibromorph.postprocessing.stats.people.flow import some_of
from fibromorph.postprocessing.stats.people.study import SMALLEST_GROUP, Study, baseline_of


@dataclass(frozen=True, eq=False)
class Question:
    """Who is followed.

    Attributes:
        study: their rows.
        treated: (n,) True for those whose change is asked for.
        contrast, against: as of `ChangeData`.
    """

    study: Study
    treated: pd.Series
    contrast: str
    against: str

    def without(self, sessions: Sequence[str]) -> Question:
        """The same without some sessions."""
        stays = [session not in sessions for session in self.study.sessions]
        kept = pd.Series(stays, index=self.treated.index)
        return replace(self, study=self.study.rows(kept), treated=self.treated[kept])


def choose(whole: Study) -> Question:
    """Arms of patients; else patients against controls, if enough came back; else patients."""
    sessions = whole.design.sessions
    known = _known_times(whole)
    if whole.arm is not None:
        member = whole.patients & whole.arm.isin([sessions.treated, sessions.untreated]) & known
        study = whole.rows(member)
        assert study.arm is not None
        contrast = f"{sessions.treated} against {sessions.untreated}"
        against = f"the {sessions.untreated} arm"
        return Question(study, study.arm == sessions.treated, contrast, against)
    if controls_returned(whole):
        study = whole.rows(known)
        return Question(study, study.patients, "patients against controls", "controls")
    study = whole.rows(known & whole.patients)
    return Question(study, study.patients, "patients alone", "")


def controls_returned(whole: Study) -> bool:
    """Whether enough controls have a follow-up scan."""
    back = _known_times(whole) & ~_is_baseline(whole) & ~whole.patients
    return len({*whole.rows(back).participants}) >= SMALLEST_GROUP


def left_out_notes(whole: Study) -> tuple[str, ...]:
    """Sentences on scans whose covariates are not known, and on patients of no arm, if any."""
    notes = []
    unknown = whole.volumes.index[~_known_times(whole)]
    if len(unknown):
        names = some_of([f"{p} {s}".strip() for p, s in unknown])
        notes.append(f"Change leaves out {len(unknown)} scans with unknown covariates: {names}.")
    if whole.arm is not None:
        arms = whole.design.sessions.treated, whole.design.sessions.untreated
        others = {*whole.rows(whole.patients & ~whole.arm.isin(arms)).participants}
        if others:
            notes.append(
                f"{len(others)} patients are in neither arm ({' or '.join(arms)}), and change"
                f" leaves them out: {some_of(sorted(others))}."
            )
    return tuple(notes)


def _known_times(whole: Study) -> pd.Series:
    """Rows whose covariates, of people and of scans, are known."""
    known = whole.covariates.notna().all(axis=1) & whole.time_varying.notna().all(axis=1)
    if whole.etiv is not None and whole.design.etiv != "none":
        known &= etiv_of_people(whole).notna()
    return known


def _is_baseline(whole: Study) -> pd.Series:
    baseline = baseline_of(whole)
    return pd.Series([s == baseline for s in whole.sessions], index=whole.volumes.index)
