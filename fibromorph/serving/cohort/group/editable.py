"""Tables that a program proposes and a person edits, without either undoing the other's work.

What was proposed last is kept apart. Where a row says something else than it, in the columns that
are a person's, it was edited: those cells stay for good, its others follow the proposal. A row that
is gone was deleted and does not come back. Cells that a program fills are never read back:
spreadsheets write 0.95 for 0.950. Columns that a person adds stay.

What is proposed now is kept beside what was proposed before until the table is written: of a run
that is ended in between, neither passes for somebody's edit.
"""

from __future__ import annotations

import csv
import os
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
        added: tuple[str, ...] = ()
        if self.path.exists():
            now, added = self._read(self.path)
            before, pending = self._read(self._proposals)[0], self._read(self._pending)[0]
            gone = before.keys() - now.keys()
            deleted = gone & pending.keys() if pending else gone
            merged = {key: row for key, row in proposed.items() if key not in deleted}
            for key, row in now.items():
                own = row[len(self.columns) :]
                said = [self._said(table[key]) for table in (before, pending) if key in table]
                if self._said(row) not in said:
                    merged[key] = self._edited(merged.get(key, row[: len(self.columns)]), row)
                    # What was edited stays so, even if a proposal says the same for once.
                    remembered.pop(key, None)
                    remembered |= {key: before[key]} if key in before else {}
                if key in merged:
                    merged[key] = (*merged[key], *own)
        merged = dict(sorted(merged.items()))
        self._write(self._pending, remembered)
        self._write(self.path, merged, added)
        os.replace(self._pending, self._proposals)
        return merged

    @property
    def _pending(self) -> Path:
        return self._proposals.with_name(f"{self._proposals.name}.next")

    def _read(self, path: Path) -> tuple[Rows, tuple[str, ...]]:
        """The rows, and the names of columns that were added."""
        if not path.exists():
            return {}, ()
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
            cells = tuple(cell.strip() for cell in line)
            self._add(rows, cells, len(header), f"{path}, line {number}")
        return rows, tuple(header[len(self.columns) :])

    def _said(self, row: Sequence[str]) -> list[str]:
        return [row[column] for column in self._edits]

    def _edited(self, proposed: Sequence[str], row: Sequence[str]) -> tuple[str, ...]:
        return tuple(row[n] if n in self._edits else cell for n, cell in enumerate(proposed))

    def _add(self, rows: Rows, row: tuple[str, ...], expected: int, subject: str) -> None:
        if len(row) < expected:  # spreadsheets drop empty cells at the end
            row = (*row, *[""] * (expected - len(row)))
        key = row[: self._keys]
        if key in rows:
            raise TableError("a scan may be listed once", value=" ".join(key), subject=subject)
        rows[key] = row[:expected]

    def _write(
        self, path: Path, rows: Mapping[Key, Sequence[str]], added: Sequence[str] = ()
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = StringIO()
        writer = csv.writer(text, delimiter="\t", lineterminator="\n")
        width = len(self.columns) + len(added)
        writer.writerow([*self.columns, *added])
        writer.writerows([*row, *[""] * (width - len(row))] for row in rows.values())
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
