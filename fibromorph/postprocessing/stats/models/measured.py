"""Volumes known with error: weights, reliability, and effects corrected for it.

volume_i = x_i b + u_i + e_i with u_i ~ N(0, tau2) between people and e_i ~ N(0, sd_i^2) known: a
random-effects meta-regression over people, fitted by REML with Knapp & Hartung's errors (2003, Stat
Med 22:2693-2710), as metafor's `rma(yi, sei, mods, method = "REML", test = "knha")`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize

from fibromorph.postprocessing.stats.models.linear import Floats

MOST_RESCALED = 3.0
SMALLEST_RELIABILITY = 0.1
"""Below it the measurement is noise, and dividing by its root would be invention."""


@dataclass(frozen=True, eq=False)
class WeightedFit:
    """One outcome.

    Attributes:
        beta: (p,).
        se: (p,).
        df: n - p.
        tau2: variance between people that is not error.
        reliability: tau2 / (tau2 + mean sd^2).
    """

    beta: Floats
    se: Floats
    df: int
    tau2: float
    reliability: float


def fit_weighted(design: Floats, outcome: Floats, sd: Floats) -> WeightedFit:
    """Fit one outcome with known errors.

    Args:
        design: (n, p) of full rank.
        outcome: (n,).
        sd: (n,) standard deviations, not negative.
    """
    variances = sd**2
    tau2 = reml_variance(design, outcome, variances)
    weights = 1.0 / (tau2 + variances)
    weighted = design.T * weights
    covariance = np.linalg.inv(weighted @ design)
    beta = covariance @ (weighted @ outcome)
    df = design.shape[0] - design.shape[1]
    inflation = float((weights * (outcome - design @ beta) ** 2).sum() / df)
    return WeightedFit(
        beta=beta,
        se=np.sqrt(np.diag(covariance) * inflation),
        df=df,
        tau2=tau2,
        reliability=tau2 / (tau2 + float(variances.mean())),
    )


def sd_as_fitted(design: Floats, outcome: Floats, sd: Floats) -> Floats:
    """(n,) errors as they would be told of the volumes that the design fits.

    A bundle's error is a share of the volume that was measured. One measured too small would have
    too small an error and too much weight, and where one group's scans are the noisier ones its
    mean would be too small.

    Args:
        design, outcome, sd: as of `fit_weighted`; what is not above 0 keeps its error.
    """
    fitted = design @ np.linalg.lstsq(design, outcome, rcond=None)[0]
    usable = (outcome > 0) & (fitted > 0)
    ratio = np.where(usable, fitted / np.where(usable, outcome, 1.0), 1.0)
    # What head size was taken out of may lie anywhere near 0.
    return np.asarray(sd * np.clip(ratio, 1 / MOST_RESCALED, MOST_RESCALED))


def reml_variance(design: Floats, outcome: Floats, variances: Floats) -> float:
    """The variance beyond the known ones, by restricted maximum likelihood; not below 0."""

    def score(tau2: float) -> float:
        weights = 1.0 / (tau2 + variances)
        weighted = design * weights[:, None]
        inverse = np.linalg.inv(weighted.T @ design)
        residual = weights * (outcome - design @ (inverse @ (weighted.T @ outcome)))
        trace = weights.sum() - float(np.sum((weighted @ inverse) * weighted))
        return float(residual @ residual - trace)

    upper = float(np.var(outcome)) + 1e-12
    tiny = 1e-9 * upper if float(variances.min()) <= 0 else 0.0
    if score(tiny) <= 0:
        return tiny
    while score(upper) > 0:
        upper *= 2.0
    return float(optimize.brentq(score, tiny, upper, xtol=1e-15 * upper, rtol=1e-13))


def correction(reliability: float) -> float:
    """What a standardised effect or a correlation is multiplied by to undo the error in volumes.

    1 / sqrt(reliability) (Spearman 1904); NaN where the measurement is mostly error.
    """
    return float("nan") if reliability < SMALLEST_RELIABILITY else float(reliability**-0.5)
