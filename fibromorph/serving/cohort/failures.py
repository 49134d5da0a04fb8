"""`failures.tsv` and the table at the end: which scans failed, where, why, and where to read on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fibromorph.errors import FibromorphError
from fibromorph.files import write_whole
from fibromorph.serving.cohort.store import Store
from fibromorph.serving.cohort.tasks import ScanTask, is_there, task_from

COLUMNS = ("participant_id", "session_id", "scan", "step", "reason", "log")
SHOWN = 20


@dataclass(frozen=True)
class FailedScan:
    """One line of `failures.tsv`."""

    task: ScanTask
    step: str
    reason: str


def failed_scans(store: Store, bids: Path) -> tuple[FailedScan, ...]:
    """All failures of scans of BIDS_DIR that OUT_DIR knows of, whichever run or shard met them."""
    failures = (_failed(note) for note in store.failures())
    return tuple(failure for failure in failures if is_there(bids, failure.task))


def write_failures(store: Store, failures: Sequence[FailedScan]) -> None:
    """Write `failures.tsv`; without failures there is none."""
    path = store.out / "failures.tsv"
    if not failures:
        path.unlink(missing_ok=True)
        return
    lines = ("\t".join(_cells(failure, store)) for failure in failures)
    write_whole(path, "\n".join(("\t".join(COLUMNS), *lines)) + "\n")


def failure_table(failures: Sequence[FailedScan]) -> Iterable[str]:
    """The failures in lines for a terminal, the first `SHOWN` of them."""
    width = max((len(f.task.stem) for f in failures), default=0)
    for failure in failures[:SHOWN]:
        yield f"{failure.task.stem:<{width}}  {failure.step:<10}  {failure.reason}"
    if len(failures) > SHOWN:
        yield f"... and {len(failures) - SHOWN} more"


def one_line(error: Exception, folder: Path) -> str:
    """The reason without the scan's own path, which stands beside it; others from `folder` on."""
    if isinstance(error, FibromorphError):
        text = str(FibromorphError(error.rule, value=error.value))
    else:
        text = f"{type(error).__name__}: {error}"
    return " ".join(text.replace(f"{folder}{os.sep}", "").split())


def _failed(note: dict[str, Any]) -> FailedScan:
    return FailedScan(task_from(note["task"]), note["step"], note["reason"])


def _cells(failure: FailedScan, store: Store) -> tuple[str, ...]:
    task, log = failure.task, store.log(failure.task).relative_to(store.out)
    reason = failure.reason.replace("\t", " ")
    return (
        *task.ids[:2],
        task.path,
        failure.step,
        reason,
        log.as_posix(),
    )
