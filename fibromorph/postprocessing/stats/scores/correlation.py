"""Partial correlations: Pearson, Spearman, and one that outliers do not move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from fibromorph.postprocessing.stats.designs.sections import CorrelationMethod
from fibromorph.postprocessing.stats.models.linear import (
    Floats,
    independent_columns,
    patterns,
)

BEND = 0.2
"""Share of observations bent in on either side (Wilcox 1994, Psychometrika 59:601-616)."""


@dataclass(frozen=True)
class Correlation:
    """One partial correlation with its interval and two-sided p; `df` = n - 2 - covariates."""

    r: float
    ci_low: float
    ci_high: float
    t: float
    df: int
    p: float


def partial_correlation(
    x: Floats, y: Floats, covariates: Floats, method: CorrelationMethod, confidence: float
) -> Correlation:
    """Correlate x and y with the covariates taken out of both.

    Pearson and percentage bend correlate least-squares residuals; Spearman ranks x, y and the
    covariates first. Intervals are Fisher's, for ranks with Bonett & Wright's variance (2000,
    Psychometrika 65:23-28).

    Args:
        x: (n,), none missing.
        y: (n,), none missing.
        covariates: (n, k) without intercept; k may be 0.
        method: see above.
        confidence: of the interval.
    """
    if method == "spearman":
        x, y, covariates = stats.rankdata(x), stats.rankdata(y), _ranked(covariates)
    first, second = residuals(x, covariates), residuals(y, covariates)
    r = _METHODS[method](first, second)
    df = len(x) - 2 - covariates.shape[1]
    inner = float(np.clip(r, -1 + 1e-12, 1 - 1e-12))
    t = inner * np.sqrt(df / (1.0 - inner**2))
    low, high = fisher_interval(inner, df, confidence, ranks=method == "spearman")
    return Correlation(r, low, high, float(t), df, 2 * float(stats.t.sf(abs(t), df)))


def linearised(
    volumes: Floats, score: Floats, covariates: Floats, method: CorrelationMethod
) -> tuple[Floats, Floats, Floats]:
    """What a linear model is fitted to, so that it tests what `method` correlates.

    Ranks for Spearman; bent residuals for percentage bend; as they are for Pearson. Covariates stay
    with all of them: what they have taken out of the residuals costs degrees of freedom.

    Args:
        volumes: (n, R); NaN = missing.
        score: (n,), none missing.
        covariates: (n, k) without intercept.
        method: see `partial_correlation`.
    """
    if method == "pearson":
        return volumes, score, covariates
    if method == "spearman":
        ranks = stats.rankdata(volumes, axis=0, nan_policy="omit")
        return ranks, stats.rankdata(score), _ranked(covariates)
    bent = np.full_like(volumes, np.nan)
    for known, columns in patterns(volumes):
        for column in columns:
            left = residuals(volumes[known, column], covariates[known])
            bent[known, column] = _bent(left)
    return bent, _bent(residuals(score, covariates)), covariates


def _ranked(covariates: Floats) -> Floats:
    """(n, k) ranks of covariates, less those whose ranks follow: age squared has those of age."""
    ranks = [np.ones(len(covariates)), *map(stats.rankdata, covariates.T)]
    design = np.column_stack(ranks)
    return np.asarray(design[:, independent_columns(design)[1:]])


def residuals(values: Floats, covariates: Floats) -> Floats:
    """What a least-squares fit on an intercept and the covariates leaves of `values`."""
    basis, _ = np.linalg.qr(np.column_stack([np.ones(len(values)), covariates]))
    return np.asarray(values - basis @ (basis.T @ values))


def fisher_interval(
    r: float, df: int, confidence: float, *, ranks: bool = False
) -> tuple[float, float]:
    """Interval of a correlation on Fisher's z scale; `df` = n - 2 - covariates."""
    inflation = 1.0 + r**2 / 2 if ranks else 1.0
    reach = stats.norm.ppf(0.5 + confidence / 2) * np.sqrt(inflation / max(df - 1, 1))
    return float(np.tanh(np.arctanh(r) - reach)), float(np.tanh(np.arctanh(r) + reach))


def detectable_correlation(df: int, alpha: float, power: float) -> float:
    """The smallest |r| that a two-sided test finds with `power` (Fisher's approximation)."""
    reach = stats.norm.isf(alpha / 2) + stats.norm.ppf(power)
    return float(np.tanh(reach / np.sqrt(max(df - 1, 1))))


def percentage_bend(x: Floats, y: Floats) -> float:
    """Wilcox's percentage bend correlation: values beyond a robust reach count as at it."""
    first, second = _bent(x), _bent(y)
    return float((first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum()))


def _bent(values: Floats) -> Floats:
    median = np.median(values)
    distances = np.sort(np.abs(values - median))
    reach = distances[int((1 - BEND) * len(values)) - 1]
    standard = (values - median) / reach
    low, high = (standard < -1).sum(), (standard > 1).sum()
    inside = values[np.abs(standard) <= 1].sum()
    centre = (reach * (high - low) + inside) / (len(values) - low - high)
    return np.asarray(np.clip((values - centre) / reach, -1, 1))


def _pearson(x: Floats, y: Floats) -> float:
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


_METHODS: dict[CorrelationMethod, Callable[[Floats, Floats], float]] = {
    "pearson": _pearson,
    "spearman": _pearson,
    "percentage_bend": percentage_bend,
}
