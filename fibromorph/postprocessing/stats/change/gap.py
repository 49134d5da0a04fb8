"""How far the treated are from controls, before and after, and the share of it that they close.

The distance at baseline and the change come from two fits of overlapping people. Each estimate is,
to first order, a sum of what every person moves it by (its influences), so that products of both
fits' influences sum to their covariance, and no joint model is needed (Hampel 1974, J Am Stat Assoc
69:383-393).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from fibromorph.postprocessing.stats.designs.sections import SmallestEffect
from fibromorph.postprocessing.stats.groups.model import build_model
from fibromorph.postprocessing.stats.models.effects import equivalence_p
from fibromorph.postprocessing.stats.models.linear import Floats, LinearFit, fit, independent
from fibromorph.postprocessing.stats.people.study import Study


@dataclass(frozen=True, eq=False)
class Moved:
    """By how much the treated moved against controls; n people.

    Attributes:
        ml: of treated patients; less the controls' own change where they were scanned again.
        own_ml: of the treated themselves.
        influence: (n,) ml, by participant.
        df: of its error.
    """

    ml: float
    own_ml: float
    influence: pd.Series
    df: float


@dataclass(frozen=True)
class Estimate:
    """A number and its variance."""

    value: float
    variance: float

    def interval(self, reach: float) -> tuple[float, float]:
        """`reach`: quantile of t."""
        half = reach * float(np.sqrt(self.variance))
        return self.value - half, self.value + half


def distance(
    whole: Study, treated: pd.Series, baseline: str, region: str, moved: Moved
) -> dict[str, float]:
    """Distance of the treated to controls, adjusted, and what remains of it.

    Args:
        whole: the scans of all sessions.
        treated: True for those who were treated, by participant.
        baseline: session.
        region: of the volumes.
        moved: to the session that is asked about.

    Returns:
        gap_ml: controls minus the treated at baseline; gap_after_ml: less what they moved; each
        with its interval (HC3). gap_bound_ml, p_gap_equivalence: two one-sided tests of the latter
        against the smallest effect. gap_share: closed, with Fieller's interval; NaN where the gap's
        own interval contains 0, or where the treated themselves did not move towards controls.
        Empty where fewer than two controls were scanned.
    """
    base = whole.at(baseline)
    known = base.covariates.notna().all(axis=1)
    if base.etiv is not None and base.design.etiv != "none":
        known &= base.etiv.notna()
    base = base.rows(known)
    if int((~base.patients).sum()) < 2:
        return {}
    fitted, people = _fit(base, treated, region)
    gap = -float(fitted.beta[-1, 0])
    of_gap = pd.Series(-fitted.hc3_influence(-1)[:, 0], people)
    of_after = of_gap.sub(moved.influence, fill_value=0.0)
    variances = float((of_gap**2).sum()), float((moved.influence**2).sum())
    before = Estimate(gap, variances[0])
    after = Estimate(gap - moved.ml, float((of_after**2).sum()))
    # The larger of the two samples' quantiles: neither estimate is surer than its own.
    df = min(fitted.df, moved.df)
    confidence = whole.design.inference.confidence
    reach = float(stats.t.ppf(0.5 + confidence / 2, df))
    bound = _bound(whole.design.smallest_effect, fitted)
    low, high = before.interval(float(stats.t.ppf(0.5 + confidence / 2, fitted.df)))
    after_low, after_high = after.interval(reach)
    share = (float("nan"),) * 3
    if (low > 0 or high < 0) and moved.own_ml * gap > 0:
        covariance = (sum(variances) - after.variance) / 2
        limits = fieller(Estimate(moved.ml, variances[1]), before, covariance, reach)
        share = share if np.isnan(limits).any() else (moved.ml / gap, *limits)
    return {
        "gap_ml": gap,
        "gap_low_ml": low,
        "gap_high_ml": high,
        "gap_after_ml": after.value,
        "gap_after_low_ml": after_low,
        "gap_after_high_ml": after_high,
        "gap_bound_ml": bound,
        "p_gap_equivalence": equivalence_p(after.value, after.variance**0.5, df, bound),
        **dict(zip(("gap_share", "gap_share_low", "gap_share_high"), share, strict=True)),
    }


def fieller(
    numerator: Estimate, denominator: Estimate, covariance: float, reach: float
) -> tuple[float, float]:
    """Interval of a ratio (Fieller 1954, J R Stat Soc B 16:175-185).

    All ratios r for which numerator - r x denominator does not differ from 0.

    Args:
        numerator, denominator: with their variances.
        covariance: of both.
        reach: quantile of t.

    Returns:
        NaN where the denominator does not differ from 0: the interval then has no ends.
    """
    a = denominator.value**2 - reach**2 * denominator.variance
    b = numerator.value * denominator.value - reach**2 * covariance
    c = numerator.value**2 - reach**2 * numerator.variance
    if a <= 0:
        return float("nan"), float("nan")
    half = float(np.sqrt(max(b**2 - a * c, 0.0)))
    return (b - half) / a, (b + half) / a


def _fit(base: Study, treated: pd.Series, region: str) -> tuple[LinearFit, list[str]]:
    """The group comparison's model, the treated apart from other patients; whose rows it has."""
    model = build_model(base)
    of_treated = np.array([bool(treated.get(p, False)) for p in base.participants])
    others = (model.patients & ~of_treated).astype(float)
    columns = (model.nuisance.to_numpy(float), others, of_treated.astype(float))
    volume = model.volumes[region].to_numpy(float)
    known = ~np.isnan(volume) & model.nuisance.notna().all(axis=1).to_numpy(bool)
    design: Floats = np.column_stack(columns)[known]
    names = [p for p, k in zip(base.participants, known, strict=True) if k]
    return fit(independent(design), volume[known, None]), names


def _bound(smallest: SmallestEffect, fitted: LinearFit) -> float:
    unit = fitted.sigma[0] if smallest.unit == "d" else abs(fitted.beta[0, 0]) / 100
    return float(smallest.value * unit)
