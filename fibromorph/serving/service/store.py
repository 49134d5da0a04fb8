"""Where files lie; everything moves by renaming, so that nothing half-written has its name.

```
incoming/<id>.part      an upload being received, then read; wiped when the service starts
inputs/<job>/           a scan that was accepted, without its header
work/<job>.<attempt>/   what a worker is writing; wiped when the service starts
results/<job>/          what is served, and how the job ended
bundles/<sha256>/       models, as they were when they were verified
```
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

from fibromorph.errors import ConfigError
from fibromorph.serving.service.logs import log
from fibromorph.serving.service.problems import FULL_DISK_RULE, Refusal
from fibromorph.serving.service.settings import MIB

FOLDERS = ("incoming", "inputs", "work", "results", "bundles")
CANCEL_FLAG = "cancel"
DETAIL = "detail.json"
"""What a worker says of a job that is done, among its files: published with them, at once."""


class Store:
    """The service's folder, held by one service at a time.

    Args:
        root: made when it does not exist.
        keep_free_mb: what must stay free on its disk.

    Raises:
        ConfigError: it cannot be written, or another service holds it.
    """

    def __init__(self, root: Path, keep_free_mb: int = 0) -> None:
        self.root = root.resolve()
        self._keep_free = keep_free_mb * MIB
        try:
            # Parents get the default mode: the ledger beside these folders is nobody else's.
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            for name in FOLDERS:
                (self.root / name).mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _lock(self.root / "lock")
        except OSError as error:
            raise ConfigError("must be writable", value=error.strerror, subject=root) from error

    def close(self) -> None:
        """Let another service have the folder."""
        self._lock.close()

    def upload(self, job_id: str) -> Path:
        """Where an upload is received."""
        return self.root / "incoming" / f"{job_id}.part"

    def parsed(self, job_id: str) -> Path:
        """Where the scan in an upload is written while it is read."""
        return self.root / "incoming" / job_id

    def input(self, job_id: str) -> Path:
        """The accepted scan of a job."""
        return self.root / "inputs" / job_id

    def work(self, job_id: str, attempt: int) -> Path:
        """What the worker of one attempt writes to."""
        return self.root / "work" / f"{job_id}.{attempt}"

    def result(self, job_id: str) -> Path:
        """The published files of a job."""
        return self.root / "results" / job_id

    def bundle(self, digest: str) -> Path:
        """The copy of a bundle."""
        return self.root / "bundles" / digest

    def fetched(self, digest: str) -> Path:
        """Where a bundle out of a registry waits to be verified; then it is the copy."""
        return self.root / "bundles" / f"mlflow-{digest}"

    def detail(self, job_id: str) -> dict[str, Any]:
        """What the worker said of a published job; empty if it said nothing, or it is damaged."""
        try:
            content = json.loads((self.result(job_id) / DETAIL).read_text())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    @property
    def free_bytes(self) -> int:
        """What is left on the disk."""
        return shutil.disk_usage(self.root).free

    def check_space(self, n_bytes: int = 0) -> None:
        """Refuse what would not fit.

        Raises:
            Refusal: 507.
        """
        free = self.free_bytes
        if free < self._keep_free + n_bytes:
            raise Refusal(507, FULL_DISK_RULE, value=f"{free // MIB} MiB free", retry_after=600)

    def accept(self, job_id: str) -> None:
        """Make a parsed scan the input of its job."""
        os.replace(self.parsed(job_id), self.input(job_id))

    def drop_upload(self, job_id: str) -> None:
        """Remove what was received and what was read of it."""
        self.upload(job_id).unlink(missing_ok=True)
        shutil.rmtree(self.parsed(job_id), ignore_errors=True)

    def publish(self, job_id: str, attempt: int) -> None:
        """Make the files of an attempt the result; the first one published stays."""
        if not self.result(job_id).exists():
            os.replace(self.work(job_id, attempt), self.result(job_id))

    def share(self, twin_id: str, job_id: str, attempt: int) -> bool:
        """Publish another job's result for this one too, by hard links; False if it is gone, or
        there is no room for it."""
        work = self.work(job_id, attempt)
        shutil.rmtree(work, ignore_errors=True)
        try:
            shutil.copytree(self.result(twin_id), work, copy_function=os.link)
        except OSError:
            shutil.rmtree(work, ignore_errors=True)
            return False
        self.publish(job_id, attempt)
        return True

    def raise_cancel_flag(self, job_id: str, attempt: int) -> None:
        """Tell a worker to stop between two stages."""
        work = self.work(job_id, attempt)
        work.mkdir(exist_ok=True)
        (work / CANCEL_FLAG).touch()

    def drop_work(self, job_id: str, attempt: int) -> None:
        """Remove what an attempt left."""
        shutil.rmtree(self.work(job_id, attempt), ignore_errors=True)

    def drop_input(self, job_id: str) -> None:
        """Remove the scan of a job."""
        shutil.rmtree(self.input(job_id), ignore_errors=True)

    def drop_result(self, job_id: str) -> None:
        """Remove a job's files: first from where they are served, then from the disk."""
        shutil.rmtree(self.result(job_id), ignore_errors=True)

    def wipe_unfinished(self) -> None:
        """Remove what a service that was killed was receiving or writing."""
        left = [path for name in ("incoming", "work") for path in (self.root / name).iterdir()]
        for path in (*left, *(self.root / "bundles").glob("*.part")):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def drop_bundles(self, kept: Collection[Path]) -> None:
        """Remove all copies of bundles but these; what is no folder is none of them and stays."""
        for path in (self.root / "bundles").iterdir():
            if path in kept or path.is_symlink() or not path.is_dir():
                continue
            shutil.rmtree(path, ignore_errors=True)
            if path.exists():
                log.warning("an old bundle cannot be removed", digest=path.name[:12])

    def job_ids(self, folder: str) -> set[str]:
        """Jobs that have something in 'inputs' or 'results'."""
        return {path.name for path in (self.root / folder).iterdir()}


def _lock(path: Path) -> IO[str]:
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        rule = "no other service may be using this folder"
        raise ConfigError(rule, subject=path.parent) from error
    return file
