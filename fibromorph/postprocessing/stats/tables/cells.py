"""Tables as text, and cells as numbers, with the line and the column in every error."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from fibromorph.errors import TableError
from fibromorph.text import read_rows

MISSING = frozenset({"", "n/a", "na", "nan", "null", "none", "."})
"""Cells that mean "not known", in lower case; BIDS itself writes `n/a`, SPSS a point."""
SEPARATORS = ("\t", ",", ";", " ")


def read_text_table(path: Path) -> pd.DataFrame:
    """A delimited table with every cell as stripped text, missing ones as None.

    The separator is the first of tab, comma, semicolon and space that the header contains.

    Raises:
        TableError: not readable, empty, a column named twice, or rows of different lengths.
    """
    (_, names), *lines = read_rows(path, SEPARATORS) or [(1, [])]
    # A last column that has no name may hold something.
    used = max((len(_trimmed(cells, 0)) for _, cells in lines), default=0)
    header = _trimmed([name.strip() for name in names], min(used, len(names)))
    if not lines:
        raise TableError("a table needs a header and rows", value=len(lines), subject=path)
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise TableError("every column needs a name of its own", value=twice[0], subject=path)
    rows = []
    for number, cells in lines:
        row = _trimmed(cells, len(header))
        if len(row) != len(header):
            raise TableError(
                f"every row needs as many cells as the header, {len(header)}",
                value=len(row),
                subject=f"{path}, line {number}",
            )
        rows.append(row)
    return _cleaned(pd.DataFrame(rows, columns=header, dtype=object))


def _trimmed(cells: list[str], least: int) -> list[str]:
    """Without the empty cells at the end that some programs write, down to `least`."""
    length = len(cells)
    while length > least and not cells[length - 1].strip():
        length -= 1
    return cells[:length]


def header_of(path: Path) -> list[str]:
    """The column names of a delimited table."""
    return [str(name) for name in read_text_table(path).columns]


def to_numbers(frame: pd.DataFrame, columns: Iterable[str], path: Path) -> pd.DataFrame:
    """The columns as float64, NaN where a cell is missing.

    Raises:
        TableError: a cell with text in it; line and column are named.
    """
    return pd.DataFrame({c: _numbers(frame[c], path) for c in columns}, index=frame.index)


def is_number(cell: object) -> bool:
    """Whether a cell of text reads as a finite number."""
    try:
        return bool(np.isfinite(float(str(cell))))
    except ValueError:
        return False


def place(path: Path, row: int, column: str) -> str:
    """How errors name a cell; `row` counts data rows from 0, lines of the file count from 1."""
    return f"{path}, line {row + 2}, column {column}"


def require_columns(frame: pd.DataFrame, columns: Iterable[str], path: Path) -> None:
    """Refuse a table that lacks one of `columns`, naming those that it has.

    Raises:
        TableError: the first that is missing.
    """
    for column in columns:
        if column not in frame.columns:
            known = ", ".join(str(c) for c in frame.columns[:40])
            raise TableError(
                f"the table must have the column (it has {known})", value=column, subject=path
            )


def _numbers(cells: pd.Series, path: Path) -> list[float]:
    column = str(cells.name)
    return [_number(cell, place(path, row, column)) for row, cell in enumerate(cells)]


def _number(cell: str | None, subject: str) -> float:
    if cell is None:
        return float("nan")
    if not is_number(cell):
        hint = "a decimal point, not a comma" if is_number(cell.replace(",", ".")) else "or n/a"
        raise TableError(f"the cell must be a number ({hint})", value=cell, subject=subject)
    return float(cell)


def _cleaned(frame: pd.DataFrame) -> pd.DataFrame:
    texts = {
        name: [_clean(cell) for cell in frame[name]] for name in (str(c) for c in frame.columns)
    }
    return pd.DataFrame(texts, dtype=object)


def _clean(cell: object) -> str | None:
    # pandas' own NaN prints as nan, which is one of the missing texts.
    text = str(cell).strip()
    return None if text.lower() in MISSING else text
