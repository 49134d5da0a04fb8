"""Tables of one row a person with a column for each session: the rows that sessions would have."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from fibromorph.errors import ConfigError, TableError
from fibromorph.postprocessing.stats.tables.cohort import KEY
from fibromorph.postprocessing.stats.tables.participants import Participants
from fibromorph.postprocessing.stats.tables.scan_ids import NO_SESSION

BySession = Mapping[str, Mapping[str, str]]
"""Name of what was measured -> session -> column that holds it there."""

LATER = ("fu", "followup", "follow_up")
MOST_SESSIONS = 8
SERIES: tuple[tuple[str, ...], ...] = (
    *(("pre", "post", later) for later in LATER),
    *(("before", "after", later) for later in LATER),
    *((first, later) for first in ("baseline", "bl") for later in LATER),
    *((first, "post", "fu") for first in ("baseline", "bl")),
    *(
        tuple(f"{t}{first + n}" for n in range(MOST_SESSIONS))
        for t in ("t", "v", "")
        for first in (0, 1)
    ),
)
"""What names of columns of one measure begin or end with, in time."""

BETWEEN = "[_. -]*"


def by_session(participants: Participants, wanted: BySession, asked: str) -> Participants:
    """The table with a row for each session that a column of its own was for.

    Args:
        participants: one row a person.
        wanted: which columns; they are replaced by one of the measure's name, in which a person's
            own row, that holds for all sessions, is empty.
        asked: says in errors where this was asked for.

    Raises:
        TableError: a column that is not there, or rows that belong to a session already.
        ConfigError: a column that is asked for twice, or a name that another column has.
    """
    if not wanted:
        return participants
    used = [column for columns in wanted.values() for column in columns.values()]
    cells = participants.cells
    for column in used:
        participants.require(column, asked)
        if used.count(column) > 1:
            raise ConfigError("a column can be one session's only", value=column, subject=asked)
    for name in wanted:
        if name in cells and name not in used:
            raise ConfigError("must be no column's name already", value=name, subject=asked)
    own = [str(session) for _, session in cells.index if session != NO_SESSION]
    if own:
        rule = f"{asked} is for a table of one row a person; this one has rows of sessions"
        raise TableError(rule, value=own[0], subject=participants.path)
    sessions = dict.fromkeys(s for columns in wanted.values() for s in columns)
    rows = [cells.drop(columns=used)]
    for session in sessions:
        found = {n: cells[columns[session]] for n, columns in wanted.items() if session in columns}
        keys = pd.MultiIndex.from_tuples([(p, session) for p, _ in cells.index], names=KEY)
        rows.append(pd.DataFrame(found, dtype=object).set_axis(keys))
    spread = pd.concat(rows).astype(object)
    return replace(
        participants,
        cells=spread.where(spread.notna(), None),
        lines=participants.lines * len(rows),
        own_names={(n, s): c for n, columns in wanted.items() for s, c in columns.items()},
    )


def guess_by_session(
    columns: Sequence[str], sessions: Sequence[str], is_known: Callable[[str], bool]
) -> dict[str, dict[str, str]]:
    """Columns that are one measure's in each of the sessions.

    `vas_pre` and `vas_post`, `T1 vas` and `T2 vas`, or `vas` and `vas_fu`; the sessions' own names
    (`ses-pre`) are understood, too.

    Args:
        columns: of the table.
        sessions: of the scans, in time.
        is_known: whether a name is that of something measured.

    Returns:
        Measure as the table calls it -> session -> column; what lacks a session is left out.
    """
    own = tuple(session.removeprefix("ses-").casefold() for session in sessions)
    every = [marks[: len(own)] for marks in (own, *SERIES) if len(marks) >= len(own) > 1]
    found: dict[str, dict[str, str]] = {}
    for stem, marked in _marked(columns, {mark for marks in every for mark in marks}).items():
        for marks in every:
            held = marked
            if stem in columns:
                # Beside `vas_fu` it is the first; beside `vas_pre`, or in `bdi` and `bdi2`, it is
                # something of its own, and its name is taken.
                if marks[1].isdigit() or not {*marked} <= {*marks[1:]}:
                    continue
                held = {marks[0]: stem} | marked
            if is_known(stem) and all(mark in held for mark in marks):
                chosen = [held[mark] for mark in marks]
                found.setdefault(stem, dict(zip(sessions, chosen, strict=True)))
    return found


def _marked(columns: Iterable[str], marks: Iterable[str]) -> dict[str, dict[str, str]]:
    """What columns are called without the mark of a session -> mark -> column."""
    either = "|".join(sorted(map(re.escape, filter(None, marks)), key=len, reverse=True))
    found: dict[str, dict[str, str]] = {}
    spelled: dict[str, str] = {}
    for column in columns:
        for rule in (
            f"(?P<stem>.+?){BETWEEN}(?P<mark>{either})",
            f"(?P<mark>{either}){BETWEEN}(?P<stem>.+)",
        ):
            match = re.fullmatch(rule, column, re.IGNORECASE) if either else None
            if match is not None:
                stem = spelled.setdefault(match["stem"].casefold(), match["stem"])
                found.setdefault(stem, {}).setdefault(match["mark"].casefold(), column)
    return found
