"""Text of tables that people edit."""

from __future__ import annotations

import codecs
import csv
from io import StringIO
from pathlib import Path

from fibromorph.errors import TableError


def read_rows(text: str, separator: str, path: Path) -> list[tuple[int, list[str]]]:
    """The rows of a delimited table that are not blank, each with the line on which it ends.

    Raises:
        TableError: no text, or a quote that is not closed: what follows it would vanish in a cell.
    """
    if "\0" in text:
        raise TableError("a table must be text, not a spreadsheet's own format", subject=path)
    reader = csv.reader(StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        return [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise TableError(
            "every quote must be closed at the end of its cell",
            value=error,
            subject=f"{path}, line {reader.line_num}",
        ) from None


def decode(content: bytes) -> str:
    """UTF-8, with or without a mark, or what spreadsheets on Windows write (cp1252, UTF-16)."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")
