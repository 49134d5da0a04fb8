"""One question that is asked of every voxel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from fibromorph.postprocessing.stats.groups.model import INTERCEPT, centred
from fibromorph.postprocessing.stats.models.linear import Bools, Floats, fit, independent_columns
from fibromorph.postprocessing.stats.people.study import Study
from fibromorph.postprocessing.voxelwise.maps import Key, Singles, TissueMaps

Effect = Literal["d", "r"]


@dataclass(frozen=True, eq=False)
class Question:
    """One regression of n maps, or differences of maps, voxel by voxel.

    Attributes:
        name: of its files.
        title: of its section.
        effect: `d` of a difference or change (in residual sd, with Hedges' factor), `r` of a score
            (partial correlation).
        lower, higher: what an effect below and above 0 means.
        people: who is in it, counted.
        scans: of n people.
        before: scans of the same people that are subtracted; () = none.
        tested: (n,) the column that is asked about; all 1 = the mean, tested by flips of sign.
        nuisance: (n, k) centred, without intercept; of full rank with it and `tested`.
        scale: (n,) what each map is multiplied by.
    """

    name: str
    title: str
    effect: Effect
    lower: str
    higher: str
    people: str
    scans: tuple[Key, ...]
    tested: Floats
    nuisance: pd.DataFrame
    scale: Floats
    before: tuple[Key, ...] = ()

    @property
    def of_mean(self) -> bool:
        """Whether the mean itself is asked about."""
        return bool((self.tested == 1).all())

    @property
    def matrix(self) -> Floats:
        """(n, p) intercept, nuisance, and what is asked about last."""
        ones = np.ones((len(self.tested), 1))
        columns = [self.nuisance.to_numpy(float), self.tested[:, None]]
        return np.hstack(columns if self.of_mean else [ones, *columns])

    @property
    def df(self) -> int:
        """Residual degrees of freedom."""
        return int(len(self.tested) - self.matrix.shape[1])

    @property
    def variance_factor(self) -> float:
        """(X'X)^-1 of what is asked about: 1/n1 + 1/n2 of two groups without covariates."""
        fitted = fit(self.matrix, np.zeros((len(self.tested), 1)))
        return float(fitted.unscaled[-1, -1])

    def outcomes(self, maps: TissueMaps) -> Singles:
        """(n, V) maps, or their differences, scaled."""
        values = maps.of(self.scans)
        if self.before:
            values -= maps.of(self.before)
        values *= self.scale.astype(np.float32)[:, None]
        return values


def independent(columns: pd.DataFrame, tested: Floats | None) -> pd.DataFrame:
    """Centred columns without those that follow from intercept, `tested` and columns before."""
    table = centred(columns).drop(columns=INTERCEPT)
    table = table.loc[:, table.abs().max() > 0]
    asked = [np.ones(len(table))] + ([] if tested is None else [tested])
    kept = independent_columns(np.column_stack([*asked, table.to_numpy(float)]))
    return table.iloc[:, [number - len(asked) for number in kept[len(asked) :]]]


def head_scale(study: Study, etiv: pd.Series | None) -> Floats:
    """(n,) 1, or with `etiv: ratio` mean head size over head size."""
    if study.design.etiv != "ratio" or etiv is None:
        return np.ones(len(study.volumes))
    sizes = etiv.to_numpy(float)
    return np.asarray(sizes.mean() / sizes)


def keys_of(study: Study, members: Bools | None = None) -> tuple[Key, ...]:
    """The scans of a study, or of some of its rows."""
    index = study.volumes.index if members is None else study.volumes.index[members]
    return tuple((str(participant), str(session)) for participant, session in index)
