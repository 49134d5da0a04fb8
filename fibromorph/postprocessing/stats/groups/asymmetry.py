"""Left against right: does one side of a pair differ from controls by more than the other?

That one side is found and the other is not does not show that they differ from each other
(Nieuwenhuis, Forstmann & Wagenmakers 2011, Nat Neurosci 14:1105-1107). Here what is compared is
every person's asymmetry itself, (left - right) / mean of both (Kurth, Gaser & Luders 2015, Nat
Protoc 10:293-304), by the model of the regions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from fibromorph.postprocessing.names import twins, without_side
from fibromorph.postprocessing.stats.designs.sections import Inference, SmallestEffect
from fibromorph.postprocessing.stats.groups.comparison import (
    REGION,
    estimate,
    fdr_by_family,
    permute,
)
from fibromorph.postprocessing.stats.groups.imputed import pooled_table
from fibromorph.postprocessing.stats.groups.model import GroupModel
from fibromorph.postprocessing.stats.models.effects import equivalence_p

PAIR = "pair"
CALLED = {
    "control_mean_ml": "control_asymmetry_percent",
    "adjusted_difference_ml": "asymmetry_difference_percent",
    "se_ml": "se_percent",
    "ci_low_ml": "ci_low_percent",
    "ci_high_ml": "ci_high_percent",
}
"""Columns of the regions' table -> what they are called of an asymmetry, whose unit is %."""
COLUMNS = (
    *("family", "left", "right", "n_patients", "n_controls"),
    *("left_difference_percent", "right_difference_percent"),
    *CALLED.values(),
    *("t", "df", "p", "p_fdr", "p_permutation", "p_fwe", "hedges_g", "g_ci_low", "g_ci_high"),
    *("mdes", "equivalence_bound_percent", "p_equivalence", "conclusion"),
)


Pair = tuple[str, str]
"""Left and right region."""


def side_pairs(model: GroupModel, families: Mapping[str, Sequence[str]]) -> dict[str, list[Pair]]:
    """Family -> its pairs of which enough people have both sides; families with none left out."""
    pairs = {
        family: [both for both in twins(regions).values() if model.has_enough(both)]
        for family, regions in families.items()
    }
    return {family: found for family, found in pairs.items() if found}


def compare_asymmetry(
    models: Iterable[GroupModel],
    groups: pd.DataFrame,
    families: Mapping[str, Sequence[str]],
    inference: Inference,
    smallest: SmallestEffect,
    on_block: Callable[[int], object] = lambda _: None,
) -> pd.DataFrame | None:
    """One row a pair of regions of one family; None where there is no pair.

    A difference is in percentage points: of a pair whose left side is 3 % lower and whose right
    side is as in controls it is -3.

    Args:
        models: of the group comparison, one an imputation; their tables are pooled as its are.
        groups: its table, whose differences of either side are repeated.
        families: of regions; pairs are corrected within them.
        inference: level, confidence, power, permutations, seed.
        smallest: the bounds of equivalence; in %, those of one side alone.
        on_block: told how many permutations are done.
    """
    pairs: dict[str, list[Pair]] = {}
    tables = []
    for number, model in enumerate(models):
        pairs = pairs or side_pairs(model, families)
        if not pairs:
            return None
        both = [pair for found in pairs.values() for pair in found]
        lefts = {family: [left for left, _ in found] for family, found in pairs.items()}
        indices, rng = _of_pairs(model, both), np.random.default_rng([inference.seed, 7, number])
        one = estimate(indices, inference, smallest, lefts)
        draws = permute(indices, lefts, rng, inference.permutations, on_block)
        tables.append(one.join(draws))
    table = tables[0] if len(tables) == 1 else pooled_table(tables, inference.confidence)
    table["p_fdr"] = fdr_by_family(table)
    table["left"], table["right"] = zip(*both, strict=True)
    percent = groups["difference_percent"]
    table["left_difference_percent"] = [percent[left] for left, _ in both]
    table["right_difference_percent"] = [percent[right] for _, right in both]
    table = _with_equivalence(table.rename(columns=CALLED), smallest)
    table["conclusion"] = [_conclusion(row, inference.alpha) for _, row in table.iterrows()]
    table.index = pd.Index([without_side(left) for left, _ in both], name=PAIR)
    return table[list(COLUMNS)]


def _of_pairs(model: GroupModel, pairs: Sequence[Pair]) -> GroupModel:
    """The model of asymmetries in %, named as the left regions."""
    return GroupModel(
        volumes=_indices(model.volumes, pairs),
        raw=_indices(model.raw, pairs),
        sd=None,
        patients=model.patients,
        nuisance=model.nuisance,
    )


def _indices(volumes: pd.DataFrame, pairs: Sequence[Pair]) -> pd.DataFrame:
    """(n, pairs) asymmetry in %, named as the left regions; NaN where a side is missing."""
    left, right = (volumes[list(side)].to_numpy(float) for side in zip(*pairs, strict=True))
    names = pd.Index([name for name, _ in pairs], name=REGION)
    return pd.DataFrame(200 * (left - right) / (left + right), volumes.index, names)


def _with_equivalence(table: pd.DataFrame, smallest: SmallestEffect) -> pd.DataFrame:
    """A bound in % is one of points here: by so much a side alone moves the asymmetry."""
    own = table["sigma_ml"] if smallest.unit == "d" else 1.0
    table["equivalence_bound_percent"] = smallest.value * own
    columns = ("asymmetry_difference_percent", "se_percent", "df", "equivalence_bound_percent")
    rows = zip(*(table[column] for column in columns), strict=True)
    table["p_equivalence"] = [equivalence_p(*row) for row in rows]
    return table


def _conclusion(row: pd.Series, alpha: float) -> str:
    """In words; of a difference the side is named that itself differs from controls by more."""
    if row["p_fwe"] <= alpha:
        on_left = abs(row["left_difference_percent"]) >= abs(row["right_difference_percent"])
        higher = (row["asymmetry_difference_percent"] > 0) == on_left
        side, way = "left" if on_left else "right", "higher" if higher else "lower"
        return f"{side} relatively {way} in patients"
    return "both sides alike" if row["p_equivalence"] <= alpha else "undecided"
