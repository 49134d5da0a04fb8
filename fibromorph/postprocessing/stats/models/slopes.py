"""How much of a volume, or of its change, goes with a point of a score."""

from __future__ import annotations

import numpy as np
from scipy import stats

from fibromorph.postprocessing.stats.models.linear import Bools, Floats, fit, has_full_rank


def slopes(
    outcome: Floats, score: Floats, covariates: Floats, one_group: Bools | None, confidence: float
) -> dict[str, float]:
    """Slope on the score with HC3 errors, and how much it differs between two groups.

    Args:
        outcome: (n,) ml.
        score: (n,).
        covariates: (n, k) without intercept, with the group where there are two.
        one_group: (n,) True for the group whose slope is held against the others'; None = no
            groups, and only the first four values come back.
        confidence: of the intervals.

    Returns:
        slope_ml, slope_se_ml, slope_low_ml, slope_high_ml, ml a point; slope_difference_ml,
        slope_difference_low, slope_difference_high, p_slope_difference, NaN where the score does
        not vary within a group.
    """
    x = score - score.mean()
    design = np.column_stack([np.ones(len(x)), covariates, x])
    slope, se, low, high, _ = _last(design, outcome, confidence)
    out = {"slope_ml": slope, "slope_se_ml": se, "slope_low_ml": low, "slope_high_ml": high}
    if one_group is None:
        return out
    crossed = np.column_stack([design, x * one_group])
    difference, low, high, p = (float("nan"),) * 4
    if has_full_rank(crossed):
        difference, _, low, high, p = _last(crossed, outcome, confidence)
    return {
        **out,
        "slope_difference_ml": difference,
        "slope_difference_low": low,
        "slope_difference_high": high,
        "p_slope_difference": p,
    }


def _last(design: Floats, outcome: Floats, confidence: float) -> tuple[float, ...]:
    """(estimate, se, low, high, p) of the last coefficient."""
    fitted = fit(design, outcome[:, None])
    estimate, se = float(fitted.beta[-1, 0]), float(fitted.se_hc3[-1, 0])
    reach = float(stats.t.ppf(0.5 + confidence / 2, fitted.df)) * se
    p = 2 * float(stats.t.sf(abs(estimate / se), fitted.df))
    return estimate, se, estimate - reach, estimate + reach, p
