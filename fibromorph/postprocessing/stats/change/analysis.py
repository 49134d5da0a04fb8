"""Whether volumes change, and whether they change otherwise in those who were treated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from fibromorph.postprocessing.stats.change.conclusions import conclusion
from fibromorph.postprocessing.stats.change.data import ChangeData
from fibromorph.postprocessing.stats.change.follow_up import ancova, individuals
from fibromorph.postprocessing.stats.change.gap import Moved, distance
from fibromorph.postprocessing.stats.change.question import left_out_notes
from fibromorph.postprocessing.stats.change.regression_to_mean import (
    expected_regression,
    regression_notes,
)
from fibromorph.postprocessing.stats.models.effects import (
    detectable_ncp,
    equivalence_p,
    false_discovery,
    g_interval,
    holm,
    small_sample_factor,
)
from fibromorph.postprocessing.stats.models.linear import Floats, has_full_rank
from fibromorph.postprocessing.stats.models.measured import sd_as_fitted
from fibromorph.postprocessing.stats.models.mixed import MixedFit, fit_mixed, fit_mixed_known
from fibromorph.postprocessing.stats.models.wild_bootstrap import (
    Resampled,
    resample,
    resample_known,
)
from fibromorph.postprocessing.stats.people.study import SMALLEST_DF, Study

MOST_ERROR = 0.5
"""Share of the variance of change beyond which no effect is corrected for error."""
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
    """One region and session.

    Attributes:
        mixed: the model, whose column `column` is the contrast.
        adjusting: how many covariates the change is adjusted for.
        drawn: the contrast; without a comparison group, the change.
        treated, compared: each group's own change; None without a comparison group.
        weighted: the contrast with the volumes' errors known; None where they are not.
        people: (n,) names in the order of the draws' influences.
    """

    region: str
    session: str
    mixed: MixedFit
    column: int
    adjusting: int
    drawn: Resampled
    treated: Resampled
    compared: Resampled | None
    weighted: Resampled | None
    people: list[str]


def analyse_change(
    whole: Study, data: ChangeData, on_block: Callable[[int], object] = lambda _: None
) -> Change:
    """Group x time of every region and follow-up session.

    The mixed model has a random intercept a person, so people who dropped out still inform the
    baseline; inference is by a wild bootstrap over people, family-wise over regions by its maximum.

    Args:
        whole: the scans of all sessions.
        data: their rows, of `change_data`.
        on_block: told how many bootstraps are done.
    """
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
        table = pd.DataFrame([_row(whole, data, one) for one in fitted])
        table["family"] = family
        table["p_fwe"] = _family_wise(fitted)
        if data.arms:
            table["p_ancova_fwe"] = holm(table["p_ancova"].to_numpy(float))
        parts.append(table)
    table = pd.concat(parts, ignore_index=True)
    by_question = table.groupby(["session", "family"], sort=False)["p_bootstrap"]
    table["p_fdr"] = by_question.transform(lambda p: false_discovery(p.to_numpy(float)))
    table["conclusion"] = [conclusion(row, data, inference.alpha) for _, row in table.iterrows()]
    table = table[[*FIRST, *(c for c in table.columns if c not in FIRST)]]
    notes = (*left_out_notes(whole), *data.notes, *regression_notes(data, table))
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
    matrix = data.independent(region, known)
    apart, sessions = matrix.apart(), len(matrix.columns)
    volume = volume[known]
    numbers, person = np.unique(data.person[known], return_inverse=True)
    signs = signs[:, numbers]
    mixed = fit_mixed(matrix.values, volume, person)
    with_errors = _weighted(data, region, matrix.values, signs) if weighted else None
    fitted = []
    for session, column in matrix.columns.items():
        drawn = resample(matrix.values, volume, person, mixed.ratio, column, signs)
        treated, compared = drawn, None
        if data.compared:
            treated = resample(apart, volume, person, mixed.ratio, column, signs)
            compared = resample(apart, volume, person, mixed.ratio, column - sessions, signs)
        on_block(len(signs))
        fitted.append(
            _Fitted(
                region,
                session,
                mixed,
                column,
                matrix.adjusting[session],
                drawn,
                treated,
                compared,
                None if with_errors is None else with_errors(column),
                [data.people[number] for number in numbers],
            )
        )
    return fitted


def _weighted(
    data: ChangeData, region: str, matrix: Floats, signs: Floats
) -> Callable[[int], Resampled] | None:
    """Draws of a column with the errors known; None where too few are.

    Args:
        matrix: (rows with a known volume, p).
        signs: (draws, people with a known volume).
    """
    if data.sd is None:
        return None
    volume, sd = data.volumes[region].to_numpy(float), data.sd[region].to_numpy(float)
    known = ~np.isnan(volume)
    sure = ~np.isnan(sd[known])
    matrix, volume, sd = matrix[sure], volume[known][sure], sd[known][sure]
    # Where leaving out what has no known error leaves too little, nothing is weighted.
    if len(matrix) <= matrix.shape[1] + SMALLEST_DF or not has_full_rank(matrix):
        return None
    everybody = np.unique(data.person[known], return_inverse=True)[1]
    numbers, person = np.unique(everybody[sure], return_inverse=True)
    errors = sd_as_fitted(matrix, volume, sd)
    fitted = fit_mixed_known(matrix, volume, person, errors)
    return lambda column: resample_known(
        matrix, volume, person, errors, fitted, column, signs[:, numbers]
    )


def _row(whole: Study, data: ChangeData, one: _Fitted) -> dict[str, object]:
    inference = whole.design.inference
    estimate, se = float(one.mixed.beta[one.column]), float(one.mixed.se[one.column])
    low, high = one.drawn.interval(inference.confidence)
    spread = _spread_of_change(data, one.region, one.session)
    counts = _counts(data, one.region, one.session)
    df = counts["n_treated"] + counts["n_compared"] - (2 if data.compared else 1) - one.adjusting
    baseline = data.values_at(one.region, data.baseline)
    mean = float(np.nanmean(baseline))
    return {
        **{"region": one.region, "session": one.session, "contrast": data.contrast, **counts},
        **{"change_ml": estimate, "se_ml": se, "ci_low_ml": low, "ci_high_ml": high},
        "change_percent": 100 * estimate / mean,
        **_of_group("treated", one.treated, mean, inference.confidence),
        **_of_group("compared", one.compared, mean, inference.confidence),
        "detectable_change_ml": one.drawn.se * detectable_ncp(df, inference.alpha, inference.power),
        "t": one.drawn.t,
        "df": df,
        "p_bootstrap": one.drawn.p(),
        "p_wald": 2 * float(stats.t.sf(abs(estimate / se), df)),
        "se_robust_ml": one.drawn.se,
        "intraclass": one.mixed.intraclass,
        **_with_errors(one.weighted, inference.confidence),
        **_equivalence(whole, one, df, mean, spread),
        **ancova(data, one.region, one.session, inference.confidence),
        **_standardised(data, one, df, spread, inference.confidence),
        "regression_to_mean_ml": expected_regression(data, one.mixed),
        **distance(
            whole,
            pd.Series(data.treated_people(), data.people),
            data.baseline,
            one.region,
            _moved(data, one, df),
        ),
    }


def _of_group(
    title: str, drawn: Resampled | None, mean: float, confidence: float
) -> dict[str, float]:
    """A group's own change at average covariates; empty without such a group."""
    if drawn is None:
        return {}
    low, high = drawn.interval(confidence)
    return {
        f"change_{title}_ml": drawn.estimate,
        f"change_{title}_low_ml": low,
        f"change_{title}_high_ml": high,
        f"change_{title}_percent": 100 * drawn.estimate / mean,
    }


