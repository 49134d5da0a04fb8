"""`participants.tsv` as it is found: other names of the first column, ids without their prefix."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fibromorph.datasets.bids.names import bare_label
from fibromorph.errors import TableError
from fibromorph.text import read_rows

ID_COLUMN = "participant_id"
SEPARATORS = "\t;,"
OTHER_ID_COLUMNS = (
    *("participant", "participantid", "subject", "subjectid", "subjid", "sub", "subj"),
    *("id", "subid", "code", "patientid"),
)


@dataclass(frozen=True)
class Participants:
    """The table of participants.

    Attributes:
        path: where it lies.
        id_column: the column that names them, as it is spelled there.
        columns: all columns, in order.
        rows: cells as text, a row a participant.
    """

    path: Path
    id_column: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """'sub-01', ... in the order of the rows."""
        where = self.columns.index(self.id_column)
        return tuple(f"sub-{bare_label(row[where], 'sub')}" for row in self.rows)

    def matched(self, subjects: Iterable[str]) -> dict[str, str]:
        """Id in the table -> the subject's folder; also '7' -> 'sub-007' where it is the only one.

        Args:
            subjects: names of folders, 'sub-...'.
        """
        folders = set(subjects)
        by_number: dict[int, list[str]] = {}
        for folder in sorted(folders):
            label = bare_label(folder, "sub")
            if label.isdecimal():
                by_number.setdefault(int(label), []).append(folder)
        found = {}
        for identifier in self.ids:
            label = bare_label(identifier, "sub")
            alike = by_number.get(int(label), []) if label.isdecimal() else []
            if identifier in folders:
                found[identifier] = identifier
            elif len(alike) == 1:
                found[identifier] = alike[0]
        return found


def read_participants(path: Path) -> Participants:
    """Read a table of participants.

    Tabs, or commas or semicolons where there is no tab in the header; UTF-8 with or without a byte
    order mark, else Windows-1252.

    Raises:
        TableError: unreadable, no column that names the participants, or a row of another length.
    """
    lines = read_rows(path, SEPARATORS)
    if not lines:
        raise TableError("must have a header", subject=path)
    (_, names), *others = lines
    columns = tuple(name.strip() for name in names)
    # Spreadsheets write columns that hold nothing.
    last = max((n for _, row in lines for n, cell in enumerate(row, 1) if cell.strip()), default=0)
    columns = columns[:last]
    others = [(number, row[:last] if not any(row[last:]) else row) for number, row in others]
    for number, row in others:
        if len(row) != len(columns):
            raise TableError(
                f"every row must have the header's {len(columns)} cells",
                value=len(row),
                subject=f"{path}, line {number}",
            )
    rows = tuple(tuple(cell.strip() for cell in row) for _, row in others)
    return Participants(path, _id_column(columns, path), columns, rows)


def _id_column(columns: tuple[str, ...], path: Path) -> str:
    plain = {"".join(c for c in name.lower() if c.isalnum()): name for name in reversed(columns)}
    for name in (ID_COLUMN.replace("_", ""), *OTHER_ID_COLUMNS):
        if name in plain:
            return plain[name]
    raise TableError(
        f"a column must name the participants: {ID_COLUMN}",
        value=", ".join(columns),
        subject=path,
    )
