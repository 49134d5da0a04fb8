"""What a change says in words: a contrast as a contrast, and whether the volume comes back."""

from __future__ import annotations

import pandas as pd

from fibromorph.postprocessing.stats.change.data import ChangeData

NO_CHANGE = "no change"
SAME_CHANGE = "the same change"
VERDICTS = ("normalised", "partly", "loss slowed", "not shown")
UPWARDS = {1: "grew more than", 0: "kept more than", -1: "shrank less than"}
DOWNWARDS = {1: "grew less than", 0: "kept less than", -1: "shrank more than"}
"""By the direction of the treated's own change, 0 where its interval holds none."""
CHANGED = ("increase", "decrease", "grew", "kept", "shrank")
UNCHANGED = (NO_CHANGE, SAME_CHANGE)
"""What conclusions begin with that say that there is a change, or none that matters."""


def conclusion(row: pd.Series, data: ChangeData, alpha: float) -> str:
    """One row of `change.tsv` in words; `data` says who is compared."""
    bound = f"within {row['equivalence_bound_ml']:.3g} ml"
    equivalent = row["p_equivalence"] <= alpha
    if row["p_fwe"] <= alpha:
        words = _contrast(row, data.against) if data.compared else _direction(row["change_ml"])
        words = f"{words}, by less than matters" if equivalent else words
        return "; ".join(filter(None, (words, _distance(row, arms=data.arms))))
    if not equivalent:
        return "undecided"
    unchanged = f"{SAME_CHANGE} as in {data.against}" if data.compared else NO_CHANGE
    return f"{unchanged}: {bound}"


def own_direction(row: pd.Series) -> int:
    """1 or -1 where the treated's own change is shown, else 0."""
    return int(row["change_treated_low_ml"] > 0) - int(row["change_treated_high_ml"] < 0)


def with_verdicts(change: pd.DataFrame, groups: pd.DataFrame, alpha: float) -> pd.DataFrame:
    """Add the column `verdict`: does the volume come back, where it differed at baseline?

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


def _contrast(row: pd.Series, against: str) -> str:
    words = (UPWARDS if row["change_ml"] > 0 else DOWNWARDS)[own_direction(row)]
    own, other = row["change_treated_percent"], row["change_compared_percent"]
    return f"{words} in {against} ({own:+.1f} % v {other:+.1f} %)"


def _direction(change: float) -> str:
    return "increase" if change > 0 else "decrease"


def _distance(row: pd.Series, *, arms: bool) -> str:
    """How far the treated are from controls; '' where they were not shown apart at baseline."""
    if not (row.get("gap_low_ml", 0.0) > 0 or row.get("gap_high_ml", 0.0) < 0):
        return ""
    before, after = row["gap_ml"], row["gap_after_ml"]
    # Between arms the contrast says nothing of the way to controls; else it is that way.
    if arms and own_direction(row) == 0:
        words = "about as far from"
    elif before * after < 0:
        words = "beyond"
    else:
        words = "nearer to" if abs(after) < abs(before) else "further from"
    who = "the treated" if arms else "patients"
    return f"{who} are now {words} controls ({abs(after):.3g} v {abs(before):.3g} ml)"
