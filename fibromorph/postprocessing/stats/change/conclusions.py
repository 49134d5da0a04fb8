"""What a change says in words: a contrast as a contrast, and whether what was lost comes back."""

from __future__ import annotations

import pandas as pd

from fibromorph.postprocessing.stats.change.data import ChangeData
from fibromorph.postprocessing.stats.tables.measure import MEASURES

NO_CHANGE = "no change"
SAME_CHANGE = "the same change"
VERDICTS = ("normalised", "partly", "loss slowed", "not shown")
KEPT = "kept"
CHANGED = (
    *("increase", "decrease", KEPT),
    *(word for measure in MEASURES.values() for word in (measure.grew, measure.shrank)),
)
UNCHANGED = (NO_CHANGE, SAME_CHANGE)
"""What conclusions begin with that say that there is a change, or none that matters."""


def conclusion(row: pd.Series, data: ChangeData, alpha: float) -> str:
    """One row of `change.tsv` in words; `data` says who is compared."""
    bound = f"within {row['equivalence_bound_ml']:.3g} {data.measure.unit}"
    equivalent = row["p_equivalence"] <= alpha
    if row["p_fwe"] <= alpha:
        words = _contrast(row, data) if data.compared else _direction(row["change_ml"])
        words = f"{words}, by less than matters" if equivalent else words
        return "; ".join(filter(None, (words, _distance(row, data))))
    if not equivalent:
        return "undecided"
    unchanged = f"{SAME_CHANGE} as in {data.against}" if data.compared else NO_CHANGE
    return f"{unchanged}: {bound}"


def own_direction(row: pd.Series) -> int:
    """1 or -1 where the treated's own change is shown, else 0."""
    return int(row["change_treated_low_ml"] > 0) - int(row["change_treated_high_ml"] < 0)


def with_verdicts(change: pd.DataFrame, groups: pd.DataFrame, alpha: float) -> pd.DataFrame:
    """Add the column `verdict`: does a region come back, where it differed at baseline?

    - normalised: the treated moved towards controls, by more than those whom they are compared
      with, and are equivalent to controls at the end.
    - partly: moved towards controls by more than those, and are not shown to be equivalent.
    - loss slowed: moved away by less than those did, or not at all while those did.
    - not shown: none of these.

    "By more" by `p_fwe`; the treated's own move by its interval; equivalence by
    `p_gap_equivalence`, every region by itself.

    Args:
        change: `change.tsv`.
        groups: the group comparison, by region; the others get no verdict.
        alpha: level.
    """
    differs = groups.index[groups["conclusion"].str.match("lower|higher")]
    verdicts = [
        _verdict(row, alpha) if row["region"] in differs else None for _, row in change.iterrows()
    ]
    return change.assign(verdict=pd.Series(verdicts, change.index, dtype=object))


def _verdict(row: pd.Series, alpha: float) -> str:
    side = 1.0 if row.get("gap_ml", 0.0) > 0 else -1.0
    if not (row["p_fwe"] <= alpha and side * row["change_ml"] > 0):
        return "not shown"
    if side * own_direction(row) > 0:
        return "normalised" if row.get("p_gap_equivalence", 1.0) <= alpha else "partly"
    # Of patients alone the contrast is their own change, and one of the above.
    return "loss slowed" if side * row.get("change_compared_ml", 0.0) < 0 else "not shown"


def _contrast(row: pd.Series, data: ChangeData) -> str:
    direction = own_direction(row)
    did = {1: data.measure.grew, 0: KEPT, -1: data.measure.shrank}[direction]
    more = (row["change_ml"] > 0) == (direction >= 0)
    words = f"{did} {'more' if more else 'less'} than"
    own, other = row["change_treated_percent"], row["change_compared_percent"]
    return f"{words} in {data.against} ({own:+.1f} % v {other:+.1f} %)"


def _direction(change: float) -> str:
    return "increase" if change > 0 else "decrease"


def _distance(row: pd.Series, data: ChangeData) -> str:
    """How far the treated are from controls; '' where they were not shown apart at baseline."""
    if not (row.get("gap_low_ml", 0.0) > 0 or row.get("gap_high_ml", 0.0) < 0):
        return ""
    before, after = row["gap_ml"], row["gap_after_ml"]
    # Between arms the contrast says nothing of the way to controls; else it is that way.
    if data.arms and own_direction(row) == 0:
        words = "about as far from"
    elif row["gap_after_low_ml"] > 0 > before or row["gap_after_high_ml"] < 0 < before:
        words = "beyond"
    elif abs(after) < abs(before):
        words = "nearer to"
    else:
        words = "further from" if before * after > 0 else "about as far from"
    who = "the treated" if data.arms else "patients"
    far = f"{abs(after):.3g} v {abs(before):.3g} {data.measure.unit}"
    return f"{who} are now {words} controls ({far})"
