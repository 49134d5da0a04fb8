"""BIDS' `sub-*_sessions.tsv`: what was measured at each visit, beside the participants table."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from fibromorph.errors import TableError
from fibromorph.postprocessing.stats.tables.cells import (
    is_number,
    place,
    read_text_table,
    require_columns,
)
from fibromorph.postprocessing.stats.tables.cohort import KEY
from fibromorph.postprocessing.stats.tables.participants import Participants, without_codes
from fibromorph.postprocessing.stats.tables.scan_ids import NO_SESSION, PREFIX, ScanIds
from fibromorph.postprocessing.stats.tables.scan_times import ACQ_TIME, SESSIONS
from fibromorph.text import paired_by_number

PARTICIPANT_ID, SESSION_ID = KEY
NOT_MEASURED = (PARTICIPANT_ID, SESSION_ID, ACQ_TIME)
"""Columns that say which row it is, or when; times are `read_session_times`'."""


@dataclass(frozen=True)
class _Cell:
    participant: str
    session: str
    column: str
    text: str
    path: Path
    line: int

    @property
    def place(self) -> str:
        return place(self.path, self.line, self.column)


def with_session_files(
    participants: Participants, ids: ScanIds | None = None, missing_codes: Collection[str] = ()
) -> Participants:
    """The table with what `sub-*_sessions.tsv` beside it tell of its people's sessions.

    A session's cell goes before that of the person's row that holds for all sessions.

    Args:
        participants: rows of people, of sessions, or of both.
        ids: see `read_participants`; so are `missing_codes`.

    Raises:
        TableError: a file that cannot be read, lacks `session_id` or has a session twice, or a cell
            that the table has otherwise for the same session.
    """
    folder, people, known = participants.path.parent, participants.ids, without_codes(missing_codes)
    # Where zeros were lost in the table, its people are the folders' of the same number.
    own = paired_by_number([p.name for p in folder.glob(f"{PREFIX}*")], people, PREFIX)
    everybody = set(people)
    files: dict[tuple[str, str], dict[str, str]] = {}
    sources: dict[tuple[tuple[str, str], str], tuple[Path, int]] = {}
    for cell in _cells(folder, ids or ScanIds()):
        name = own.get(cell.participant, cell.participant)
        if name not in everybody or known(cell.text) is None:
            continue
        key = (name, cell.session)
        _require_alike(participants, key, cell)
        files.setdefault(key, {})[cell.column] = cell.text
        sources[key, cell.column] = cell.path, cell.line
    if not files:
        return participants
    added = pd.DataFrame.from_dict(files, orient="index", dtype=object)
    added.index = pd.MultiIndex.from_tuples(list(files), names=KEY)
    cells = participants.cells
    rows = [*cells.index, *(key for key in files if key not in cells.index)]
    columns = [*cells.columns, *(c for c in added.columns if c not in cells)]
    index = pd.MultiIndex.from_tuples(rows, names=KEY)
    merged = cells.reindex(index=index, columns=columns).astype(object)
    merged = merged.where(merged.notna(), added.reindex(index=index, columns=columns))
    return replace(
        participants,
        cells=merged.astype(object).where(merged.notna(), None),
        lines=(*participants.lines, *[0] * (len(rows) - len(participants.lines))),
        sources=sources,
    )


def _cells(folder: Path, ids: ScanIds) -> Iterator[_Cell]:
    for path in sorted(folder.glob(SESSIONS)):
        table = read_text_table(path)
        require_columns(table, [SESSION_ID], path)
        seen = set()
        for line, row in table.iterrows():
            where = place(path, int(str(line)), SESSION_ID)
            if pd.isna(row[SESSION_ID]):
                raise TableError("every row needs a session", subject=where)
            key = ids.split(path.parent.name, row[SESSION_ID], where, person=True)
            if key in seen:
                raise TableError("a session may have one row only", value=key[1], subject=where)
            seen.add(key)
            for column in map(str, table.columns):
                if column not in NOT_MEASURED and pd.notna(row[column]):
                    yield _Cell(*key, column, row[column], path, int(str(line)))


def _require_alike(participants: Participants, key: tuple[str, str], cell: _Cell) -> None:
    cells = participants.cells
    if key[1] == NO_SESSION or cell.column not in cells or key not in cells.index:
        return
    found = cells.at[key, cell.column]
    own = cell.text if found is None else str(found)
    if own == cell.text or (
        is_number(own) and is_number(cell.text) and float(own) == float(cell.text)
    ):
        return
    rule = f"must be what {participants.at(key, cell.column)} says: {own}"
    raise TableError(rule, value=cell.text, subject=cell.place)
