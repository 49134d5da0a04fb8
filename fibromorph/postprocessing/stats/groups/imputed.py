"""The group comparison over several imputations, pooled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from fibromorph.postprocessing.stats.groups.comparison import estimate, finish, permute
from fibromorph.postprocessing.stats.groups.model import GroupModel, build_model
from fibromorph.postprocessing.stats.models.effects import equivalence_p
from fibromorph.postprocessing.stats.people.imputation import Pooled, impute, pool
from fibromorph.postprocessing.stats.people.sites import harmonised
from fibromorph.postprocessing.stats.people.study import Study


def compare_imputed(study: Study, on_block: Callable[[int], object]) -> pd.DataFrame:
    """As `compare_groups`, with missing cells imputed several times.

    Differences and g are pooled by Rubin's rules; permutation p values are medians over
    imputations (Eekhout et al. 2017, BMC Med Res Methodol 17:129); the rest are means.
    """
    design, tables = study.design, []
    for number, model in enumerate(imputed_models(study)):
        table = estimate(model, design.inference, design.smallest_effect, study.families)
        order = np.random.default_rng([design.inference.seed, 1, number])
        permutations = design.inference.permutations
        tables.append(table.join(permute(model, study.families, order, permutations, on_block)))
    pooled = pooled_table(tables, design.inference.confidence)
    pooled["n_missing"] = study.volumes.isna().sum().loc[pooled.index]
    return finish(pooled, design.inference)


def imputed_models(study: Study) -> Iterator[GroupModel]:
    """The group model of each imputation, the same at every call."""
    rng = np.random.default_rng([study.design.inference.seed, 3])
    for _ in range(study.design.missing.imputations):
        completed = impute(study, rng)
        yield harmonised(completed, build_model(completed))


def pooled_table(tables: Sequence[pd.DataFrame], confidence: float) -> pd.DataFrame:
    """One table of several imputations, of what `estimate` and `permute` tell; see above."""
    out = tables[0].copy()
    numeric = out.select_dtypes("number").columns
    stack = {c: np.stack([t[c].to_numpy(float) for t in tables]) for c in numeric}
    for column in numeric:
        out[column] = stack[column].mean(axis=0)
    for column in ("p_permutation", "p_fwe"):
        out[column] = np.median(stack[column], axis=0)
    difference = pool(stack["adjusted_difference_ml"], stack["se_ml"], stack["df"][0])
    half = (stack["g_ci_high"] - stack["g_ci_low"]) / 2
    g_se = half / stats.t.ppf(0.5 + confidence / 2, stack["df"])
    _set_difference(out, difference, confidence)
    _set_interval(
        out, "g_ci_low", "g_ci_high", pool(stack["hedges_g"], g_se, stack["df"][0]), confidence
    )
    return out


def _set_difference(out: pd.DataFrame, found: Pooled, confidence: float) -> None:
    t = found.estimate / found.se
    percent = 100 / out["control_mean_ml"]
    _set_interval(out, "ci_low_ml", "ci_high_ml", found, confidence)
    out["adjusted_difference_ml"], out["se_ml"] = found.estimate, found.se
    out["t"], out["df"], out["p"] = t, found.df, 2 * stats.t.sf(np.abs(t), found.df)
    out["difference_percent"] = percent * found.estimate
    out["percent_ci_low"] = percent * out["ci_low_ml"]
    out["percent_ci_high"] = percent * out["ci_high_ml"]
    rows = zip(found.estimate, found.se, found.df, out["equivalence_bound_ml"], strict=True)
    out["p_equivalence"] = [equivalence_p(*row) for row in rows]


def _set_interval(out: pd.DataFrame, low: str, high: str, found: Pooled, confidence: float) -> None:
    reach = stats.t.ppf(0.5 + confidence / 2, found.df) * found.se
    out[low], out[high] = found.estimate - reach, found.estimate + reach
