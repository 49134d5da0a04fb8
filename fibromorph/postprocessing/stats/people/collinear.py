"""Covariates and scores that nearly say who is a patient: results with and without, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fibromorph.postprocessing.stats.designs.contract import score_in_prose, score_title
from fibromorph.postprocessing.stats.people.study import Study
from fibromorph.postprocessing.stats.scores.scope import ScoreScope, standardised_difference


@dataclass(frozen=True)
class Collinear:
    """A covariate or score of which group explains much.

    Attributes:
        name: of the covariate or score.
        column: of which the numbers are: the covariate's, or that of one level, `name[level]`.
        d: difference between patients and controls, in pooled sd.
        shared: share of its variance that group explains.
        adjusted: whether it is a covariate; a score is not in the model of the groups.
    """

    name: str
    column: str
    d: float
    shared: float
    adjusted: bool

    @property
    def title(self) -> str:
        """Its name within a sentence: a covariate's own, or what the report calls the score."""
        return self.name if self.adjusted else score_in_prose(self.name)

    @property
    def sentence(self) -> str:
        """What a reader has to know, for the report."""
        who = self.column if self.adjusted else score_title(self.name)
        wider = 100 * ((1 - self.shared) ** -0.5 - 1)
        more = (
            ""
            if self.adjusted
            else " It is a score here and not in the model of the groups; its correlations over"
            " both groups, with group adjusted for, rest on its spread within each."
        )
        return (
            f"{who} differs between patients and controls by d = {self.d:.1f}; group"
            f" explains {100 * self.shared:.0f} % of its variance. With it in the model, part of"
            f" what is group's is given to {self.title}, and the interval of the group difference"
            f" is about {wider:.0f} % wider; without it, the group difference contains whatever"
            f" goes with {self.title}. These data cannot tell the two apart, so both are"
            f" shown.{more}"
        )


def going_with_group(study: Study, scopes: Sequence[ScoreScope]) -> list[Collinear]:
    """Covariates, and scores that both groups have, of which group explains more than the limit.

    One entry a covariate, of the level of which group explains most. The limit is
    `inference.collinear_above`. A score that controls cannot have (pain of healthy
    people) restates the group and is left out.
    """
    both = [
        scope.name
        for scope in scopes
        if "both" in scope.groups and study.design.scores[scope.name].column not in study.covariates
    ]
    candidates = [
        *((study.covariate_of(str(c)), study.covariates[c], True) for c in study.covariates),
        *((name, study.scores[name], False) for name in both),
    ]
    found: dict[str, Collinear] = {}
    for name, values, adjusted in candidates:
        shared = _shared(values, study.patients)
        largest = found[name].shared if name in found else study.design.inference.collinear_above
        if shared > largest:
            d = standardised_difference(values, study.patients)
            found[name] = Collinear(name, str(values.name), d, shared, adjusted)
    return list(found.values())


def _shared(values: pd.Series, patients: pd.Series) -> float:
    known = values.notna()
    r = np.corrcoef(values[known], patients[known].astype(float))[0, 1]
    return float(r**2)
