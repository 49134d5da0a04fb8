"""What is asked of change: follow-up minus baseline, of each group and between groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from fibromorph.postprocessing.stats.change.covariates import LEAST_DF, etiv_of_people
from fibromorph.postprocessing.stats.change.question import Question as Followed
from fibromorph.postprocessing.stats.change.question import choose
from fibromorph.postprocessing.stats.groups.model import site_indicators
from fibromorph.postprocessing.stats.models.linear import Bools, Floats
from fibromorph.postprocessing.stats.people.study import SMALLEST_GROUP, Study, baseline_of
from fibromorph.postprocessing.stats.tables.region_names import ETIV
from fibromorph.postprocessing.voxelwise.question import (
    Question,
    head_scale,
    independent,
    keys_of,
)

Notes = list[str]


def ask_change(whole: Study, session: str, covariate: bool) -> tuple[list[Question], Notes]:
    """Change until one session: of each group, and the difference of the groups.

    Args:
        whole: scans of all sessions, all with maps.
        session: the later one.
        covariate: whether eTIV is adjusted for.

    Returns:
        The questions that there are people enough for, and sentences on what is not asked.
    """
    followed, notes = choose(whole), Notes()
    pairs = _Pairs.of(followed, session)
    titles = _group_titles(followed)
    questions = []
    for title, members in zip(titles, (pairs.treated, ~pairs.treated), strict=False):
        if int(members.sum()) < SMALLEST_GROUP:
            notes.append(
                f"Change in {title} until {session} is not tested: {int(members.sum())} people have"
                f" both maps, {SMALLEST_GROUP} are needed."
            )
            continue
        questions.append(_mean_change(pairs, title, members, session))
    if len(titles) == len(questions) == 2:
        questions.insert(0, _difference(pairs, titles, session))
    adjusted = [pairs.adjusting(question, covariate) for question in questions]
    for question in adjusted:
        if question.nuisance.empty and pairs.adjustable(covariate):
            notes.append(f"{question.title}: not adjusted for anything, too few people.")
    return adjusted, notes


@dataclass(frozen=True, eq=False)
class _Pairs:
    """People with a map at baseline and in a later session.

    Attributes:
        first, last: their scans in the two sessions, in the same order.
        treated: (people,) see `Followed`.
    """

    first: Study
    last: Study
    treated: Bools

    @classmethod
    def of(cls, followed: Followed, session: str) -> _Pairs:
        study = followed.study
        start, end = study.at(baseline_of(study)), study.at(session)
        both = {*start.participants} & {*end.participants}
        first, last = _only(start, both), _only(end, both)
        treated = followed.treated.loc[first.volumes.index].to_numpy(bool)
        return cls(first, last, treated)

    def adjusting(self, question: Question, covariate: bool) -> Question:
        """The question with covariates at baseline, and what varies with time as its change."""
        inside = pd.Index(keys_of(self.first)).isin(question.before)
        columns = self._columns(covariate).loc[inside]
        tested = None if question.of_mean else question.tested
        nuisance = independent(columns, tested)
        full = replace(question, nuisance=nuisance)
        if full.df >= LEAST_DF:
            return full
        return replace(question, nuisance=nuisance.iloc[:, :0])

    def adjustable(self, covariate: bool) -> bool:
        """Whether there is anything that change could be adjusted for."""
        return not independent(self._columns(covariate), None).empty

    def _columns(self, covariate: bool) -> pd.DataFrame:
        first, last = self.first, self.last
        people = first.participants
        parts = [last.time_varying.set_axis(people) - first.time_varying.set_axis(people)]
        if first.design.sessions.adjust == "change":
            parts.append(first.covariates.set_axis(people))
            if covariate and first.etiv is not None:
                parts.append(self.etiv().rename(ETIV).to_frame())
        one_site = first.site is None or first.design.site.method == "none"
        if not one_site and first.site is not None and last.site is not None:
            sites = site_indicators(pd.concat([first.site, last.site]))
            moved = sites.loc[last.site.index].set_axis(people)
            parts.append(moved - sites.loc[first.site.index].set_axis(people))
        return pd.concat(parts, axis=1)

    def etiv(self) -> pd.Series:
        """(people,) means over both scans."""
        assert self.first.etiv is not None
        assert self.last.etiv is not None
        both = etiv_of_people(self.first), etiv_of_people(self.last)
        start, end = (sizes.set_axis(self.first.participants) for sizes in both)
        return (start + end) / 2

    def scale(self) -> Floats:
        return head_scale(self.first, None if self.first.etiv is None else self.etiv())


def _group_titles(followed: Followed) -> tuple[str, ...]:
    """Names of the treated and, where there is one, of the group that they are compared with."""
    design = followed.study.design
    if not followed.against:
        return ("patients",)
    if followed.study.arm is None:
        return "patients", "controls"
    return design.sessions.treated, design.sessions.untreated


def _mean_change(pairs: _Pairs, title: str, members: Bools, session: str) -> Question:
    return Question(
        name=f"change-{session}-{title}",
        title=f"Change until {session}: {title}",
        effect="d",
        lower=f"loss in {title}",
        higher=f"gain in {title}",
        people=f"{int(members.sum())} people of {title}",
        scans=tuple(
            key for key, inside in zip(keys_of(pairs.last), members, strict=True) if inside
        ),
        before=tuple(k for k, inside in zip(keys_of(pairs.first), members, strict=True) if inside),
        tested=np.ones(int(members.sum())),
        nuisance=pd.DataFrame(index=range(int(members.sum()))),
        scale=pairs.scale()[members],
    )


def _difference(pairs: _Pairs, titles: Sequence[str], session: str) -> Question:
    one, other = titles
    return Question(
        name=f"change-{session}-{one}-{other}",
        title=f"Change until {session}: {one} minus {other}",
        effect="d",
        lower=f"more loss or less gain in {one} than in {other}",
        higher=f"less loss or more gain in {one} than in {other}",
        people=f"{int(pairs.treated.sum())} {one}, {int((~pairs.treated).sum())} {other}",
        scans=keys_of(pairs.last),
        before=keys_of(pairs.first),
        tested=pairs.treated.astype(float),
        nuisance=pd.DataFrame(index=range(len(pairs.treated))),
        scale=pairs.scale(),
    )


def _only(study: Study, people: set[str]) -> Study:
    """Scans of some people in one session, in the order of their names."""
    keys = sorted(key for key in keys_of(study) if key[0] in people)
    return study.rows(pd.Series(keys, dtype=object))
