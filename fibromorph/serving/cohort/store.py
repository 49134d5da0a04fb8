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
from fibromorph.serving.outputs import set_aside

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
        self._path("failed", task).unlink(missing_ok=True)

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

    def corrected_labels(self, record: Mapping[str, Any]) -> Path | None:
        """The label image of a finished scan, if somebody has worked on it since.

        Told by its content: dates change when folders are copied, and stay when files are moved.
        """
        name = task_from(record["task"]).files["dseg"]
        path, recorded = self.out / name, record["files"].get(name.as_posix())
        return path if path.is_file() and file_sha256(path) != recorded else None

    def forget(self, task: ScanTask) -> None:
        """Drop all that is known of a scan, before it is computed anew: record first, then files.

        What a killed run left half-way goes too. A file that was edited since is set aside, as
        `NAME.edited.nii.gz`. Only the holder of the scan's lease may do this.
        """
        for name, sha256 in self.record(task).get("files", {}).items():
            set_aside(self.out / name, sha256)
        for kind in ("done", "failed"):
            path = self._path(kind, task)
            path.unlink(missing_ok=True)
            drop_parts(path)
        for relative in task.files.values():
            (self.out / relative).unlink(missing_ok=True)
        shutil.rmtree(self.staging(task), ignore_errors=True)

    def restamp(self, task: ScanTask, stamp: Stamp) -> None:
        """Note that a scan of another date has the recorded content."""
        record = self.record(task)
        _write(self._path("done", task), {**record, "scan": {**record["scan"], **asdict(stamp)}})

    def is_whole(self, record: Mapping[str, Any]) -> bool:
        """True if every file of a record is there."""
        return all((self.out / name).is_file() for name in record.get("files", {}))

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
        (bids / path).exists()
        and vars(stamp_of(bids / path)) == {k: facts[k] for k in ("size", "mtime_ns")}
        for path, facts in known.items()
    )


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