def _moved(data: ChangeData, one: _Fitted, df: int) -> Moved:
    """Against controls: arms by their own change, since controls were scanned at baseline alone."""
    drawn = one.treated if data.arms else one.drawn
    influence = pd.Series(drawn.influence, one.people)
    return Moved(drawn.estimate, one.treated.estimate, influence, df)


def _with_errors(drawn: Resampled | None, confidence: float) -> dict[str, float]:
    """The same change with the error of every volume known; empty where it is not."""
    if drawn is None:
        return {}
    low, high = drawn.interval(confidence)
    return {
        "weighted_change_ml": drawn.estimate,
        "weighted_se_ml": drawn.se,
        "weighted_ci_low_ml": low,
        "weighted_ci_high_ml": high,
        "p_weighted": drawn.p(),
    }


def _counts(data: ChangeData, region: str, session: str) -> dict[str, int]:
    """People with both scans, and those who were lost."""
    before, both = ~np.isnan(data.values_at(region, data.baseline)), data.pairs(region, session)
    treated = data.treated_people()
    return {
        "n_treated": int((both & treated).sum()),
        "n_compared": int((both & ~treated).sum()),
        "lost_treated": int((before & ~both & treated).sum()),
        "lost_compared": int((before & ~both & ~treated).sum()),
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


def _standardised(
    data: ChangeData, one: _Fitted, df: int, spread: float, confidence: float
) -> dict[str, float]:
    """Change in sd of change, with Hedges' factor and noncentral interval.

    A change between two scans has twice the variance within a person, so the model's own error
    over that gives the interval what covariates and drop-out cost. Corrected: with the error of two
    measurements taken out of the sd; not given where error makes up more than half of the variance,
    as what is left is then too uncertain to divide by its root.
    """
    variance, estimate = spread**2, float(one.mixed.beta[one.column])
    factor = float(one.mixed.se[one.column] / one.mixed.within) ** 2 / 2
    t = estimate / (spread * factor**0.5)
    # Volumes that do not vary from scan to scan have no spread to speak in.
    known = np.isfinite(t)
    low, high = g_interval(t, df, factor, confidence) if known else (np.nan, np.nan)
    standardised = small_sample_factor(df) * estimate / spread, low, high
    out = dict(zip(("d_change", "d_change_low", "d_change_high"), standardised, strict=True))
    before, after = data.sd_at(one.region, data.baseline), data.sd_at(one.region, one.session)
    if before is not None and after is not None:
        error = float(np.nanmean(before**2 + after**2))
        true = variance - error
        out["error_share_of_change"] = min(error / variance, 1.0)
        scale = spread / np.sqrt(true) if error <= MOST_ERROR * variance else np.nan
        names = ("d_change_corrected", "d_corrected_low", "d_corrected_high")
        out |= {name: scale * d for name, d in zip(names, standardised, strict=True)}
    return out


def _family_wise(fitted: Sequence[_Fitted]) -> list[float]:
    """p of each against the largest |t| of every draw, over regions and sessions together."""
    largest = np.max([one.drawn.null for one in fitted], axis=0)
    return [
        float((1 + (largest >= abs(one.drawn.t) * (1 - 1e-9)).sum()) / (1 + len(largest)))
        for one in fitted
    ]
