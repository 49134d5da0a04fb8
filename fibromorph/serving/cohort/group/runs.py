"""Several scans of one session: the best counts, unless a person says another."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from fibromorph.errors import TableError
from fibromorph.serving.cohort.group.editable import EditableTable, said_yes
from fibromorph.serving.cohort.group.gather import Cohort
from fibromorph.serving.cohort.store import STATE, Store

COLUMNS = ("participant_id", "session_id", "run", "use", "quality", "verdict")
USE = COLUMNS.index("use")
Row = tuple[str, ...]


def choose_runs(cohort: Cohort, store: Store) -> list[int]:
    """The scan of every session that goes into the tables; `runs.tsv` says so where there is a
    choice.

    Returns:
        Indices into the cohort, ascending.

    Raises:
        TableError: `runs.tsv` says neither yes nor no, or yes twice in a session.
    """
    sessions = list(_sessions(cohort))
    several = [rows for rows in sessions if len(rows) > 1]
    table = EditableTable(
        store.out / "runs.tsv",
        store.out / STATE / "proposed" / "runs.tsv",
        COLUMNS,
        keys=3,
        edits=("use",),
    )
    if not several and not table.path.exists():
        return sorted(index for rows in sessions for index in rows)
    merged = table.propose(row for rows in several for row in _proposal(cohort, rows))
    used = said_yes(merged, USE, table)
    chosen = [
        index
        for rows in sessions
        for index in rows
        if len(rows) == 1 or cohort.tasks[index].ids in used
    ]
    _require_one_each(cohort, chosen, table)
    return sorted(chosen)


def _sessions(cohort: Cohort) -> Iterator[list[int]]:
    def session(index: int) -> tuple[str, str]:
        return cohort.tasks[index].ids[:2]

    for _, rows in groupby(sorted(range(len(cohort)), key=session), session):
        yield list(rows)


def _proposal(cohort: Cohort, rows: list[int]) -> Iterator[Row]:
    best = min(rows, key=lambda index: _badness(cohort, index))
    for index in rows:
        quality = cohort.quality[index]
        use = "yes" if index == best else "no"
        key = cohort.tasks[index].ids
        yield (*key, use, f"{quality.overall:.3f}", quality.verdict)


def _badness(cohort: Cohort, index: int) -> tuple[float, float, int]:
    """Overall quality first; good scans share the highest, so then how well tissues part."""
    quality = cohort.quality[index]
    return -round(quality.overall, 2), quality.measures.get("cjv", float("inf")), index


def _require_one_each(cohort: Cohort, chosen: list[int], table: EditableTable) -> None:
    seen: set[tuple[str, str]] = set()
    for index in chosen:
        subject, session, _ = cohort.tasks[index].ids
        if (subject, session) in seen:
            raise TableError(
                "one scan of a session may be used, set the others to no",
                value="yes twice",
                subject=f"{table.path}, {subject} {session}",
            )
        seen.add((subject, session))
