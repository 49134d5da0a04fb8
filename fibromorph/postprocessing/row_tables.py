"""Tables of one scan: a dataclass a row, tab-separated, `n/a` for None."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from fibromorph.errors import TableError
from fibromorph.files import write_whole

Row = TypeVar("Row", bound=Any)
"""A dataclass whose fields are text, or numbers that may be None."""

TEXT = "str"
WHOLE = "int | None"


def write_rows(path: Path, kind: type[Row], rows: Sequence[Row]) -> None:
    """Write `rows`, all of one kind, moved into place when complete."""
    names = [f.name for f in fields(kind)]
    lines = ("\t".join(_cell(getattr(row, name)) for name in names) for row in rows)
    write_whole(path, "\n".join(("\t".join(names), *lines)) + "\n")


def read_rows(path: Path, kind: type[Row], what: str) -> tuple[Row, ...]:
    """Read a table of `write_rows`.

    Args:
        path: of the table.
        kind: of its rows.
        what: the table is, for errors.

    Raises:
        TableError: missing file, other columns, or a cell that is neither a number nor n/a.
    """
    try:
        header, *lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError, ValueError) as reason:
        raise TableError(f"{what} must be readable", value=reason, subject=path) from None
    columns = [f.name for f in fields(kind)]
    if header.split("\t") != columns:
        raise TableError(f"columns must be {' '.join(columns)}", value=header, subject=path)
    return tuple(_parse(line, kind, path, number) for number, line in enumerate(lines, start=2))


def _cell(value: str | float | None) -> str:
    if value is None:
        return "n/a"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _parse(line: str, kind: type[Row], path: Path, number: int) -> Row:
    cells, types = line.split("\t"), [str(f.type) for f in fields(kind)]
    subject = f"{path}, line {number}"
    if len(cells) != len(types):
        raise TableError(f"a row must have {len(types)} cells", value=len(cells), subject=subject)
    try:
        row: Row = kind(*(_value(cell, of) for cell, of in zip(cells, types, strict=True)))
    except ValueError as reason:
        raise TableError("cells must be numbers or n/a", value=reason, subject=subject) from None
    return row


def _value(cell: str, kind: str) -> str | float | None:
    if kind == TEXT:
        return cell
    if cell == "n/a":
        return None
    return int(cell) if kind == WHOLE else float(cell)
