"""Who was left out, why, and how many remain: the flow of a study, step by step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

SHOWN = 12


@dataclass(frozen=True)
class FlowStep:
    """One step.

    Attributes:
        rule: what had to hold to stay.
        left_out: the participants or scans that did not.
        remain: how many did.
    """

    rule: str
    left_out: tuple[str, ...]
    remain: int

    @property
    def names(self) -> str:
        """Those left out, shortened where they are many."""
        return some_of(self.left_out)


def some_of(names: Sequence[str]) -> str:
    """Names in a sentence, shortened where they are many."""
    more = len(names) - SHOWN
    shown = ", ".join(names[:SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown


class Flow:
    """Narrows a set of scans, remembering each step."""

    def __init__(self, start: str, names: Iterable[str]) -> None:
        self.steps = [FlowStep(start, (), len(list(names)))]

    def keep(self, rule: str, rows: pd.DataFrame, stays: pd.Series) -> pd.DataFrame:
        """The rows for which `stays` is true; the others are remembered under `rule`."""
        left_out = tuple(" ".join(key).strip() for key in rows.index[~stays])
        kept = rows.loc[stays]
        self.steps.append(FlowStep(rule, left_out, len(kept)))
        return kept

    def note(self, rule: str, left_out: Iterable[str], remain: int) -> None:
        """Remember a step that was taken elsewhere."""
        self.steps.append(FlowStep(rule, tuple(left_out), remain))
