"""The rows that the models see."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import pandas as pd

from fibromorph.postprocessing.stats.designs.design import Design
from fibromorph.postprocessing.stats.people.flow import FlowStep
from fibromorph.postprocessing.stats.people.responsive import Shares
from fibromorph.postprocessing.stats.tables.measure import VOLUME, BrainMeasure

SMALLEST_GROUP = 5
SMALLEST_DF = 5


@dataclass(frozen=True, eq=False)
class Study:
    """Rows of one or more sessions, ready to be modelled; all tables share one index of scans.

    Attributes:
        design: what is asked.
        volumes: (scans, regions) ml, or mm of thickness, of the kind that the design asks for;
            NaN = missing.
        other_volumes: the other kind (hard or soft); None where the tool has one only.
        sd: standard deviations of `volumes`; None where not known.
        patients: True for patients.
        covariates: numbers; texts as indicators, named `column[level]`.
        scores: numbers by score name, NaN = missing.
        etiv: ml, NaN = missing; None where the table has none, or nobody asks for it.
        site: text; None for one site.
        arm: text; None without arms.
        time_varying: numbers a session.
        families: family -> regions.
        flow: how the baseline rows came about.
        notes: what the reader has to know.
        tool: who measured.
        shares: of a change of one region alone, that is seen, where known.
        years: since the person's first scan, named as the column that says so; None = not known.
        repeats: region -> share of `sd` by which scans with one protocol err, where known.
        measure: what `volumes` are.
    """

    design: Design
    volumes: pd.DataFrame
    other_volumes: pd.DataFrame | None
    sd: pd.DataFrame | None
    patients: pd.Series
    covariates: pd.DataFrame
    scores: pd.DataFrame
    etiv: pd.Series | None
    site: pd.Series | None
    arm: pd.Series | None
    time_varying: pd.DataFrame
    families: dict[str, list[str]]
    flow: tuple[FlowStep, ...]
    notes: tuple[str, ...]
    tool: str
    shares: Shares
    years: pd.Series | None = None
    repeats: Mapping[str, float] = field(default_factory=dict)
    measure: BrainMeasure = VOLUME

    @property
    def regions(self) -> list[str]:
        return [region for regions in self.families.values() for region in regions]

    @property
    def participants(self) -> list[str]:
        return [str(p) for p, _ in self.volumes.index]

    @property
    def sessions(self) -> list[str]:
        return [str(s) for _, s in self.volumes.index]

    @property
    def sd_within(self) -> pd.DataFrame | None:
        """(scans, regions) errors of volumes that are held against others of the same person.

        That of repetition, where it is known and all of the person's scans come from one site (as
        far as the design says); else the error over acquisitions.
        """
        if self.sd is None or not self.repeats:
            return self.sd
        shares = [self.repeats.get(str(region), 1.0) for region in self.sd]
        if self.site is None:
            return self.sd * shares
        stayed = self.site.groupby(level=0).transform("nunique") <= 1
        return (self.sd * shares).where(stayed, self.sd)

    def covariate_of(self, column: str) -> str:
        """The covariate of the design that a column of `covariates` is, or is a level of."""
        names = self.design.covariates
        owners = [n for n in names if column.startswith(f"{n}[")]
        return column if column in names else max(owners, key=len, default=column)

    def columns_of(self, names: Collection[str]) -> pd.DataFrame:
        """The columns of `covariates` that belong to some of the design's covariates."""
        return self.covariates[[c for c in self.covariates if self.covariate_of(str(c)) in names]]

    def rows(self, keep: pd.Series) -> Study:
        """The study restricted to the scans for which `keep` is true."""

        def cut(table: pd.DataFrame | pd.Series | None) -> pd.DataFrame | pd.Series | None:
            return None if table is None else table.loc[keep]

        changed = {name: cut(getattr(self, name)) for name in _TABLES}
        return Study(**{**vars(self), **changed})

    def at(self, session: str) -> Study:
        """The scans of one session."""
        same = [s == session for s in self.sessions]
        return self.rows(pd.Series(same, index=self.volumes.index))


_TABLES = (
    "volumes",
    "other_volumes",
    "sd",
    "patients",
    "covariates",
    "scores",
    "etiv",
    "site",
    "arm",
    "time_varying",
    "years",
)


def baseline_of(study: Study) -> str:
    """The baseline session of a study that was built: the one that is no follow-up."""
    later = study.design.sessions.follow_up
    return next((s for s in study.sessions if s not in later), "")
