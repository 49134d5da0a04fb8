"""One scan from its lease to its record: what every executor calls, wherever it runs."""

from __future__ import annotations

import os
import threading
import time
import traceback
from dataclasses import dataclass, field, replace
from pathlib import Path

from fibromorph.errors import ConfigError, FibromorphError, ScanError
from fibromorph.scans import Scan, read_scan
from fibromorph.serving.beyond import beyond_volumes
from fibromorph.serving.bundles import find_bundle
from fibromorph.serving.cohort.failures import one_line
from fibromorph.serving.cohort.leases import STALE_S, Lease, Leases
from fibromorph.serving.cohort.longitudinal.halfway import Halfway
from fibromorph.serving.cohort.outputs import stage_outputs
from fibromorph.serving.cohort.recipe import Recipe, recipe_of
from fibromorph.serving.cohort.scan_log import ScanLog
from fibromorph.serving.cohort.store import Stamp, Store, stamp_of
from fibromorph.serving.cohort.tasks import Outcome, ScanTask
from fibromorph.serving.engine import Engine
from fibromorph.serving.extras import NOTHING, Extras
from fibromorph.serving.pipeline import Segmented, segment_scan


@dataclass(frozen=True)
class Settings:
    """What a worker must know; travels to other processes and machines.

    Attributes:
        bids: the data set's folder, the same path everywhere.
        out: OUT_DIR, the same path everywhere.
        model: name or folder of the bundle.
        recipe: what the plan was made for; a worker that would do otherwise refuses.
        extras: what the recipe has beyond volumes, atlases as they are found everywhere.
        threads: of this worker; 0 = all it may use.
        readers: scans read ahead.
        stale_s: see `Leases`.
    """

    bids: Path
    out: Path
    model: str
    recipe: Recipe
    extras: Extras = NOTHING
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
    siblings: dict[str, tuple[Stamp, Scan]] = field(default_factory=dict)
    error: Exception | None = None


class OtherSessionError(ScanError):
    """Another session of the person cannot be read; nothing is wrong with the scan itself."""

    def __init__(self, name: str, reason: str) -> None:
        rule = "all sessions of a person must be readable to be conformed jointly"
        super().__init__(rule, value=f"{name}: {reason}")


