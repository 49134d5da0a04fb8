"""Everything that an analysis found, and the tables that are written of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import pandas as pd

from fibromorph.postprocessing.stats.change.data import ChangeData
from fibromorph.postprocessing.stats.designs.design import Design
from fibromorph.postprocessing.stats.groups.model import GroupModel
from fibromorph.postprocessing.stats.people.collinear import Collinear
from fibromorph.postprocessing.stats.people.study import Study
from fibromorph.postprocessing.stats.scores.change import ScoreChange
from fibromorph.postprocessing.stats.scores.scope import ScoreScope

DIGITS = 6
LARGEST_WHOLE = 1e15
"""Whole numbers from here on are written with `DIGITS` like others."""
TABLES = (
    *("group_comparison.tsv", "asymmetry.tsv", "deviations.tsv", "assumptions.tsv"),
    *("associations.tsv", "change.tsv", "change_individuals.tsv", "change_associations.tsv"),
    *("responders.tsv", "sensitivity.tsv", "sites.tsv"),
)
CONCLUSIONS = ("lower", "higher", "equivalent", "undecided")


@dataclass(frozen=True, eq=False)
class Results:
    """One analysis. Columns of its tables that have the measure's unit end with it: `se_ml`.

    Attributes:
        study: the baseline rows.
        whole: the rows of all sessions.
        followed: those of the longitudinal question; None without follow-up.
        model: measured regions and nuisance of the group comparison.
        groups: one row a region, indexed by region.
        asymmetry: one row a pair of left and right regions; None where there is none.
        deviations: one row a person, how far every region lies from what controls have.
        collinear: covariates and scores that go with group.
        otherwise: for each of them `groups` in brief, without the covariate or with the score.
        assumptions: one row a region.
        scopes: in whom each score was looked at.
        associations: one row a region, score, group and method.
        change: one row a region and follow-up session; None without follow-up.
        change_notes: what a reader of `change` has to know.
        individuals: change of each participant; None without follow-up.
        score_change: change of scores, against change and by arm; None without either of them.
        sensitivity: one row a region and specification.
        sites: one row a site and region; None unless pooled by meta-analysis.
        notes: what a reader of anything has to know.
    """

    study: Study
    whole: Study
    followed: ChangeData | None
    model: GroupModel
    groups: pd.DataFrame
    asymmetry: pd.DataFrame | None
    deviations: pd.DataFrame
    collinear: tuple[Collinear, ...]
    otherwise: Mapping[str, pd.DataFrame]
    assumptions: pd.DataFrame
    scopes: tuple[ScoreScope, ...]
    associations: pd.DataFrame
    change: pd.DataFrame | None
    change_notes: tuple[str, ...]
    individuals: pd.DataFrame | None
    score_change: ScoreChange | None
    sensitivity: pd.DataFrame
    sites: pd.DataFrame | None
    notes: tuple[str, ...]

    @property
    def design(self) -> Design:
        return self.study.design

    @property
    def summary(self) -> str:
        """One line: who was compared, and what was found."""
        ill, well = int(self.study.patients.sum()), int((~self.study.patients).sum())
        counts = self.groups["conclusion"].str.split(" ").str[0].value_counts()
        found = ", ".join(f"{int(counts.get(w, 0))} {w}" for w in CONCLUSIONS)
        return f"{ill} patients, {well} controls, {len(self.groups)} regions: {found}."

    def renamed(self, rename: Callable[[pd.DataFrame], pd.DataFrame]) -> Results:
        """The same with columns that are called otherwise: see `BrainMeasure.named`, `bare`."""

        def maybe(table: pd.DataFrame | None) -> pd.DataFrame | None:
            return None if table is None else rename(table)

        scores = self.score_change
        return replace(
            self,
            groups=rename(self.groups),
            otherwise={name: rename(table) for name, table in self.otherwise.items()},
            associations=rename(self.associations),
            change=maybe(self.change),
            individuals=maybe(self.individuals),
            score_change=scores and replace(scores, table=rename(scores.table)),
            sensitivity=rename(self.sensitivity),
            sites=maybe(self.sites),
        )

    def tables(self) -> dict[str, pd.DataFrame]:
        """File name -> table, for those that there are."""
        scores = self.score_change
        tables = (
            self.groups.reset_index(),
            None if self.asymmetry is None else self.asymmetry.reset_index(),
            *(self.deviations.reset_index(), self.assumptions.reset_index()),
            self.associations if len(self.scopes) else None,
            *(self.change, self.individuals),
            *((None, None) if scores is None else (scores.table, scores.responders)),
            *(self.sensitivity, self.sites),
        )
        named = zip(TABLES, tables, strict=True)
        return {name: table for name, table in named if table is not None}


def to_tsv(table: pd.DataFrame) -> str:
    """A table as tab-separated text, six significant digits, `n/a` for what is not known."""
    lines = ["\t".join(str(c) for c in table.columns)]
    lines += ["\t".join(_cell(value) for value in row) for row in table.itertuples(index=False)]
    return "\n".join(lines) + "\n"


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "n/a"
    if isinstance(value, float):
        whole = value.is_integer() and abs(value) < LARGEST_WHOLE
        return f"{value:.0f}" if whole else f"{value:.{DIGITS}g}"
    return str(value)
