"""One region's effects: every number of a row of the group comparison but the permutations."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import stats

from fibromorph.postprocessing.stats.designs.sections import Inference, SmallestEffect
from fibromorph.postprocessing.stats.groups.model import GroupModel
from fibromorph.postprocessing.stats.models.effects import (
    detectable_effect,
    equivalence_p,
    g_interval,
    hedges_g,
    jzs_bayes_factor,
)
from fibromorph.postprocessing.stats.models.linear import Bools, Floats, LinearFit, fit, independent
from fibromorph.postprocessing.stats.models.measured import correction, fit_weighted, sd_as_fitted
from fibromorph.postprocessing.stats.people.study import SMALLEST_DF


def region_effects(
    model: GroupModel,
    region: str,
    known: Bools,
    fitted: LinearFit,
    position: int,
    inference: Inference,
    smallest: SmallestEffect,
) -> dict[str, float]:
    group = model.patients[known]
    row: dict[str, float] = {
        "n_patients": int(group.sum()),
        "n_controls": int((~group).sum()),
        "n_missing": int((~known).sum()),
        **_difference(fitted, position, inference),
        **_standardised(fitted, position, inference),
        **_raw_effect(model.raw[region].to_numpy(float)[known], group, inference),
        **_equivalence(fitted, position, smallest),
    }
    return {**row, **_corrected(model, region, known, row, inference)}


def _difference(fitted: LinearFit, column: int, inference: Inference) -> dict[str, float]:
    """ANCOVA with HC3 errors; % of the controls' adjusted mean by the delta method."""
    difference, se = float(fitted.beta[-1, column]), float(fitted.se_hc3[-1, column])
    mean = float(fitted.beta[0, column])
    share = difference / mean
    with_mean = float(fitted.hc3_covariance(0, -1)[column])
    spread = se**2 - 2 * share * with_mean + share**2 * float(fitted.se_hc3[0, column]) ** 2
    share_se = np.sqrt(spread) / abs(mean)
    reach = float(stats.t.ppf(0.5 + inference.confidence / 2, fitted.df))
    t = difference / se
    return {
        "control_mean_ml": mean,
        "adjusted_difference_ml": difference,
        "se_ml": se,
        "ci_low_ml": difference - reach * se,
        "ci_high_ml": difference + reach * se,
        "difference_percent": 100 * share,
        "percent_ci_low": 100 * (share - reach * share_se),
        "percent_ci_high": 100 * (share + reach * share_se),
        "t": t,
        "df": fitted.df,
        "p": 2 * float(stats.t.sf(abs(t), fitted.df)),
    }


def _standardised(fitted: LinearFit, column: int, inference: Inference) -> dict[str, float]:
    difference, factor = float(fitted.beta[-1, column]), float(fitted.unscaled[-1, -1])
    t = difference / float(fitted.se[-1, column])
    low, high = g_interval(t, fitted.df, factor, inference.confidence)
    return {
        "sigma_ml": float(fitted.sigma[column]),
        "hedges_g": hedges_g(difference, float(fitted.sigma[column]), fitted.df),
        "g_ci_low": low,
        "g_ci_high": high,
        "mdes": detectable_effect(fitted.df, round(factor, 12), inference.alpha, inference.power),
        "variance_factor": factor,
        "bayes_factor": jzs_bayes_factor(t, fitted.df, factor),
    }


def _raw_effect(volumes: Floats, group: Bools, inference: Inference) -> dict[str, float]:
    indicator = np.column_stack([np.ones(len(group)), group.astype(float)])
    known = ~np.isnan(volumes)
    effect = _standardised(fit(indicator[known], volumes[known, None]), 0, inference)
    return {
        "hedges_g_raw": effect["hedges_g"],
        "g_raw_ci_low": effect["g_ci_low"],
        "g_raw_ci_high": effect["g_ci_high"],
    }


def _equivalence(fitted: LinearFit, column: int, smallest: SmallestEffect) -> dict[str, float]:
    unit = fitted.sigma[column] if smallest.unit == "d" else abs(fitted.beta[0, column]) / 100
    bound = float(smallest.value * unit)
    difference, se = float(fitted.beta[-1, column]), float(fitted.se_hc3[-1, column])
    return {
        "equivalence_bound_ml": bound,
        "p_equivalence": equivalence_p(difference, se, fitted.df, bound),
    }


def _corrected(
    model: GroupModel, region: str, known: Bools, row: Mapping[str, float], inference: Inference
) -> dict[str, float]:
    """Weighted by the errors, where they are known, and the standardised effect freed of them."""
    if model.sd is None:
        return {}
    sd = model.sd[region].to_numpy(float)
    sure = known & ~np.isnan(sd)
    group = model.patients[sure]
    if min(group.sum(), (~group).sum()) < 2:
        return {}
    design = independent(model.matrix[sure])
    if len(design) - design.shape[1] < SMALLEST_DF:
        return {}
    volumes = model.volumes[region].to_numpy(float)[sure]
    weighted = fit_weighted(design, volumes, sd_as_fitted(design, volumes, sd[sure]))
    difference, se = float(weighted.beta[-1]), float(weighted.se[-1])
    factor = correction(weighted.reliability)
    reach = float(stats.t.ppf(0.5 + inference.confidence / 2, weighted.df))
    return {
        "weighted_difference_ml": difference,
        "weighted_se_ml": se,
        "weighted_ci_low_ml": difference - reach * se,
        "weighted_ci_high_ml": difference + reach * se,
        "p_weighted": 2 * float(stats.t.sf(abs(difference / se), weighted.df)),
        "reliability": weighted.reliability,
        "g_corrected": factor * row["hedges_g"],
        "g_corrected_low": factor * row["g_ci_low"],
        "g_corrected_high": factor * row["g_ci_high"],
    }
