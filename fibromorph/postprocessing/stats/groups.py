"""Patients against controls, region by region."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from fibromorph.postprocessing.stats.design import Inference, SmallestEffect
from fibromorph.postprocessing.stats.effects import (
    detectable_effect,
    equivalence_p,
    false_discovery,
    g_interval,
    hedges_g,
    jzs_bayes_factor,
)
from fibromorph.postprocessing.stats.linear import (
    Bools,
    Floats,
    LinearFit,
    fit,
    independent,
    patterns,
)
from fibromorph.postprocessing.stats.measured import correction, fit_weighted
from fibromorph.postprocessing.stats.model import GroupModel
from fibromorph.postprocessing.stats.permutation import freedman_lane

REGION = "region"
FIRST_COLUMNS = (
    *("n_patients", "n_controls", "adjusted_difference_ml", "se_ml", "t", "df"),
    *("p", "p_fdr", "p_fwe", "hedges_g", "g_ci_low", "g_ci_high", "mdes"),
)
"""The order that `group_comparison.tsv` begins with, after `region`."""


def estimate(
    model: GroupModel,
    inference: Inference,
    smallest: SmallestEffect,
    families: Mapping[str, Sequence[str]] | None = None,
) -> pd.DataFrame:
    """Effects of all regions without permutations: one row a region, see docs/statistics.md.

    Args:
        model: volumes in ml, group and nuisance.
        inference: level, confidence, power.
        smallest: the bounds of equivalence.
        families: their sizes divide the level of `mdes_family`; one family if None.
    """
    rows: dict[str, dict[str, float]] = {}
    values = model.volumes.to_numpy(float)
    for known, columns in patterns(values):
        fitted = fit(independent(model.matrix[known]), values[np.ix_(known, columns)])
        for position, column in enumerate(columns):
            region = model.regions[column]
            rows[region] = _row(model, region, known, fitted, position, inference, smallest)
    table = pd.DataFrame.from_dict(rows, orient="index").loc[model.regions]
    table.index.name = REGION
    return _with_families(table, families or {"regions": model.regions}, inference)


def permute(
    model: GroupModel,
    families: Mapping[str, Sequence[str]],
    rng: np.random.Generator,
    permutations: int,
    on_block: Callable[[int], object] = lambda _: None,
) -> pd.DataFrame:
    """`p_permutation` and `p_fwe` of every region, corrected within its family."""
    parts = []
    for regions in families.values():
        result = freedman_lane(
            model.volumes[list(regions)].to_numpy(float),
            model.patients.astype(float),
            model.nuisance.to_numpy(float),
            rng,
            permutations,
            on_block,
        )
        columns = {"p_permutation": result.p, "p_fwe": result.p_fwe}
        parts.append(pd.DataFrame(columns, index=pd.Index(regions, name=REGION)))
    return pd.concat(parts)


def compare_groups(
    model: GroupModel,
    families: Mapping[str, Sequence[str]],
    inference: Inference,
    smallest: SmallestEffect,
    on_block: Callable[[int], object] = lambda _: None,
) -> pd.DataFrame:
    """The whole table: effects, p values of all kinds, and what they say in words."""
    rng = np.random.default_rng([inference.seed, 1])
    table = estimate(model, inference, smallest, families)
    table = table.join(permute(model, families, rng, inference.permutations, on_block))
    return finish(table, inference)


def finish(table: pd.DataFrame, inference: Inference) -> pd.DataFrame:
    """Add false discovery rates by family and the conclusion; the design's columns first."""
    table = table.copy()
    by_family = table.groupby("family", sort=False)["p"]
    table["p_fdr"] = by_family.transform(lambda p: false_discovery(p.to_numpy(float)))
    table["conclusion"] = [conclusion(row, inference.alpha) for _, row in table.iterrows()]
    others = [c for c in table.columns if c not in FIRST_COLUMNS]
    return table[[*FIRST_COLUMNS, *others]]


def conclusion(row: pd.Series, alpha: float) -> str:
    """What a region's numbers say together: a difference, equivalence, or neither."""
    different, equivalent = row["p_fwe"] <= alpha, row["p_equivalence"] <= alpha
    side = "higher" if row["adjusted_difference_ml"] > 0 else "lower"
    if different and equivalent:
        return f"{side} in patients, by less than matters"
    if different:
        return f"{side} in patients"
    return "equivalent" if equivalent else "undecided"


def _row(
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
    """Weighted by the known errors, and the standardised effect freed of them."""
    if model.sd is None:
        return {}
    sd = model.sd[region].to_numpy(float)[known]
    if np.isnan(sd).any():
        return {}
    outcome = model.volumes[region].to_numpy(float)[known]
    weighted = fit_weighted(independent(model.matrix[known]), outcome, sd)
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


def _with_families(
    table: pd.DataFrame, families: Mapping[str, Sequence[str]], inference: Inference
) -> pd.DataFrame:
    """Add each region's family, and the effect detectable when its level is shared (Bonferroni)."""
    owner = {region: family for family, regions in families.items() for region in regions}
    table["family"] = [owner[str(region)] for region in table.index]
    table["mdes_family"] = [
        detectable_effect(
            float(row["df"]),
            round(float(row["variance_factor"]), 12),
            inference.alpha / len(families[row["family"]]),
            inference.power,
        )
        for _, row in table.iterrows()
    ]
    return table.drop(columns="variance_factor")
