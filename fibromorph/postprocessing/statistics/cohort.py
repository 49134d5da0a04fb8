"""Scans and people put together: who is in the study, at which time point, and who was left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pandas as pd

from fibromorph.postprocessing.statistics.design import Variable


@dataclass(frozen=True)
class Step:
    """One step of the flow: why scans left, which, and how many are left by group."""

    reason: str
    left_out: tuple[str, ...]
    patients: int
    controls: int


@dataclass(frozen=True, eq=False)
class Cohort:
    """Everything the analyses start from; all tables share one index, a row a scan.

    Attributes:
        people: participant, point (name of the time point), time, is_patient (1.0 or 0.0), and a
            column for each variable, numbers as float, categories as text (missing: NaN).
        volumes_ml: regions of all families; NaN where missing.
        etiv_ml: NaN where missing; None if the table has none.
        sd_ml, soft_ml, hard_ml: companions of `volumes_ml`, or None.
        families: name -> regions.
        variables: name -> how it was read.
        flow: from scans found to scans analysed.
        notes: what was decided while reading, for the report.
    """

    people: pd.DataFrame
    volumes_ml: pd.DataFrame
    etiv_ml: pd.Series[float] | None
    sd_ml: pd.DataFrame | None
    soft_ml: pd.DataFrame | None
    hard_ml: pd.DataFrame | None
    families: Mapping[str, list[str]]
    variables: Mapping[str, Variable]
    flow: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()
    quality: Mapping[str, pd.Series[float]] = field(default_factory=dict)

    def keep(self, mask: pd.Series[bool], reason: str) -> Cohort:
        """The scans where `mask` is true, with a step added to the flow if any left."""
        if bool(mask.all()):
            return self
        who = [_scan_name(r) for r in self.people[~mask].itertuples()]
        kept = self.rows(mask)
        return replace(kept, flow=(*self.flow, step(kept.people, reason, tuple(who))))

    def rows(self, mask: pd.Series[bool]) -> Cohort:
        """The scans where `mask` is true."""
        return replace(
            self,
            people=self.people[mask],
            volumes_ml=self.volumes_ml[mask],
            etiv_ml=None if self.etiv_ml is None else self.etiv_ml[mask],
            sd_ml=None if self.sd_ml is None else self.sd_ml[mask],
            soft_ml=None if self.soft_ml is None else self.soft_ml[mask],
            hard_ml=None if self.hard_ml is None else self.hard_ml[mask],
            quality={k: v[mask] for k, v in self.quality.items()},
        )

    @property
    def baseline(self) -> Cohort:
        """The first scan point only."""
        return self.rows(self.people["time"] == self.people["time"].min())


def _scan_name(row: object) -> str:
    point = getattr(row, "point", "")
    return f"{getattr(row, 'participant', '')}{' ' + point if point else ''}"


def step(people: pd.DataFrame, reason: str, who: tuple[str, ...] = ()) -> Step:
    """A step of the flow that ends with these people."""
    patients = int((people["is_patient"] == 1).sum())
    return Step(reason, who, patients, int((people["is_patient"] == 0).sum()))
