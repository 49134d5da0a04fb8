"""Patients against controls, region by region."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from fibromorph.postprocessing.stats.designs.sections import Inference, SmallestEffect
from fibromorph.postprocessing.stats.groups.model import GroupModel
from fibromorph.postprocessing.stats.groups.region_effects import region_effects
from fibromorph.postprocessing.stats.models.effects import (
    detectable_effect,
    false_discovery,
)
from fibromorph.postprocessing.stats.models.linear import (
    fit,
    independent,
    patterns,
)
from fibromorph.postprocessing.stats.models.permutation import freedman_lane

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

    Columns in the unit of the volumes, whichever it is, end with `measure.INSIDE`.

    Args:
        model: volumes, group and nuisance.
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
            rows[region] = region_effects(
                model, region, known, fitted, position, inference, smallest
            )
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
    table = table.assign(p_fdr=fdr_by_family(table))
    table["conclusion"] = [conclusion(row, inference.alpha) for _, row in table.iterrows()]
    others = [c for c in table.columns if c not in FIRST_COLUMNS]
    return table[[*FIRST_COLUMNS, *others]]


def fdr_by_family(table: pd.DataFrame) -> pd.Series:
    """False discovery rates of `p` within each `family`."""
    by_family = table.groupby("family", sort=False)["p"]
    return by_family.transform(lambda p: false_discovery(p.to_numpy(float)))


def conclusion(row: pd.Series, alpha: float) -> str:
    """What a region's numbers say together: a difference, equivalence, or neither."""
    different, equivalent = row["p_fwe"] <= alpha, row["p_equivalence"] <= alpha
    side = "higher" if row["adjusted_difference_ml"] > 0 else "lower"
    if different and equivalent:
        return f"{side} in patients, by less than matters"
    if different:
        return f"{side} in patients"
    return "equivalent" if equivalent else "undecided"


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
