"""Text of tables that people edit, and what of a text may be shown."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterable, Sequence
from io import StringIO
from pathlib import Path

from fibromorph.errors import TableError


def read_rows(path: Path, separators: Sequence[str]) -> list[tuple[int, list[str]]]:
    """The rows of a delimited table that are not blank, header first, each with its line.

    Args:
        path: the table.
        separators: of those that the header contains, the first that splits the next line into as
            many cells is the table's, else the first, else a tab.

    Raises:
        TableError: not readable, no text, or a quote that is not closed in its line: what follows
            it would vanish in a cell.
    """
    try:
        text = decode(path.read_bytes())
    except OSError as error:
        raise TableError("a table must be readable", value=error.strerror, subject=path) from error
    if "\0" in text:
        raise TableError("a table must be text, not a spreadsheet's own format", subject=path)
    rows: list[tuple[int, list[str]]] = []
    line = 0
    try:
        separator = _separator(text, separators)
        reader = csv.reader(StringIO(text, newline=""), delimiter=separator)
        for row in reader:
            if reader.line_num > line + 1:
                raise csv.Error("a cell that goes on in the next line")
            line = reader.line_num
            if any(cell.strip() for cell in row):
                rows.append((line, row))
    except csv.Error as error:
        rule = "every quote must be closed in its line"
        raise TableError(rule, value=error, subject=f"{path}, line {line + 1}") from None
    return rows


def _separator(text: str, separators: Sequence[str]) -> str:
    """Of those in the header the first that splits the next line alike, else the first."""
    lines = [line for line in re.split(r"[\r\n]+", text) if line.strip()][:2]
    found = [s for s in separators if lines and s in lines[0].rstrip()]
    for separator in found:
        rows = list(csv.reader(lines, delimiter=separator))
        # Empty cells at an end may be there or not.
        needed, given = max(len(_trimmed(row, 0)) for row in rows), min(len(row) for row in rows)
        if len(lines) == 2 and 1 < needed <= given:
            return separator
    return found[0] if found else "\t"


def read_table(
    path: Path, separators: Sequence[str]
) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Header and rows of a delimited table, without what spreadsheets write beyond its columns.

    Returns:
        The stripped names of the columns, and each row that is not blank, with its line in the
        file: as many cells as there are names.

    Raises:
        TableError: see `read_rows`; nothing in the file, or a row of another length.
    """
    rows = read_rows(path, separators)
    if not rows:
        raise TableError("a table needs a header", subject=path)
    (_, names), *lines = rows
    # A last column that has no name may hold something.
    used = max((len(_trimmed(cells, 0)) for _, cells in lines), default=0)
    header = _trimmed([name.strip() for name in names], min(used, len(names)))
    table = [(line, _trimmed(cells, len(header))) for line, cells in lines]
    for line, cells in table:
        if len(cells) != len(header):
            raise TableError(
                f"every row needs as many cells as the header, {len(header)}",
                value=len(cells),
                subject=f"{path}, line {line}",
            )
    return header, table


def _trimmed(cells: list[str], least: int) -> list[str]:
    """Without the empty cells at the end, down to `least`."""
    length = len(cells)
    while length > least and not cells[length - 1].strip():
        length -= 1
    return cells[:length]


def decode(content: bytes) -> str:
    """UTF-8, with or without a mark, or what spreadsheets on Windows write (cp1252, UTF-16)."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def yes_or_no(cell: str) -> bool | None:
    """What a person says in a cell, in any case; spreadsheets make TRUE of yes; None = neither."""
    return {"yes": True, "true": True, "no": False, "false": False}.get(cell.strip().casefold())


def without_credentials(text: str) -> str:
    """A text whose URLs name no user and no password."""
    return re.sub(r"(?<=//)[^/\s]*@", "", text)


def number_in(label: str) -> str | None:
    """Digits of a label that is a number, without zeros before them; None of any other label.

    As text: a number of thousands of digits is a label, too, and no number to Python.
    """
    return (label.lstrip("0") or "0") if label.isdecimal() else None


def by_number(names: Iterable[str], prefix: str) -> dict[str, list[str]]:
    """Number -> those whose label, less a prefix, it is, with or without zeros before it."""
    found: dict[str, list[str]] = {}
    for name in names:
        if number := number_in(name.removeprefix(prefix)):
            found.setdefault(number, []).append(name)
    return found


def paired_by_number(names: Iterable[str], others: Iterable[str], prefix: str) -> dict[str, str]:
    """A name -> the other of its number, as `by_number` tells, where each alone has it."""
    numbered, there = by_number(names, prefix), by_number(others, prefix)
    return {
        found[0]: there[number][0]
        for number, found in numbered.items()
        if len(found) == len(there.get(number, ())) == 1
    }
