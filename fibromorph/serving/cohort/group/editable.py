"""Tables that a program proposes and a person edits, without either undoing the other's work.

What was proposed last is kept apart. Where a row says something else than it, in the columns that
are a person's, it was edited: those cells stay for good, its others follow the proposal. A row that
is gone was deleted and does not come back. Cells that a program fills are never read back:
spreadsheets write 0.95 for 0.950.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from pathlib import Path

from fibromorph.errors import TableError
from fibromorph.files import write_whole
from fibromorph.text import read_rows, yes_or_no

Key = tuple[str, ...]
Rows = dict[Key, tuple[str, ...]]


class EditableTable:
    """One such table.

    Args:
        path: what people see.
        proposals: where the last proposal is kept.
        columns: all of them.
        keys: how many of the first name the row.
        edits: the columns that a person edits.
    """

    def __init__(
        self, path: Path, proposals: Path, columns: Sequence[str], keys: int, edits: Sequence[str]
    ) -> None:
        self.path = path
        self.columns = tuple(columns)
        self._proposals = proposals
        self._keys = keys
        self._edits = [self.columns.index(name) for name in edits]

    def propose(self, rows: Iterable[Sequence[str]]) -> Rows:
        """Merge new proposals with what a person did, and write the table.

        Returns:
            key -> the row's cells, keys included, sorted.

        Raises:
            TableError: no header, other columns, a row of another length, or two rows of one key.
        """
        proposed = {tuple(row[: self._keys]): tuple(row) for row in rows}
        merged, remembered = proposed, dict(proposed)
        if self.path.exists():
            now, before = self._read(self.path), self._read(self._proposals)
            deleted = before.keys() - now.keys()
            merged = {key: row for key, row in proposed.items() if key not in deleted}
            for key, row in now.items():
                if key not in before or self._said(row) != self._said(before[key]):
                    merged[key] = self._edited(merged.get(key, row), row)
                    # What was edited stays so, even if a proposal says the same for once.
                    remembered.pop(key, None)
                    remembered |= {key: before[key]} if key in before else {}
        merged = dict(sorted(merged.items()))
        self._write(self.path, merged)
        self._write(self._proposals, remembered)
        return merged

    def _read(self, path: Path) -> Rows:
        if not path.exists():
            return {}
        table = read_rows(path, "\t")
        if not table:
            rule = "must have a header; delete the file to have it proposed again"
            raise TableError(rule, value="nothing", subject=path)
        (_, header), *lines = table
        if tuple(header[: len(self.columns)]) != self.columns:
            rule = f"columns must be {' '.join(self.columns)}"
            raise TableError(rule, value=" ".join(header), subject=path)
        rows: Rows = {}
        for number, line in lines:
            self._add(rows, tuple(cell.strip() for cell in line), f"{path}, line {number}")
        return rows

    def _said(self, row: Sequence[str]) -> list[str]:
        return [row[column] for column in self._edits]

    def _edited(self, proposed: Sequence[str], row: Sequence[str]) -> tuple[str, ...]:
        return tuple(row[n] if n in self._edits else cell for n, cell in enumerate(proposed))

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
        text = StringIO()
        writer = csv.writer(text, delimiter="\t", lineterminator="\n")
        writer.writerows([self.columns, *rows.values()])
        write_whole(path, text.getvalue())


def said_yes(rows: Rows, column: int, table: EditableTable) -> set[Key]:
    """Keys of the rows where a column says yes.

    Raises:
        TableError: a cell that says neither yes nor no; the first of them.
    """
    for key, row in rows.items():
        if yes_or_no(row[column]) is None:
            raise TableError(
                f"{table.columns[column]} must be yes or no",
                value=row[column] or "nothing",
                subject=f"{table.path}, {' '.join(key)}",
            )
    return {key for key, row in rows.items() if yes_or_no(row[column])}
