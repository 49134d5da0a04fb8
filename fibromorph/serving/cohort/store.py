"""What OUT_DIR knows: a record a finished scan, written last, and a note a failed one."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fibromorph.files import drop_parts, write_whole
from fibromorph.manifest import file_sha256
from fibromorph.serving.cohort.recipe import Recipe
from fibromorph.serving.cohort.tasks import Outcome, ScanTask, task_from
from fibromorph.serving.outputs.placing import set_aside

STATE = ".fibromorph"
LOGS = "logs"


@dataclass(frozen=True)
class Stamp:
    """What a file looks like from outside; equal stamps are taken for equal content."""

    size: int
    mtime_ns: int


def stamp_of(path: Path) -> Stamp:
    """The stamp of a file, links followed."""
    found = path.stat()
    return Stamp(found.st_size, found.st_mtime_ns)


class Store:
    """The state of one OUT_DIR; every file of it is complete or not there.

    Args:
        out: OUT_DIR.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.state = out / STATE

    def leases(self) -> Path:
        """Where the leases lie."""
        return self.state / "leases"

    def staging(self, task: ScanTask) -> Path:
        """Where a scan's files wait until all of them are complete."""
        return self.state / "staging" / task.stem

    def log(self, task: ScanTask) -> Path:
        """The scan's log."""
        return self.out / LOGS / task.subject / f"{task.stem}.log"

    def record(self, task: ScanTask) -> dict[str, Any]:
        """The record of a finished scan; empty if there is none."""
        return _read(self._path("done", task))

    def failure(self, task: ScanTask) -> dict[str, Any]:
        """The note of a failed scan; empty if there is none."""
        return _read(self._path("failed", task))

    def records(self) -> Iterator[dict[str, Any]]:
        """All records, by name."""
        return _all(self.state / "done")

    def failures(self) -> Iterator[dict[str, Any]]:
        """All notes of failures, by name."""
        return _all(self.state / "failed")

    def write_record(
        self,
        task: ScanTask,
        recipe: Recipe,
        scan: Mapping[str, object],
        siblings: Mapping[str, Mapping[str, object]],
        files: Mapping[str, str],
    ) -> None:
        """Declare a scan finished: after this, and only after this, it is.

        Args:
            task: which.
            recipe: what it was done with.
            scan: sha256, size and mtime_ns of what was read.
            siblings: path -> the same of the other sessions' scans.
            files: output relative to OUT_DIR -> its sha256.
        """
        key = recipe.key(*(str(facts["sha256"]) for facts in (scan, *siblings.values())))
        content = {
            "key": key,
            "task": asdict(task),
            "scan": dict(scan),
            "siblings": {path: dict(facts) for path, facts in siblings.items()},
            "recipe": asdict(recipe),
            "files": dict(files),
        }
        _write(self._path("done", task), content)
        self.drop_failure(task)

    def write_failure(
        self, outcome: Outcome, recipe: Recipe, stamp: Stamp | None, *, lasting: bool
    ) -> None:
        """Note a failure.

        Args:
            outcome: what failed, where and why.
            recipe: what it was tried with.
            stamp: of the scan; None if it could not be looked at.
            lasting: it will fail again as long as neither scan nor recipe changes.
        """
        content = {
            "task": asdict(outcome.task),
            "step": outcome.step,
            "reason": outcome.reason,
            "lasting": lasting,
            "recipe": asdict(recipe),
            "scan": asdict(stamp) if stamp else None,
        }
        _write(self._path("failed", outcome.task), content)

    def drop_failure(self, task: ScanTask) -> None:
        """Drop the note of a scan that failed meanwhile, but is what its record is of again."""
        self._path("failed", task).unlink(missing_ok=True)

    def corrected_labels(self, record: Mapping[str, Any]) -> Path | None:
        """The label image of a finished scan, if somebody has worked on it since.

        Told by its content: dates change when folders are copied, and stay when files are moved.
        """
        name = task_from(record["task"]).files["dseg"]
        path, recorded = self.out / name, record["files"].get(name.as_posix())
        return path if path.is_file() and file_sha256(path) != recorded else None

    def clear(self, task: ScanTask) -> None:
        """Drop what a killed run left half-way; only the holder of the scan's lease may do this."""
        for kind in ("done", "failed"):
            drop_parts(self._path(kind, task))
        shutil.rmtree(self.staging(task), ignore_errors=True)

    def forget(self, task: ScanTask) -> None:
        """Drop all that is known of a scan but what is staged: record first, then files.

        A file that was edited since is set aside, as `NAME.edited.nii.gz`. Only the holder of the
        scan's lease may do this, with all that comes instead staged, or if it is of another scan.
        """
        recorded = self.record(task).get("files", {})
        for name, sha256 in recorded.items():
            set_aside(self.out / name, sha256)
        for kind in ("done", "failed"):
            self._path(kind, task).unlink(missing_ok=True)
        # An earlier recipe may have written other files than this one will.
        for relative in (*recorded, *task.files.values()):
            (self.out / relative).unlink(missing_ok=True)

    def forget_other(self, task: ScanTask, sha256: str) -> None:
        """`forget` what is of another scan under this name: it would pass for this one's."""
        record = self.record(task)
        if record and record["scan"]["sha256"] != sha256:
            self.forget(task)

    def what_changed(
        self, record: Mapping[str, Any], task: ScanTask, recipe: Recipe, bids: Path
    ) -> str:
        """Why a finished scan is to be computed again, in words; empty if it is not.

        Args:
            record: of the scan.
            task: as it would be done now.
            recipe: as it would be done now.
            bids: BIDS_DIR; the scan is there.
        """
        changes = recipe.changes_since(record.get("recipe"))
        if changes:
            return changes
        # An earlier version may have written fewer.
        names = {*record["files"], *(path.as_posix() for path in task.files.values())}
        if not all((self.out / name).is_file() for name in names):
            return "an output is missing"
        if not same_siblings(record, task, bids):
            return "another session changed"
        return "" if _is_same(bids / task.path, record["scan"]) else "the scan changed"

    def restamp(self, task: ScanTask, stamps: Mapping[str, Stamp]) -> None:
        """Note that scans of other dates have the recorded content: path -> its new stamp."""
        record = self.record(task)
        if not record:  # another run has forgotten it since
            return
        for path, stamp in stamps.items():
            facts = record["scan"] if path == task.path else record["siblings"][path]
            facts.update(asdict(stamp))
        _write(self._path("done", task), record)

    def publish(self, task: ScanTask) -> dict[str, str]:
        """Move a scan's staged files to their places.

        Returns:
            Output relative to OUT_DIR -> its sha256.
        """
        (self.out / task.folder).mkdir(parents=True, exist_ok=True)
        hashes = {}
        for relative in task.files.values():
            staged = self.staging(task) / relative.name
            hashes[relative.as_posix()] = file_sha256(staged)
            os.replace(staged, self.out / relative)
        self.staging(task).rmdir()
        return hashes

    def _path(self, kind: str, task: ScanTask) -> Path:
        return self.state / kind / task.subject / f"{task.stem}.json"