class Worker:
    """A loaded model with the state of OUT_DIR around it.

    Raises:
        ConfigError: package, bundle or engine are not the plan's.
    """

    def __init__(self, settings: Settings) -> None:
        bundle = find_bundle(settings.model)
        jointly = settings.recipe.sessions == "jointly"
        found = recipe_of(bundle, settings.device, settings.extras, jointly=jointly)
        changes = found.changes_since(vars(settings.recipe))
        if changes:
            raise ConfigError("workers must have what the plan was made with", value=changes)
        self.settings = settings
        self.store = Store(settings.out)
        self.leases = Leases(self.store.leases(), settings.stale_s)
        self.engine = Engine(bundle, settings.device, settings.threads)
        self._beyond = beyond_volumes(self.engine, settings.device, settings.extras)
        self._halfway = Halfway(self.engine)
        self._computing = threading.Lock()
        self._step = ""

    def close(self) -> None:
        """Give back what it holds, for a process that was told to end."""
        self.leases.close()

    def read(self, task: ScanTask) -> Read:
        """Read a scan, in any thread; errors are kept for `process`."""
        path = self.settings.bids / task.path
        try:
            stamp = stamp_of(path)
            if self._is_done(task):
                return Read(task, stamp)
            return Read(task, stamp, read_scan(path), self._siblings(task))
        except Exception as error:
            stamp_if_there = stamp_of(path) if path.exists() else None
            return Read(task, stamp_if_there, error=error)

    def process(self, read: Read) -> Outcome:
        """Segment what was read and write its files; never raises for a bad scan."""
        task = read.task
        if read.scan is None and read.error is None:
            return self._present(task)
        started = time.perf_counter()
        with self._computing, self.leases.hold(task.stem) as lease:
            if lease is None:
                return Outcome(task, "busy")
            if read.stamp and self._is_done(task):
                return self._present(task)
            outcome = self._attempt(read, lease)
        seconds = time.perf_counter() - started
        return Outcome(task, outcome.status, outcome.step, outcome.reason, seconds)

    def _present(self, task: ScanTask) -> Outcome:
        self.store.drop_failure(task)
        return Outcome(task, "present")

    def _attempt(self, read: Read, lease: Lease) -> Outcome:
        log = ScanLog(self.store.log(read.task))
        log.say(f"begun: {read.task.path}, {vars(self.settings.recipe)}")
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
        self.store.clear(read.task)
        self.store.forget_other(read.task, read.scan.sha256)
        result, joined = self._result(read.scan, read.siblings, log)
        log.say_result(result)
        self._step = "write"
        conformed_with = replace(read.task, siblings=joined)
        stage_outputs(result, conformed_with, self.store.staging(read.task))
        if not lease.holds():
            return False
        # Not before: what there is of a scan that cannot be computed now stays.
        self.store.forget(read.task)
        files = self.store.publish(read.task)
        scan, *siblings = (
            {"sha256": scan.sha256, **vars(stamp)}
            for stamp, scan in ((read.stamp, read.scan), *read.siblings.values())
        )
        others = dict(zip(read.siblings, siblings, strict=True))
        self.store.write_record(read.task, self.settings.recipe, scan, others, files)
        return True

    def _result(
        self, scan: Scan, siblings: dict[str, tuple[Stamp, Scan]], log: ScanLog
    ) -> tuple[Segmented, tuple[str, ...]]:
        """What was found, and the other sessions' scans that it was conformed with."""
        if not siblings:
            return segment_scan(scan, self.engine, self._on_step, beyond=self._beyond), ()
        others = {name: sibling for name, (_, sibling) in siblings.items()}
        try:
            seen, *elsewhere = self._halfway.conform_jointly([scan, *others.values()])
        except ScanError as error:
            name = error.subject.removeprefix(f"{self.settings.bids}{os.sep}")
            if name not in siblings:
                raise
            raise OtherSessionError(name, one_line(error, self.settings.bids)) from error
        joined = tuple(name for name, other in others.items() if other in seen.others)
        if joined:
            log.say(f"conformed half-way to {len(joined)} other sessions")
        for name in others:
            if name not in joined:
                log.say(f"another head, it seems: {name}")
        conformed = seen.conformed if joined else None
        sessions = [
            there.conformed
            for other, there in zip(others.values(), elsewhere, strict=True)
            if other in seen.others
        ]
        result = segment_scan(
            seen.scan,
            self.engine,
            self._on_step,
            conformed,
            beyond=self._beyond,
            sessions=sessions,
        )
        return replace(result, scan=replace(scan, findings=seen.scan.findings)), joined

    def _siblings(self, task: ScanTask) -> dict[str, tuple[Stamp, Scan]]:
        found = {}
        for name in task.siblings:
            path = self.settings.bids / name
            try:
                found[name] = stamp_of(path), read_scan(path)
            except (FibromorphError, OSError) as error:
                reason = one_line(error, self.settings.bids)
                raise OtherSessionError(name, reason) from error
        return found

    def _on_step(self, step: str) -> None:
        self._step = step

    def _fail(self, read: Read, error: Exception, log: ScanLog) -> Outcome:
        expected = isinstance(error, FibromorphError | OSError | EOFError)
        log.say(str(error) if expected else "".join(traceback.format_exception(error)))
        log.say(f"failed at {self._step}")
        reason = one_line(error, self.settings.bids)
        outcome = Outcome(read.task, "failed", self._step, reason)
        own = isinstance(error, FibromorphError) and not isinstance(error, OtherSessionError)
        lasting = own and read.stamp is not None
        self.store.write_failure(outcome, self.settings.recipe, read.stamp, lasting=lasting)
        return outcome

    def _is_done(self, task: ScanTask) -> bool:
        """True if the record is of this very scan and recipe; False where that cannot be told."""
        record, settings = self.store.record(task), self.settings
        try:
            return bool(record) and not self.store.what_changed(
                record, task, settings.recipe, settings.bids
            )
        except OSError:  # whoever reads the scan says what is wrong with it
            return False
