"""Tables that a program proposes and a person edits, without either undoing the other's work.

What was proposed last is kept apart. A row that differs from it was edited and is never touched
again; a row that is gone was deleted and does not come back; all others follow the proposal.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from pathlib import Path

from fibromorph.errors import TableError
from fibromorph.postprocessing.volumes import write_whole

Key = tuple[str, ...]
Rows = dict[Key, tuple[str, ...]]


class EditableTable:
    """One such table.

    Args:
        path: what people see.
        proposals: where the last proposal is kept.
        columns: all of them.
        keys: how many of the first name the row.
    """

    def __init__(self, path: Path, proposals: Path, columns: Sequence[str], keys: int) -> None:
        self.path = path
        self.columns = tuple(columns)
        self._proposals = proposals
        self._keys = keys

    def propose(self, rows: Iterable[Sequence[str]]) -> Rows:
        """Merge new proposals with what a person did, and write the table.

        Returns:
            key -> the row's cells, keys included, sorted.

        Raises:
            TableError: other columns, a row of another length, or two rows of one key.
        """
        proposed = {tuple(row[: self._keys]): tuple(row) for row in rows}
        merged = proposed
        if self.path.exists():
            now, before = self._read(self.path), self._read(self._proposals)
            edited = {key: row for key, row in now.items() if before.get(key) != row}
            deleted = before.keys() - now.keys()
            kept = {key: row for key, row in proposed.items() if key not in deleted}
            merged = {**kept, **edited}
        merged = dict(sorted(merged.items()))
        self._write(self.path, merged)
        self._write(self._proposals, proposed)
        return merged

    def _read(self, path: Path) -> Rows:
        if not path.exists():
            return {}
        text = path.read_text(encoding="utf-8-sig")
        header, *lines = [line for line in csv.reader(StringIO(text), delimiter="\t") if line]
        if tuple(header[: len(self.columns)]) != self.columns:
            rule = f"columns must be {' '.join(self.columns)}"
            raise TableError(rule, value=" ".join(header), subject=path)
        rows: Rows = {}
        for number, line in enumerate(lines, start=2):
            self._add(rows, tuple(cell.strip() for cell in line), f"{path}, row {number}")
        return rows

    def _add(self, rows: Rows, row: tuple[str, ...], subject: str) -> None:
        expected = len(self.columns)
        if len(row) < expected:  # spreadsheets drop empty cells at the end
            row = (*row, *[""] * (expected - len(row)))
        key = row[: self._keys]
        if key in rows:
            raise TableError("a scan may be listed once", value=" ".join(key), subject=subject)
        rows[key] = row[:expected]

    def _write(self, path: Path, rows: Mapping[Key, Sequence[str]]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = ["\t".join(self.columns), *("\t".join(row) for row in rows.values())]
        write_whole(path, "\n".join(lines) + "\n")


def require_yes_or_no(rows: Rows, column: int, table: EditableTable) -> None:
    """Refuse cells that are neither.

    Raises:
        TableError: the first of them.
    """
    for key, row in rows.items():
        if row[column] not in ("yes", "no"):
            raise TableError(
                f"{table.columns[column]} must be yes or no",
                value=row[column] or "nothing",
                subject=f"{table.path}, {' '.join(key)}",
            )
