"""Whether volumes change, and whether they change otherwise in those who were treated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from fibromorph.postprocessing.stats.change_design import ChangeData, change_data, unknown_note
from fibromorph.postprocessing.stats.effects import (
    detectable_ncp,
    equivalence_p,
    false_discovery,
)
from fibromorph.postprocessing.stats.follow_up import ancova, individuals
from fibromorph.postprocessing.stats.gap import gap_share
from fibromorph.postprocessing.stats.linear import Floats, has_full_rank
from fibromorph.postprocessing.stats.measured import sd_as_fitted
from fibromorph.postprocessing.stats.mixed import (
    MixedFit,
    Resampled,
    fit_mixed,
    fit_mixed_known,
    resample,
)
from fibromorph.postprocessing.stats.regression_to_mean import (
    expected_regression,
    regression_notes,
)
from fibromorph.postprocessing.stats.study import SMALLEST_DF, Study

FIRST = (
    *("region", "session", "contrast", "n_treated", "n_compared", "change_ml", "se_ml"),
    *("ci_low_ml", "ci_high_ml", "t", "p_bootstrap", "p_fdr", "p_fwe"),
)


@dataclass(frozen=True, eq=False)
class Change:
    """What was found: `change.tsv`, `change_individuals.tsv`, and sentences for the reader."""

    table: pd.DataFrame
    individuals: pd.DataFrame
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Fitted:
    """One region and session."""

    region: str
    session: str
    mixed: MixedFit
    weighted: MixedFit | None
    column: int
    drawn: Resampled


def analyse_change(
    whole: Study, on_block: Callable[[int], object] = lambda _: None
) -> Change | None:
    """Group x time of every region and follow-up session; None without follow-up sessions.

    The mixed model has a random intercept a person, so people who dropped out still inform the
    baseline; inference is by a wild bootstrap over people, family-wise over regions by its maximum.

    Args:
        whole: the scans of all sessions.
        on_block: told how many bootstraps are done.
    """
    data = change_data(whole)
    if data is None:
        return None
    inference = whole.design.inference
    rng = np.random.default_rng([inference.seed, 4])
    draws = whole.design.sessions.bootstraps
    signs = rng.choice([-1.0, 1.0], size=(draws, len(data.people)))
    parts = []
    for family, regions in whole.families.items():
        fitted = [
            one
            for region in regions
            for one in _fit(data, region, signs, on_block, weighted=whole.design.weights)
        ]
        table = pd.DataFrame([_row(whole, data, one, rng) for one in fitted])
        table["family"] = family
        table["p_fwe"] = _family_wise(fitted)
        parts.append(table)
    table = pd.concat(parts, ignore_index=True)
    by_question = table.groupby(["session", "family"], sort=False)["p_bootstrap"]
    table["p_fdr"] = by_question.transform(lambda p: false_discovery(p.to_numpy(float)))
    table["conclusion"] = [_conclusion(row, inference.alpha) for _, row in table.iterrows()]
    table = table[[*FIRST, *(c for c in table.columns if c not in FIRST)]]
    notes = (*unknown_note(whole), *regression_notes(data, table))
    return Change(table, individuals(data), notes)


def _fit(
    data: ChangeData,
    region: str,
    signs: Floats,
    on_block: Callable[[int], object],
    *,
    weighted: bool,
) -> list[_Fitted]:
    volume = data.volumes[region].to_numpy(float)
    known = ~np.isnan(volume)
    matrix, columns = data.independent(region, known)
    volume = volume[known]
    numbers, person = np.unique(data.person[known], return_inverse=True)
    mixed = fit_mixed(matrix, volume, person)
    with_errors = None
    if weighted and data.sd is not None:
        sd = data.sd[region].to_numpy(float)[known]
        sure = ~np.isnan(sd)
        # Where leaving out what has no known error leaves too little, nothing is weighted.
        if sure.sum() > matrix.shape[1] + SMALLEST_DF and has_full_rank(matrix[sure]):
            people = np.unique(person[sure], return_inverse=True)[1]
            errors = sd_as_fitted(matrix[sure], volume[sure], sd[sure])
            with_errors = fit_mixed_known(matrix[sure], volume[sure], people, errors)
    fitted = []
    for session, column in columns.items():
        drawn = resample(matrix, volume, person, mixed.ratio, column, signs[:, numbers])
        on_block(len(signs))
        fitted.append(_Fitted(region, session, mixed, with_errors, column, drawn))
    return fitted


def _row(
    whole: Study, data: ChangeData, one: _Fitted, rng: np.random.Generator
) -> dict[str, object]:
    inference = whole.design.inference
    estimate, se = float(one.mixed.beta[one.column]), float(one.mixed.se[one.column])
    low, high = one.drawn.interval(inference.confidence)
    spread = _spread_of_change(data, one.region, one.session)
    counts = _counts(data, one.region, one.session)
    df = counts["n_treated"] + counts["n_compared"] - (2 if data.compared else 1)
    baseline = data.values_at(one.region, data.baseline)
    mean = float(np.nanmean(baseline))
    return {
        **{"region": one.region, "session": one.session, "contrast": data.contrast, **counts},
        **{"change_ml": estimate, "se_ml": se, "ci_low_ml": low, "ci_high_ml": high},
        "change_percent": 100 * estimate / mean,
        "detectable_change_ml": one.drawn.se * detectable_ncp(df, inference.alpha, inference.power),
        "t": one.drawn.t,
        "df": df,
        "p_bootstrap": one.drawn.p(),
        "p_wald": 2 * float(stats.t.sf(abs(estimate / se), df)),
        "se_robust_ml": one.drawn.se,
        "intraclass": one.mixed.intraclass,
        **_weighted(one, df, inference.confidence),
        **_equivalence(whole, one, df, mean, spread),
        **ancova(data, one.region, one.session, inference.confidence),
        **_true_change(data, one.region, one.session, estimate, spread),
        "regression_to_mean_ml": expected_regression(data, one.mixed),
        **gap_share(whole, data, one.region, one.session, rng),
    }


def _weighted(one: _Fitted, df: int, confidence: float) -> dict[str, float]:
    """The same change with the error of every volume known; empty where it is not."""
    if one.weighted is None:
        return {}
    change, se = float(one.weighted.beta[one.column]), float(one.weighted.se[one.column])
    reach = float(stats.t.ppf(0.5 + confidence / 2, df)) * se
    return {
        "weighted_change_ml": change,
        "weighted_se_ml": se,
        "weighted_ci_low_ml": change - reach,
        "weighted_ci_high_ml": change + reach,
        "p_weighted": 2 * float(stats.t.sf(abs(change / se), df)),
    }


def _counts(data: ChangeData, region: str, session: str) -> dict[str, int]:
    """People with both scans, and those who were lost."""
    before = ~np.isnan(data.values_at(region, data.baseline))
    after = ~np.isnan(data.values_at(region, session))
    treated = data.treated_people()
    return {
        "n_treated": int((before & after & treated).sum()),
        "n_compared": int((before & after & ~treated).sum()),
        "lost_treated": int((before & ~after & treated).sum()),
        "lost_compared": int((before & ~after & ~treated).sum()),
    }


def _equivalence(
    whole: Study, one: _Fitted, df: int, mean: float, spread: float
) -> dict[str, float]:
    smallest = whole.design.smallest_effect
    bound = smallest.value * (spread if smallest.unit == "d" else abs(mean) / 100)
    estimate = float(one.mixed.beta[one.column])
    return {
        "equivalence_bound_ml": bound,
        "p_equivalence": equivalence_p(estimate, one.drawn.se, df, bound),
    }


def _spread_of_change(data: ChangeData, region: str, session: str) -> float:
    """Standard deviation of people's change within groups, ml."""
    difference = data.values_at(region, session) - data.values_at(region, data.baseline)
    treated = data.treated_people()
    groups = [difference[m & ~np.isnan(difference)] for m in (treated, ~treated)]
    groups = [g for g in groups if len(g) > 1]
    df = sum(len(g) - 1 for g in groups)
    return float(np.sqrt(sum(((g - g.mean()) ** 2).sum() for g in groups) / df))


