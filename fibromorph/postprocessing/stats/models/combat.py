"""ComBat: means and variances of sites made alike, borrowing strength over regions.

Johnson et al. 2007 (Biostatistics 8:118-127) for volumes as in Fortin et al. 2018 (NeuroImage
167:104-120): the columns given as protected keep their effects. Written here because neuroCombat
has had no release since 2021 and takes no missing cells; the tests hold it against that package's
recorded output.
"""

from __future__ import annotations

import numpy as np

from fibromorph.postprocessing.stats.models.linear import Floats, fit, patterns

TOLERANCE = 1e-8


def harmonise(
    volumes: Floats, sites: np.ndarray, protected: Floats, tolerance: float = TOLERANCE
) -> tuple[Floats, Floats]:
    """Take additive and multiplicative site effects out.

    Args:
        volumes: (n, R); NaN = missing.
        sites: (n,) labels.
        protected: (n, k) without intercept: group, covariates, eTIV.
        tolerance: relative, at which the empirical Bayes iteration stops.

    Returns:
        (n, R) harmonised volumes, and (n, R) what each was multiplied by.
    """
    levels, member = np.unique(sites, return_inverse=True)
    indicator = (member[:, None] == np.arange(len(levels))).astype(float)
    expected, spread = _standard(volumes, indicator, protected)
    standard = (volumes - expected) / spread
    shift, scale = np.zeros_like(standard), np.ones_like(standard)
    for level in range(len(levels)):
        rows = member == level
        gamma, delta = _site_effect(standard[rows], tolerance)
        shift[rows], scale[rows] = gamma, 1.0 / np.sqrt(delta)
    return (standard - shift) * scale * spread + expected, scale


def _standard(volumes: Floats, indicator: Floats, protected: Floats) -> tuple[Floats, Floats]:
    """What is expected at the average site, (n, R), and the pooled sd, (R,)."""
    design = np.column_stack([indicator, protected])
    count = indicator.shape[1]
    expected, spread = np.empty_like(volumes), np.empty(volumes.shape[1])
    for known, columns in patterns(volumes):
        fitted = fit(design[known], volumes[np.ix_(known, columns)])
        mean = indicator[known].mean(axis=0) @ fitted.beta[:count]
        expected[:, columns] = mean + protected @ fitted.beta[count:]
        spread[columns] = np.sqrt((fitted.residuals**2).mean(axis=0))
    return expected, spread


def _site_effect(standard: Floats, tolerance: float) -> tuple[Floats, Floats]:
    """Shift and variance of one site, (R,) each, shrunk towards the site's mean over regions."""
    count = (~np.isnan(standard)).sum(axis=0)
    gamma, delta = np.nanmean(standard, axis=0), np.nanvar(standard, axis=0, ddof=1)
    if standard.shape[1] < 2:
        return gamma, delta
    prior_mean, prior_variance = gamma.mean(), gamma.var(ddof=1)
    mean, variance = delta.mean(), delta.var(ddof=1)
    shape, rate = 2 + mean**2 / variance, mean + mean**3 / variance
    first, old_gamma, old_delta = gamma, gamma, delta
    while True:
        weight = prior_variance * count
        gamma = (weight * first + old_delta * prior_mean) / (weight + old_delta)
        squares = np.nansum((standard - gamma) ** 2, axis=0)
        delta = (rate + squares / 2) / (shape + count / 2 - 1)
        moved = max(_change(gamma, old_gamma), _change(delta, old_delta))
        if moved <= tolerance:
            return gamma, delta
        old_gamma, old_delta = gamma, delta


def _change(new: Floats, old: Floats) -> float:
    return float(np.max(np.abs(new - old) / np.maximum(np.abs(old), 1e-12)))
