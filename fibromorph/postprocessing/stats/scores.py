"""How volumes go with pain, mood and activity."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

from fibromorph.postprocessing.stats.correlation import (
    detectable_correlation,
    partial_correlation,
)
from fibromorph.postprocessing.stats.effects import false_discovery
from fibromorph.postprocessing.stats.linear import Bools, Floats, fit
from fibromorph.postprocessing.stats.measured import correction, fit_weighted
from fibromorph.postprocessing.stats.model import INTERCEPT, GroupModel
from fibromorph.postprocessing.stats.permutation import freedman_lane
from fibromorph.postprocessing.stats.score_groups import ScoreScope
from fibromorph.postprocessing.stats.study import SMALLEST_DF, Study

COLUMNS = ("region", "score", "group", "n", "method", "r", "ci_low", "ci_high", "p", "p_fdr")
"""The order that `associations.tsv` begins with."""


def associate(
    study: Study,
    model: GroupModel,
    scopes: list[ScoreScope],
    on_block: Callable[[int], object] = lambda _: None,
) -> pd.DataFrame:
    """All regions x scores x groups x methods, see docs/statistics.md for the columns.

    Args:
        study: its scores and design.
        model: volumes and what is adjusted for; over both groups, group is adjusted for as well.
        scopes: in whom each score may be looked at.
        on_block: told how many permutations are done.
    """
    parts = []
    for number, scope in enumerate(scopes):
        score = study.scores[scope.name].to_numpy(float)
        for group in scope.groups:
            rng = np.random.default_rng([study.design.inference.seed, 2, number])
            subset = _members(model, group) & ~np.isnan(score)
            parts += _one(study, model, score, (scope.name, group), subset, rng, on_block)
    if not parts:
        return pd.DataFrame(columns=list(COLUMNS))
    table = pd.concat(parts, ignore_index=True)
    by_question = table.groupby(["score", "group", "method", "family"], sort=False)["p"]
    table["p_fdr"] = by_question.transform(lambda p: false_discovery(p.to_numpy(float)))
    return table[[*COLUMNS, *(c for c in table.columns if c not in COLUMNS)]]


def _one(
    study: Study,
    model: GroupModel,
    score: Floats,
    question: tuple[str, str],
    subset: Bools,
    rng: np.random.Generator,
    on_block: Callable[[int], object],
) -> list[pd.DataFrame]:
    """One score in one group, over all families."""
    covariates = _covariates(model, question[1], subset)
    if subset.sum() - covariates.shape[1] - 2 < SMALLEST_DF:
        return []
    parts = []
    for family, regions in study.families.items():
        volumes = model.volumes.loc[subset, regions].to_numpy(float)
        nuisance = np.column_stack([np.ones(len(volumes)), covariates])
        permutations = study.design.inference.permutations
        joint = freedman_lane(volumes, score[subset], nuisance, rng, permutations, on_block)
        rows = [
            {**row, "family": family, "p_permutation": joint.p[i], "p_fwe": joint.p_fwe[i]}
            for i, region in enumerate(regions)
            for row in _region(study, model, region, score, question, subset)
        ]
        parts.append(pd.DataFrame(rows))
    return parts


def _region(
    study: Study,
    model: GroupModel,
    region: str,
    score: Floats,
    question: tuple[str, str],
    subset: Bools,
) -> list[dict[str, object]]:
    name, group = question
    volume = model.volumes[region].to_numpy(float)
    known = subset & ~np.isnan(volume)
    covariates = _covariates(model, group, known)
    inference = study.design.inference
    shared = _slopes(model, volume, score, known, group, inference.confidence)
    factor, reliability = _reliability(model, region, known, covariates)
    rows: list[dict[str, object]] = []
    for method in study.design.correlations.methods:
        found = partial_correlation(
            volume[known], score[known], covariates, method, inference.confidence
        )
        rows.append(
            {
                **{"region": region, "score": name, "group": group, "n": int(known.sum())},
                **{"method": method, "r": found.r, "ci_low": found.ci_low},
                **{"ci_high": found.ci_high, "df": found.df, "p": found.p},
                "detectable_r": detectable_correlation(found.df, inference.alpha, inference.power),
                "reliability": reliability,
                "r_corrected": float(np.clip(factor * found.r, -1, 1)),
                **shared,
            }
        )
    return rows


def _slopes(
    model: GroupModel, volume: Floats, score: Floats, known: Bools, group: str, confidence: float
) -> dict[str, float]:
    """ml a point of the score; over both groups also how much the slope differs in patients."""
    covariates = _covariates(model, group, known)
    x = score[known] - score[known].mean()
    columns = [np.ones(len(x)), *covariates.T, x]
    slope = fit(np.column_stack(columns), volume[known, None])
    out = {"slope_ml": float(slope.beta[-1, 0]), "slope_se_ml": float(slope.se_hc3[-1, 0])}
    if group != "both":
        return out
    crossed = fit(np.column_stack([*columns, x * model.patients[known]]), volume[known, None])
    difference, se = float(crossed.beta[-1, 0]), float(crossed.se_hc3[-1, 0])
    reach = float(stats.t.ppf(0.5 + confidence / 2, crossed.df)) * se
    return {
        **out,
        "slope_difference_ml": difference,
        "slope_difference_low": difference - reach,
        "slope_difference_high": difference + reach,
        "p_slope_difference": 2 * float(stats.t.sf(abs(difference / se), crossed.df)),
    }


def _reliability(
    model: GroupModel, region: str, known: Bools, covariates: Floats
) -> tuple[float, float]:
    """(factor that undoes the error of volumes, reliability); NaN where errors are not known."""
    if model.sd is None:
        return float("nan"), float("nan")
    sd = model.sd[region].to_numpy(float)[known]
    if np.isnan(sd).any():
        return float("nan"), float("nan")
    design = np.column_stack([np.ones(len(sd)), covariates])
    outcome = model.volumes[region].to_numpy(float)[known]
    reliability = fit_weighted(design, outcome, sd).reliability
    return correction(reliability), reliability


def _members(model: GroupModel, group: str) -> Bools:
    everyone = np.ones(len(model.patients), dtype=bool)
    return {"patients": model.patients, "controls": ~model.patients, "both": everyone}[group]


def _covariates(model: GroupModel, group: str, rows: Bools) -> Floats:
    """(rows, k) without intercept and without columns that do not vary in these rows."""
    table = model.nuisance.drop(columns=INTERCEPT).to_numpy(float)[rows]
    if group == "both":
        table = np.column_stack([table, model.patients[rows].astype(float)])
    return np.asarray(table[:, np.ptp(table, axis=0) > 0])
