"""Tables as text, and cells as numbers, with the line and the column in every error."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from fibromorph.errors import TableError
from fibromorph.text import read_table

MISSING = frozenset({"", "n/a", "na", "nan", "null", "none", "."})
"""Cells that mean "not known", in lower case; BIDS itself writes `n/a`, SPSS a point."""
SEPARATORS = ("\t", ",", ";", " ")


def read_text_table(path: Path) -> pd.DataFrame:
    """A delimited table with every cell as stripped text, missing ones as None.

    The separator is tab, comma, semicolon or space, see `read_rows`. The index is each row's line
    in the file, as errors name it: blank lines count, too.

    Raises:
        TableError: not readable, empty, a column named twice, or rows of different lengths.
    """
    header, lines = read_table(path, SEPARATORS)
    if not lines:
        raise TableError("a table needs a header and rows", value=len(lines), subject=path)
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise TableError("every column needs a name of its own", value=twice[0], subject=path)
    numbers, rows = zip(*lines, strict=True)
    return _cleaned(pd.DataFrame(list(rows), index=list(numbers), columns=header, dtype=object))


def to_numbers(frame: pd.DataFrame, columns: Iterable[str], path: Path) -> pd.DataFrame:
    """The columns as float64, NaN where a cell is missing.

    Args:
        frame: cells as `read_text_table` gives them.
        columns: to convert.
        path: named in errors.

    Raises:
        TableError: a cell with text in it; line and column are named.
    """
    found = {
        column: [
            to_number(cell, place(path, line, column))
            for line, cell in zip(list(frame.index), frame[column], strict=True)
        ]
        for column in columns
    }
    return pd.DataFrame(found, index=frame.index)


def to_number(cell: str | None, subject: str) -> float:
    """A cell as a number, NaN where it is missing; `subject` says which it is.

    Raises:
        TableError: text in it.
    """
    if cell is None:
        return float("nan")
    if not is_number(cell):
        hint = "a decimal point, not a comma" if is_number(cell.replace(",", ".")) else "or n/a"
        raise TableError(f"the cell must be a number ({hint})", value=cell, subject=subject)
    return float(cell)


def is_number(cell: object) -> bool:
    """Whether a cell of text reads as a finite number."""
    try:
        return bool(np.isfinite(float(str(cell))))
    except ValueError:
        return False


def place(path: Path, line: int, column: str = "") -> str:
    """How errors name a row or a cell of it; lines of the file count from 1."""
    return f"{path}, line {line}" + (f", column {column}" if column else "")


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


def _cleaned(frame: pd.DataFrame) -> pd.DataFrame:
    texts = {
        name: [_clean(cell) for cell in frame[name]] for name in (str(c) for c in frame.columns)
    }
    return pd.DataFrame(texts, index=frame.index, dtype=object)


def _clean(cell: object) -> str | None:
    # pandas' own NaN prints as nan, which is one of the missing texts.
    text = str(cell).strip()
    return None if text.lower() in MISSING else text
