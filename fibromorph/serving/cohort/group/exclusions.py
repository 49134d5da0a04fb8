"""`exclusions.tsv`: proposed from quality, edited by a person, read by the statistics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from fibromorph.postprocessing.stats.tables.cells import MISSING
from fibromorph.serving.cohort.group.editable import EditableTable, said_yes
from fibromorph.serving.cohort.group.gather import Cohort
from fibromorph.serving.cohort.store import STATE, Store

COLUMNS = ("participant_id", "session_id", "exclude", "reason")
EXCLUDE = COLUMNS.index("exclude")


@dataclass(frozen=True)
class Exclusions:
    """What the table says now.

    Attributes:
        scans: (participant, session) of the cohort that are excluded.
        rows: all of the table's, also of scans that are not in the cohort.
        strangers: participant and session of those that would exclude a scan, and fit none.
    """

    scans: frozenset[tuple[str, str]]
    rows: tuple[tuple[str, ...], ...]
    strangers: tuple[str, ...]


def update_exclusions(cohort: Cohort, store: Store) -> Exclusions:
    """Propose to exclude scans of bad quality, and list those to look at.

    Raises:
        TableError: the table was damaged by an edit.
    """
    table = EditableTable(
        store.out / "exclusions.tsv",
        store.out / STATE / "proposed" / "exclusions.tsv",
        COLUMNS,
        keys=2,
        edits=("exclude", "reason"),
    )
    rows = table.propose(_proposals(cohort))
    chosen = {(key[0], _session(key[1])) for key in said_yes(rows, EXCLUDE, table)}
    fitting = {task.ids[:2]: chosen & _rows_of(*task.ids[:2]) for task in cohort.tasks}
    return Exclusions(
        scans=frozenset(scan for scan, found in fitting.items() if found),
        rows=tuple(rows.values()),
        strangers=tuple(
            " ".join(key).strip() for key in sorted(chosen.difference(*fitting.values()))
        ),
    )


def _rows_of(subject: str, session: str) -> set[tuple[str, str]]:
    """How a person may name a scan in the table: also without prefixes, or all sessions at once."""
    people = {subject, subject.removeprefix("sub-")}
    return set(product(people, {session, session.removeprefix("ses-"), ""}))


def _session(cell: str) -> str:
    """'' for any way to say that a row is of all sessions, as the statistics have it."""
    return "" if cell.lower() in MISSING else cell


def _proposals(cohort: Cohort) -> Iterator[tuple[str, ...]]:
    for task, quality in zip(cohort.tasks, cohort.quality, strict=True):
        if quality.verdict != "good":
            reason = "; ".join(quality.flags) or f"quality {quality.overall:.2f}"
            exclude = "yes" if quality.verdict == "bad" else "no"
            cells = (exclude, f"{quality.verdict}: {reason}".replace("\t", " "))
            yield (*task.ids[:2], *cells)
