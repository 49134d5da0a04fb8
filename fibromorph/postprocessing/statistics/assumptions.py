"""What the comparison rests on: equal slopes, equal variances, nobody who decides alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from fibromorph.postprocessing.statistics.effects import small_sample_factor
from fibromorph.postprocessing.statistics.linear import fit
from fibromorph.postprocessing.statistics.sample import Sample

Floats = NDArray[np.float64]


def check_assumptions(sample: Sample, regions: Sequence[str]) -> pd.DataFrame:
    """One row a region.

    Columns: region; `p_group_x_NAME` for each covariate (HC3; small: the groups' slopes differ);
    `p_variance` (Brown-Forsythe on residuals); `cook_max` and whose; `g_without_one_low/high`,
    the range of adjusted g when each person in turn is left out, and `sign_holds`.
    """
    return pd.DataFrame(
        [{"region": r, **_slopes(sample, r), **_influence(sample, r)} for r in regions]
    )


def _slopes(sample: Sample, region: str) -> dict[str, float]:
    y, known = sample.region(region)
    here = sample.rows(known)
    x = here.matrix(np.ones(len(y), dtype=bool))
    found = {}
    for k, name in enumerate(sample.names):
        product = here.is_patient * here.nuisance[:, k]
        found[f"p_group_x_{name}"] = _last_p(y, x, product)
    return found


def _last_p(y: Floats, x: Floats, product: Floats) -> float:
    wide = np.column_stack([x[:, :1], product, x[:, 1:]])
    if np.linalg.matrix_rank(wide) < wide.shape[1] or len(y) <= wide.shape[1] + 1:
        return math.nan
    return fit(y, wide).p


def _influence(sample: Sample, region: str) -> dict[str, object]:
    y, known = sample.region(region)
    x = sample.matrix(known)
    inverse = np.linalg.inv(x.T @ x)
    b = inverse @ (x.T @ y)
    e, leverage = y - x @ b, np.einsum("ij,jk,ik->i", x, inverse, x)
    df = len(y) - x.shape[1]
    cook = e**2 * leverage / ((1 - leverage) ** 2 * x.shape[1] * (e @ e / df))
    group = sample.is_patient[known]
    without = _g_without(b[1], x @ inverse[1], e, leverage, df)
    who = np.asarray(sample.participants)[known][int(cook.argmax())]
    return {
        "p_variance": float(stats.levene(e[group == 1], e[group == 0], center="median").pvalue),
        "cook_max": float(cook.max()),
        "cook_participant": str(who),
        "g_without_one_low": float(without.min()),
        "g_without_one_high": float(without.max()),
        "sign_holds": bool((np.sign(without) == np.sign(b[1])).all()),
    }


def _g_without(b: float, pull: Floats, e: Floats, leverage: Floats, df: int) -> Floats:
    """Adjusted g with each person left out, by the usual one-out formulas (Belsley 1980)."""
    shifted = b - pull * e / (1 - leverage)
    variance = (e @ e - e**2 / (1 - leverage)) / (df - 1)
    return np.asarray(small_sample_factor(df - 1) * shifted / np.sqrt(variance))