def _true_change(
    data: ChangeData, region: str, session: str, estimate: float, spread: float
) -> dict[str, float]:
    """Change in sd of change, raw and with the error of two measurements taken out of that sd."""
    variance = spread**2
    out = {"d_change": estimate / spread}
    before, after = data.sd_at(region, data.baseline), data.sd_at(region, session)
    if before is not None and after is not None:
        error = float(np.nanmean(before**2 + after**2))
        true = variance - error
        out["error_share_of_change"] = min(error / variance, 1.0)
        out["d_change_corrected"] = estimate / np.sqrt(true) if true > 0.1 * variance else np.nan
    return out


def _family_wise(fitted: Sequence[_Fitted]) -> list[float]:
    """p of each against the largest |t| of every draw, over regions and sessions together."""
    largest = np.max([one.drawn.null for one in fitted], axis=0)
    return [
        float((1 + (largest >= abs(one.drawn.t) * (1 - 1e-9)).sum()) / (1 + len(largest)))
        for one in fitted
    ]


def _conclusion(row: pd.Series, alpha: float) -> str:
    bound = row["equivalence_bound_ml"]
    equivalent = row["p_equivalence"] <= alpha
    if row["p_fwe"] <= alpha:
        side = "increase" if row["change_ml"] > 0 else "decrease"
        return f"{side}, by less than matters" if equivalent else side
    if equivalent:
        return f"no change: within {bound:.3g} ml"
    return "undecided"
