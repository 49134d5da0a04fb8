"""Covariates that nearly say who is a patient: results with and without them, in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fibromorph.postprocessing.stats.score_groups import standardised_difference
from fibromorph.postprocessing.stats.study import Study


@dataclass(frozen=True)
class Collinear:
    """A covariate of which group explains much.

    Attributes:
        name: its column.
        d: difference between patients and controls, in pooled sd.
        shared: share of its variance that group explains.
    """

    name: str
    d: float
    shared: float

    @property
    def sentence(self) -> str:
        """What a reader has to know, for the report."""
        wider = 100 * ((1 - self.shared) ** -0.5 - 1)
        return (
            f"{self.name} differs between patients and controls by d = {self.d:.1f}; group explains"
            f" {100 * self.shared:.0f} % of its variance. With it in the model, part of what is"
            f" group's is given to {self.name}, and the interval of the group difference is about"
            f" {wider:.0f} % wider; without it, the group difference contains whatever goes with"
            f" {self.name}. These data cannot tell the two apart, so both are shown."
        )


def collinear_covariates(study: Study) -> list[Collinear]:
    """Covariates of which group explains more than `inference.collinear_above`."""
    limit = study.design.inference.collinear_above
    found = []
    for name in study.covariates:
        shared = _shared(study, str(name))
        if shared > limit:
            d = standardised_difference(study.covariates[name], study.patients)
            found.append(Collinear(str(name), d, shared))
    return found


def _shared(study: Study, name: str) -> float:
    values = study.covariates[name]
    known = values.notna()
    r = np.corrcoef(values[known], study.patients[known].astype(float))[0, 1]
    return float(r**2)
