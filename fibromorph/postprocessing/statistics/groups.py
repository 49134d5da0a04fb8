"""Which regions differ between groups, and what could have been found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fibromorph.errors import ConfigError
from fibromorph.postprocessing.statistics.design import Tests
from fibromorph.postprocessing.statistics.effects import (
    bayes_factor,
    equivalence_p,
    minimal_effect,
    raw_g,
)
from fibromorph.postprocessing.statistics.linear import Fit, fit
from fibromorph.postprocessing.statistics.permutation import freedman_lane
from fibromorph.postprocessing.statistics.sample import MIN_PER_GROUP, MIN_RESIDUAL_DF, Sample

GROUP_COLUMNS = (
    *("region", "n_patients", "n_controls", "adjusted_difference_ml", "se_ml", "t", "df", "p"),
    *("p_fdr", "p_fwe", "hedges_g", "g_ci_low", "g_ci_high", "mdes"),
)


@dataclass(frozen=True)
class RegionRow:
    """One region's comparison; see docs/statistics.md for every column."""

    region: str
    family: str
    n_patients: int
    n_controls: int
    missing_patients: int
    missing_controls: int
    control_mean_ml: float
    adjusted_difference_ml: float
    difference_ci_low_ml: float
    difference_ci_high_ml: float
    adjusted_difference_percent: float
    percent_ci_low: float
    percent_ci_high: float
    se_ml: float
    t: float
    df: float
    p: float
    hedges_g: float
    g_ci_low: float
    g_ci_high: float
    hedges_g_raw: float
    g_raw_ci_low: float
    g_raw_ci_high: float
    mdes: float
    mdes_family: float
    bf10: float
    equivalence_p: float


def compare_groups(
    sample: Sample, families: Mapping[str, Sequence[str]], tests: Tests, progress: str = ""
) -> pd.DataFrame:
    """One row a region: `RegionRow`, and p corrected within its family.

    Raises:
        ConfigError: a region known for too few people.
    """
    rows = [
        region_row(sample, region, family, len(regions), tests)
        for family, regions in families.items()
        for region in regions
    ]
    table = pd.DataFrame(rows)
    table["p_permutation"], table["p_fwe"] = np.nan, np.nan
    for family, regions in families.items():
        _permute(table, sample, family, list(regions), tests, progress and f"{progress}: {family}")
    return with_fdr(table, ["family"])


def _permute(  # noqa: PLR0913, PLR0917
    table: pd.DataFrame,
    sample: Sample,
    family: str,
    regions: list[str],
    tests: Tests,
    progress: str,
) -> None:
    values = sample.volumes_ml[regions].to_numpy(dtype=float)
    rng = np.random.default_rng(tests.seed)
    found = freedman_lane(
        values, sample.is_patient, sample.nuisance, tests.permutations, rng, progress
    )
    table.loc[table["family"] == family, "p_permutation"] = found.p
    table.loc[table["family"] == family, "p_fwe"] = found.p_fwe


def with_fdr(table: pd.DataFrame, within: list[str]) -> pd.DataFrame:
    """Add `p_fdr` (Benjamini & Hochberg) within groups of rows; missing p stay missing."""
    from statsmodels.stats.multitest import multipletests

    table = table.assign(p_fdr=np.nan)
    for _, rows in table[table["p"].notna()].groupby(within, sort=False):
        table.loc[rows.index, "p_fdr"] = multipletests(rows["p"], method="fdr_bh")[1]
    return table


def region_row(sample: Sample, region: str, family: str, tested: int, tests: Tests) -> RegionRow:
    """The comparison of one region among `tested` of its family.

    Raises:
        ConfigError: known for too few people.
    """
    y, known = sample.region(region)
    group = sample.is_patient[known]
    x = sample.rows(known).matrix(np.ones(len(y), dtype=bool))
    _check(region, y, group, x.shape[1])
    model = fit(y, x)
    raw = raw_g(y[group == 1], y[group == 0])
    adjusted = model.g()
    low, high = model.low_ml, model.high_ml
    to_percent = 100 / model.control_mean_ml
    return RegionRow(
        region=region,
        family=family,
        n_patients=int(group.sum()),
        n_controls=int((group == 0).sum()),
        missing_patients=int((sample.is_patient[~known] == 1).sum()),
        missing_controls=int((sample.is_patient[~known] == 0).sum()),
        control_mean_ml=model.control_mean_ml,
        adjusted_difference_ml=model.difference_ml,
        difference_ci_low_ml=low,
        difference_ci_high_ml=high,
        adjusted_difference_percent=model.percent,
        percent_ci_low=low * to_percent,
        percent_ci_high=high * to_percent,
        **_evidence(model, group.sum(), (group == 0).sum(), tested, tests),
        hedges_g=adjusted.g,
        g_ci_low=adjusted.low,
        g_ci_high=adjusted.high,
        hedges_g_raw=raw.g,
        g_raw_ci_low=raw.low,
        g_raw_ci_high=raw.high,
    )


def _evidence(
    model: Fit, patients: float, controls: float, tested: int, tests: Tests
) -> dict[str, float]:
    alpha, power = tests.alpha, tests.power
    bound = tests.smallest_effect_d * model.sigma_ml
    return {
        "se_ml": model.se_ml,
        "t": model.t,
        "df": model.df,
        "p": model.p,
        "mdes": minimal_effect(model.scale, model.df, alpha, power),
        "mdes_family": minimal_effect(model.scale, model.df, alpha / tested, power),
        "bf10": bayes_factor(model.t, int(patients), int(controls), tests.prior_width),
        "equivalence_p": equivalence_p(model.difference_ml, model.se_ml, model.df, bound),
    }


def _check(region: str, y: np.ndarray, group: np.ndarray, columns: int) -> None:
    fewest = int(min(group.sum(), (group == 0).sum()))
    if fewest < MIN_PER_GROUP or len(y) - columns < MIN_RESIDUAL_DF:
        rule = f"a region needs {MIN_PER_GROUP} known volumes a group and enough for the model"
        raise ConfigError(rule, value=f"{len(y)} known", subject=region)
    if np.ptp(y) == 0:
        rule = "a region's volumes must vary; take it out of families.regions"
        raise ConfigError(rule, value=f"always {y[0]} ml", subject=region)
