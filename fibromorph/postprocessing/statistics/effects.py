"""Effect sizes with their intervals, what could have been found, and evidence for no effect."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Effect:
    """A standardised difference (patients minus controls) with its confidence interval."""

    g: float
    low: float
    high: float


def small_sample_factor(df: float) -> float:
    """Hedges' exact J: gamma(df/2) / (sqrt(df/2) gamma((df-1)/2))."""
    return math.exp(
        special.gammaln(df / 2) - math.log(math.sqrt(df / 2)) - special.gammaln((df - 1) / 2)
    )


def noncentrality_bounds(t: float, df: float, level: float) -> tuple[float, float]:
    """Confidence bounds of a noncentral t distribution's parameter, given one observed t."""
    tail = (1 - level) / 2
    return _bound(t, df, 1 - tail), _bound(t, df, tail)


def _bound(t: float, df: float, probability: float) -> float:
    def miss(ncp: float) -> float:
        return float(special.nctdtr(df, ncp, t)) - probability

    # The normal approximation starts the bracket; it is widened until the sign changes.
    guess = t - float(stats.norm.ppf(probability)) * math.sqrt(1 + t * t / (2 * df))
    width = 1.0
    while miss(guess - width) * miss(guess + width) > 0 and width < 64:
        width *= 2
    return float(optimize.brentq(miss, guess - width, guess + width, xtol=1e-12, rtol=1e-12))


def hedges_g(t: float, scale: float, df: float, level: float = 0.95) -> Effect:
    """Hedges' g from a t statistic, its interval from the noncentral t distribution.

    Args:
        t: of the group coefficient, with a common variance.
        scale: standard error of the coefficient over the residual standard deviation:
            sqrt(1/n1 + 1/n2) without covariates.
        df: residual degrees of freedom.
        level: of the interval.
    """
    low, high = noncentrality_bounds(t, df, level)
    factor = small_sample_factor(df) * scale
    return Effect(t * factor, low * factor, high * factor)


def raw_g(patients: Floats, controls: Floats, level: float = 0.95) -> Effect:
    """Hedges' g of two samples, nothing adjusted; pooled standard deviation."""
    df = len(patients) + len(controls) - 2
    scale = math.sqrt(1 / len(patients) + 1 / len(controls))
    t = float(stats.ttest_ind(patients, controls).statistic)
    return hedges_g(t, scale, df, level)


def minimal_effect(scale: float, df: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest true d that a two-sided t test finds with this power.

    Args:
        scale: as in `hedges_g`; covariates that go with the group make it larger.
        df: residual degrees of freedom.
        alpha: of this one test.
        power: wanted.
    """
    critical = float(stats.t.ppf(1 - alpha / 2, df))

    def miss(ncp: float) -> float:
        below = float(special.nctdtr(df, ncp, critical)) - float(special.nctdtr(df, ncp, -critical))
        return 1 - below - power

    return scale * float(optimize.brentq(miss, 0.0, critical + 8.0))


def equivalence_p(difference: float, se: float, df: float, bound: float) -> float:
    """Two one-sided tests (Schuirmann 1987): p that |difference| is not below `bound`."""
    below = stats.t.sf((difference + bound) / se, df)
    above = stats.t.cdf((difference - bound) / se, df)
    return float(max(below, above))


def bayes_factor(t: float, patients: int, controls: int, width: float) -> float:
    """BF10 of a JZS t test (Rouder 2009); above 1 speaks for a difference, below 1 against."""
    from pingouin import bayesfactor_ttest

    return float(bayesfactor_ttest(t, patients, controls, r=width))
