"""`participants.tsv` as it is found: other names of the first column, ids without their prefix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fibromorph.datasets.bids.names import bare_label
from fibromorph.errors import TableError
from fibromorph.text import by_number, number_in, read_table

ID_COLUMN = "participant_id"
SESSION_COLUMN = "session_id"
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

    @property
    def repeated(self) -> tuple[str, ...]:
        """Participants with several rows for the same session, where the table has sessions."""
        if SESSION_COLUMN in self.columns:
            where = self.columns.index(SESSION_COLUMN)
            sessions = [row[where] for row in self.rows]
        else:
            sessions = [""] * len(self.rows)
        counts = Counter(zip(self.ids, sessions, strict=True))
        return tuple(dict.fromkeys(name for (name, _), n in counts.items() if n > 1))

    def matched(self, subjects: Iterable[str]) -> dict[str, str]:
        """Id in the table -> the subject's folder; also '7' -> 'sub-007' where it is the only one.

        Args:
            subjects: names of folders, 'sub-...'.
        """
        folders = set(subjects)
        numbered = by_number(sorted(folders), "sub-")
        found = {}
        for identifier in self.ids:
            number = number_in(bare_label(identifier, "sub"))
            alike = numbered.get(number, []) if number else []
            if identifier in folders:
                found[identifier] = identifier
            elif len(alike) == 1:
                found[identifier] = alike[0]
        return found


def read_participants(path: Path) -> Participants:
    """Read a table of participants.

    Cells are parted by tabs, semicolons or commas, see `read_rows`; UTF-8 with or without a byte
    order mark, else Windows-1252.

    Raises:
        TableError: unreadable, no column that names the participants, or a row of another length.
    """
    header, lines = read_table(path, SEPARATORS)
    columns = tuple(header)
    rows = tuple(tuple(cell.strip() for cell in row) for _, row in lines)
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
