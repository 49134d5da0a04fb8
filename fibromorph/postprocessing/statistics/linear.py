"""One region, one linear model: adjusted difference with heteroscedasticity-consistent errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from fibromorph.postprocessing.statistics.effects import Effect, hedges_g

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """The group coefficient of volume ~ 1 + group + covariates.

    Attributes:
        difference_ml: patients minus controls, adjusted.
        se_ml, t, df, p: with HC3 errors (MacKinnon & White 1985) and t(df).
        low_ml, high_ml: confidence interval with HC3 errors.
        control_mean_ml: adjusted to the sample's mean covariates.
        sigma_ml: residual standard deviation.
        scale: classical standard error over sigma.
        classical_t: with a common variance; what g, its interval and permutations rest on.
    """

    difference_ml: float
    se_ml: float
    t: float
    df: int
    p: float
    low_ml: float
    high_ml: float
    control_mean_ml: float
    sigma_ml: float
    scale: float
    classical_t: float

    @property
    def percent(self) -> float:
        return 100 * self.difference_ml / self.control_mean_ml

    def g(self, level: float = 0.95) -> Effect:
        """Adjusted Hedges' g: the difference over the residual standard deviation."""
        return hedges_g(self.classical_t, self.scale, self.df, level)


def fit(y: Floats, x: Floats, level: float = 0.95, weights: Floats | None = None) -> Fit:
    """Fit by (weighted) least squares; column 0 of `x` is the intercept, column 1 the group.

    Args:
        y: (n,) volumes in ml.
        x: (n, p).
        level: of the interval.
        weights: (n,) inverse variances up to a factor.
    """
    import statsmodels.api as sm

    model = sm.OLS(y, x) if weights is None else sm.WLS(y, x, weights / weights.mean())
    plain = model.fit()
    df = int(plain.df_resid)
    difference, se = float(plain.params[1]), float(plain.HC3_se[1])
    t = difference / se
    half = float(stats.t.ppf((1 + level) / 2, df)) * se
    sigma = float(np.sqrt(plain.scale))
    return Fit(
        difference_ml=difference,
        se_ml=se,
        t=t,
        df=df,
        p=float(2 * stats.t.sf(abs(t), df)),
        low_ml=difference - half,
        high_ml=difference + half,
        control_mean_ml=float(plain.params[0]),
        sigma_ml=sigma,
        scale=float(plain.bse[1]) / sigma,
        classical_t=float(plain.tvalues[1]),
    )
