"""Effect sizes with intervals, minimal detectable effects, Bayes factors, equivalence."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import integrate, optimize, special, stats

JZS_SCALE = 2**0.5 / 2
"""Scale of the Cauchy prior on the effect size (Rouder et al. 2009; "medium" in BayesFactor)."""


def small_sample_factor(df: float) -> float:
    """Hedges' exact J: multiplies d to remove its bias (Hedges 1981, J Educ Stat 6:107-128)."""
    return float(
        np.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2) - 0.5 * np.log(df / 2))
    )


def hedges_g(difference: float, sigma: float, df: float) -> float:
    """Bias-corrected standardised difference: `difference` over the residual sd `sigma`."""
    return small_sample_factor(df) * difference / sigma


def g_interval(
    t: float, df: float, variance_factor: float, confidence: float
) -> tuple[float, float]:
    """Interval of Hedges' g by the noncentral t distribution.

    Args:
        t: classical t of the difference.
        df: its degrees of freedom.
        variance_factor: (X'X)^-1 of the group indicator; 1/n1 + 1/n2 without covariates.
        confidence: 0.95, say.
    """
    tail = (1.0 - confidence) / 2.0
    scale = small_sample_factor(df) * np.sqrt(variance_factor)
    low, high = noncentrality(t, df, 1.0 - tail), noncentrality(t, df, tail)
    return float(low * scale), float(high * scale)


def noncentrality(t: float, df: float, probability: float) -> float:
    """The noncentrality at which a noncentral t falls below `t` with `probability`."""

    def miss(ncp: float) -> float:
        return _below(t, df, ncp) - probability

    spread = 1.0
    while miss(t - spread) < 0.0 or miss(t + spread) > 0.0:
        spread *= 2.0
    return float(optimize.brentq(miss, t - spread, t + spread, xtol=1e-12, rtol=1e-13))


def power_of(ncp: float, df: float, alpha: float) -> float:
    """Power of a two-sided t test at noncentrality `ncp`."""
    critical = float(stats.t.isf(alpha / 2.0, df))
    return 1.0 - _below(critical, df, ncp) + _below(-critical, df, ncp)


def _below(t: float, df: float, ncp: float) -> float:
    """Probability that a noncentral t is below `t`; scipy's has NaN where it rounds to 0 or 1."""
    value = float(special.nctdtr(df, ncp, t))
    return value if np.isfinite(value) else float(t > ncp)


@lru_cache(maxsize=4096)
def detectable_ncp(df: float, alpha: float, power: float) -> float:
    """The smallest noncentrality (estimate over its se) that a two-sided t test so often finds."""
    upper = 2.0
    while power_of(upper, df, alpha) < power:
        upper *= 2.0
    return float(optimize.brentq(lambda ncp: power_of(ncp, df, alpha) - power, 0.0, upper))


def detectable_effect(df: float, variance_factor: float, alpha: float, power: float) -> float:
    """The smallest d that a two-sided test finds with `power`.

    Args:
        df: residual degrees of freedom.
        variance_factor: as in `g_interval`; larger where covariates go with group.
        alpha: level, divided by the number of regions for a family.
        power: 0.8, say.
    """
    return detectable_ncp(df, alpha, power) * float(np.sqrt(variance_factor))


def jzs_bayes_factor(t: float, df: float, variance_factor: float) -> float:
    """Evidence for a difference over none, Cauchy prior on d (Rouder et al. 2009, eq. 1).

    Args:
        t: classical t.
        df: its degrees of freedom.
        variance_factor: its inverse is the effective sample size.

    Returns:
        BF10: above 1 speaks for a difference, below 1 against it; infinite above 1e308.
    """
    n = JZS_SCALE**2 / variance_factor

    def integrand(g: float) -> float:
        spread = 1.0 + n * g
        likelihood = spread**-0.5 * (1.0 + t * t / (spread * df)) ** (-(df + 1) / 2)
        prior = (2.0 * np.pi) ** -0.5 * g**-1.5 * np.exp(-0.5 / g)
        return float(likelihood * prior)

    # In two parts: the integrand has its bulk near 0 and a long tail.
    value = sum(
        integrate.quad(integrand, low, high, epsabs=0, epsrel=1e-10, limit=200)[0]
        for low, high in ((0.0, 1.0), (1.0, np.inf))
    )
    # By logarithms: with thousands of people the chance of such a t without a difference is below
    # the smallest number that there is.
    with np.errstate(over="ignore"):
        return float(np.exp(np.log(value) + (df + 1) / 2 * np.log1p(t * t / df)))


def equivalence_p(difference: float, se: float, df: float, bound: float) -> float:
    """Two one-sided tests: the p value of |difference| < bound (Schuirmann 1987)."""
    above = stats.t.sf((difference + bound) / se, df)
    below = stats.t.cdf((difference - bound) / se, df)
    return float(max(above, below))


def holm(p: np.ndarray) -> np.ndarray:
    """p values adjusted for their number, family-wise (Holm 1979, Scand J Stat 6:65-70)."""
    order = np.argsort(p)
    adjusted = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    out = np.empty(len(p))
    out[order] = np.minimum(adjusted, 1.0)
    return out


def false_discovery(p: np.ndarray) -> np.ndarray:
    """Benjamini-Hochberg adjusted p values; NaN stays NaN and does not count."""
    out = np.full(p.shape, np.nan)
    known = ~np.isnan(p)
    if known.any():
        out[known] = stats.false_discovery_control(p[known])
    return out