def same_siblings(record: Mapping[str, Any], task: ScanTask, bids: Path) -> bool:
    """True if the other sessions' scans are those that a record was made with."""
    known = record.get("siblings", {})
    return set(known) == set(task.siblings) and all(
        (bids / path).exists() and _is_same(bids / path, facts) for path, facts in known.items()
    )


def restamped(record: Mapping[str, Any], bids: Path) -> dict[str, Stamp]:
    """Scans of a record whose files have another date or size than it says: path -> new stamp."""
    facts = {record["task"]["path"]: record["scan"], **record.get("siblings", {})}
    stamps = {path: stamp_of(bids / path) for path in facts if (bids / path).exists()}
    return {path: stamp for path, stamp in stamps.items() if stamp != _stamp_in(facts[path])}


def _is_same(path: Path, facts: Mapping[str, Any]) -> bool:
    """True if a file has the recorded content, which is looked at where its date is another."""
    stamp, known = stamp_of(path), _stamp_in(facts)
    return stamp == known or (stamp.size == known.size and file_sha256(path) == facts["sha256"])


def _stamp_in(facts: Mapping[str, Any]) -> Stamp:
    return Stamp(facts["size"], facts["mtime_ns"])


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _all(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("*/*.json")):
        if content := _read(path):
            yield content


def _write(path: Path, content: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(content, indent=1) + "\n")
