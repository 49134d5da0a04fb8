"""One scan from its lease to its record: what every executor calls, wherever it runs."""

from __future__ import annotations

import os
import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from fibromorph.errors import ConfigError, FibromorphError
from fibromorph.scans import Scan, read_scan
from fibromorph.serving.bundles import find_bundle
from fibromorph.serving.cohort.leases import STALE_S, Lease, Leases
from fibromorph.serving.cohort.outputs import stage_outputs
from fibromorph.serving.cohort.recipe import Recipe, recipe_of
from fibromorph.serving.cohort.scan_log import ScanLog
from fibromorph.serving.cohort.store import Stamp, Store, stamp_of
from fibromorph.serving.cohort.tasks import Outcome, ScanTask
from fibromorph.serving.engine import Engine
from fibromorph.serving.pipeline import segment_scan


@dataclass(frozen=True)
class Settings:
    """What a worker must know; travels to other processes and machines.

    Attributes:
        bids: the data set's folder, the same path everywhere.
        out: OUT_DIR, the same path everywhere.
        model: name or folder of the bundle.
        recipe: what the plan was made for; a worker that would do otherwise refuses.
        threads: of this worker; 0 = all it may use.
        readers: scans read ahead.
        stale_s: see `Leases`.
    """

    bids: Path
    out: Path
    model: str
    recipe: Recipe
    threads: int = 0
    readers: int = 1
    stale_s: float = STALE_S

    @property
    def device(self) -> str:
        return self.recipe.engine.rpartition(" ")[2]


@dataclass(frozen=True, eq=False)
class Read:
    """A task with its scan in memory, or with what went wrong; neither where it is done already."""

    task: ScanTask
    stamp: Stamp | None = None
    scan: Scan | None = None
    error: Exception | None = None


class Worker:
    """A loaded model with the state of OUT_DIR around it.

    Raises:
        ConfigError: package, bundle or engine are not the plan's.
    """

    def __init__(self, settings: Settings) -> None:
        bundle = find_bundle(settings.model)
        changes = recipe_of(bundle, settings.device).changes_since(vars(settings.recipe))
        if changes:
            raise ConfigError("workers must have what the plan was made with", value=changes)
        self.settings = settings
        self.store = Store(settings.out)
        self.leases = Leases(self.store.leases(), settings.stale_s)
        self.engine = Engine(bundle, settings.device, settings.threads)
        self._computing = threading.Lock()
        self._step = ""

    def read(self, task: ScanTask) -> Read:
        """Read a scan, in any thread; errors are kept for `process`."""
        path = self.settings.bids / task.path
        try:
            stamp = stamp_of(path)
            if self._is_done(task, stamp):
                return Read(task, stamp)
            return Read(task, stamp, scan=read_scan(path))
        except Exception as error:
            stamp_if_there = stamp_of(path) if path.exists() else None
            return Read(task, stamp_if_there, error=error)

    def process(self, read: Read) -> Outcome:
        """Segment what was read and write its files; never raises for a bad scan."""
        task = read.task
        if read.scan is None and read.error is None:
            return Outcome(task, "present")
        started = time.perf_counter()
        with self._computing, self.leases.hold(task.stem) as lease:
            if lease is None:
                return Outcome(task, "busy")
            if read.stamp and self._is_done(task, read.stamp):
                return Outcome(task, "present")
            outcome = self._attempt(read, lease)
        seconds = time.perf_counter() - started
        return Outcome(task, outcome.status, outcome.step, outcome.reason, seconds)

    def _attempt(self, read: Read, lease: Lease) -> Outcome:
        log = ScanLog(self.store.log(read.task))
        log.say(f"begun: {read.task.path}, {vars(self.settings.recipe)}")
        self.store.forget(read.task)
        self._step = "read"
        try:
            written = self._segment(read, lease, log)
        except Exception as error:
            return self._fail(read, error, log)
        log.say("finished" if written else "given up: another run took this scan over")
        return Outcome(read.task, "done" if written else "busy")

    def _segment(self, read: Read, lease: Lease, log: ScanLog) -> bool:
        if read.scan is None or read.stamp is None:
            raise read.error or FileNotFoundError(read.task.path)
        result = segment_scan(read.scan, self.engine, self._on_step)
        log.say_result(result)
        self._step = "write"
        stage_outputs(result, read.task, self.store.staging(read.task))
        if not lease.holds():
            return False
        files = self.store.publish(read.task)
        scan = {"sha256": read.scan.sha256, **vars(read.stamp)}
        self.store.write_record(read.task, self.settings.recipe, scan, files)
        return True

    def _on_step(self, step: str) -> None:
        self._step = step

    def _fail(self, read: Read, error: Exception, log: ScanLog) -> Outcome:
        expected = isinstance(error, FibromorphError | OSError | EOFError)
        log.say(str(error) if expected else "".join(traceback.format_exception(error)))
        log.say(f"failed at {self._step}")
        reason = _one_line(error, self.settings.bids)
        outcome = Outcome(read.task, "failed", self._step, reason)
        lasting = isinstance(error, FibromorphError) and read.stamp is not None
        self.store.write_failure(outcome, self.settings.recipe, read.stamp, lasting=lasting)
        return outcome

    def _is_done(self, task: ScanTask, stamp: Stamp) -> bool:
        """True if the record is of this very scan and recipe."""
        record = self.store.record(task)
        known = {"size": stamp.size, "mtime_ns": stamp.mtime_ns}
        same = {k: record.get("scan", {}).get(k) for k in known} == known
        return (
            same
            and record.get("recipe") == vars(self.settings.recipe)
            and self.store.is_whole(record)
        )


def _one_line(error: Exception, bids: Path) -> str:
    """The reason without the scan's own path, which stands beside it."""
    if isinstance(error, FibromorphError):
        text = str(type(error)(error.rule, value=error.value))
    else:
        text = f"{type(error).__name__}: {error}"
    return " ".join(text.replace(f"{bids}{os.sep}", "").split())
