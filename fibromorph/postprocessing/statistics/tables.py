"""Delimited text as people have it: strange headers, n/a cells, and errors that name the row."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fibromorph.errors import TableError
from fibromorph.postprocessing.statistics.contract import squashed

MISSING = {"", "n/a", "na", "nan", "none", "null", "."}


@dataclass(frozen=True, eq=False)
class Table:
    """Cells as text, stripped; row 0 of `cells` is line 2 of the file."""

    path: Path
    cells: pd.DataFrame

    @property
    def headers(self) -> list[str]:
        return list(self.cells.columns)

    def column(self, name: str) -> pd.Series[str]:
        """The column of that name; case, spaces and punctuation may differ if it is unambiguous.

        Raises:
            TableError: no such column, or several.
        """
        if name in self.cells.columns:
            return self.cells[name]
        near = [h for h in self.headers if squashed(h) == squashed(name)]
        if len(near) == 1:
            return self.cells[near[0]]
        rule = f"the column must exist; this table has: {', '.join(self.headers)}"
        raise TableError(rule, value=name, subject=self.path)

    def has(self, name: str) -> bool:
        return any(squashed(h) == squashed(name) for h in self.headers)

    def numbers(
        self, name: str, low: float | None = None, high: float | None = None
    ) -> pd.Series[float]:
        """A column as float64, missing cells as NaN.

        Raises:
            TableError: text in a number, or a value outside [low, high]; names the line.
        """
        texts = self.column(name)
        values = [self._number(t, name, i) for i, t in enumerate(texts)]
        for i, value in enumerate(values):
            if (low is not None and value < low) or (high is not None and value > high):
                rule = f"'{name}' must lie in {_bounds(low, high)}; if its scale differs, set its "
                raise TableError(
                    rule + "range under 'variables'", value=value, subject=self.line(i)
                )
        return pd.Series(values, index=texts.index, dtype=float)

    def _number(self, text: str, name: str, row: int) -> float:
        if is_missing(text):
            return math.nan
        try:
            value = float(text)
        except ValueError:
            value = math.inf
        if math.isinf(value):
            rule = f"'{name}' must be a number (with a decimal point) or n/a"
            raise TableError(rule, value=repr(text), subject=self.line(row))
        return value

    def line(self, row: int) -> str:
        return f"{self.path}, line {row + 2}"


def _bounds(low: float | None, high: float | None) -> str:
    return f"[{'-inf' if low is None else low}, {'inf' if high is None else high}]"


def is_missing(text: str) -> bool:
    return text.casefold() in MISSING


def looks_numeric(texts: Iterable[str]) -> bool:
    """True if at least one cell is a number: the others are then numbers, n/a or mistakes."""
    return any(_parses(t) for t in texts if not is_missing(t))


def _parses(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def read_table(path: Path) -> Table:
    """Read a tab-, comma- or semicolon-separated table with one header line.

    Raises:
        TableError: unreadable, empty, ragged, or with a header twice.
    """
    lines = _rows(path)
    header = [h.strip() for h in lines[0]]
    twice = sorted({h for h in header if header.count(h) > 1})
    if twice:
        raise TableError("headers must be distinct", value=", ".join(twice), subject=path)
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(header):
            rule = f"every line must have {len(header)} cells, as the header has"
            raise TableError(rule, value=len(line), subject=f"{path}, line {number}")
    cells = [[c.strip() for c in line] for line in lines[1:]]
    return Table(path, pd.DataFrame(cells, columns=header, dtype=str))


def _rows(path: Path) -> list[list[str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as reason:
        raise TableError(
            "a table must be readable text (UTF-8)", value=reason, subject=path
        ) from None
    first = text.split("\n", 1)[0]
    delimiter = max("\t,;", key=first.count)
    rows = list(csv.reader(io.StringIO(text), delimiter=delimiter))
    while rows and not rows[-1]:
        rows.pop()
    if len(rows) < 2:
        raise TableError("a table needs a header and at least one row", subject=path)
    return rows
