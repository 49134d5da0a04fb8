"""Text of tables that people edit."""

from __future__ import annotations

import codecs
import csv
from io import StringIO
from pathlib import Path

from fibromorph.errors import TableError


def read_rows(text: str, separator: str, path: Path) -> list[tuple[int, list[str]]]:
    """The rows of a delimited table that are not blank, each with its line.

    Raises:
        TableError: no text, or a quote that is not closed in its line: what follows it would vanish
            in a cell.
    """
    if "\0" in text:
        raise TableError("a table must be text, not a spreadsheet's own format", subject=path)
    reader = csv.reader(StringIO(text, newline=""), delimiter=separator)
    rows, line = [], 0
    try:
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


def decode(content: bytes) -> str:
    """UTF-8, with or without a mark, or what spreadsheets on Windows write (cp1252, UTF-16)."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")
