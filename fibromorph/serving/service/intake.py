"""Uploads are read in processes of their own, which may be killed by what they read."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fibromorph.errors import ScanError
from fibromorph.scans.scan import ReadLimits
from fibromorph.serving.devices import available_cpus
from fibromorph.serving.service.problems import Refusal
from fibromorph.serving.service.reader import SUBJECT, Answer, read_upload
from fibromorph.serving.service.settings import MIB, Settings

EXPANDED = 2
PATIENCE = 4
"""Seconds on the clock for every one of processor time that a reader may use."""
RETRY_SECONDS = 30
REAP_SECONDS = 5


@dataclass(frozen=True)
class Confines:
    """What one reader may use."""

    limits: ReadLimits
    memory: int
    seconds: float


class Intake:
    """Readers of uploads: one fresh process each, forked from a server that has loaded numpy.

    Args:
        settings: memory and time of a reader, largest upload.
    """

    def __init__(self, settings: Settings) -> None:
        limits = ReadLimits(max_bytes=EXPANDED * settings.upload_mb * MIB)
        self._confines = Confines(limits, settings.intake_memory_mb * MIB, settings.intake_seconds)
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(
            ["fibromorph.serving.service.reader", "nibabel", "scipy.ndimage", "pydicom"]
        )
        self._places = asyncio.Semaphore(available_cpus())

    async def start(self) -> None:
        """Read nothing once, so that the server of readers is up."""
        with suppress(Refusal):
            await asyncio.to_thread(self._read, Path(os.devnull), Path(os.devnull))

    async def read(self, upload: Path, folder: Path) -> None:
        """Read `upload` and write the clean scan into `folder`.

        Raises:
            ScanError: it is no scan, or breaks a rule, or kills or outlasts its reader.
            Refusal: 503, the machine is too busy to read it.
            OSError: the disk is full.
        """
        async with self._places:
            answer = await asyncio.to_thread(self._read, upload, folder)
        if answer is not None:
            raise _error(answer)

    def _read(self, upload: Path, folder: Path) -> Answer | None:
        here, there = self._context.Pipe(duplex=False)
        confines = self._confines
        process = self._context.Process(
            target=read_upload,
            args=(there, str(upload), str(folder), *vars(confines).values()),
            daemon=True,
        )
        process.start()
        there.close()
        try:
            if not here.poll(PATIENCE * confines.seconds):
                raise _too_busy()
            answer: Answer | None = here.recv()
        except EOFError:
            process.join(REAP_SECONDS)
            return _refused(_fate(process.exitcode, confines.seconds))
        finally:
            process.kill()
            process.join()
            process.close()
            here.close()
        return answer


def _too_busy() -> Refusal:
    """It is not the scan's fault: its own time is the processor's, and that is limited, too."""
    rule = "the service is too busy to read the scan: try again"
    return Refusal(503, rule, subject="service", retry_after=RETRY_SECONDS)


def _fate(exitcode: int | None, seconds: float) -> str:
    """Which rule a scan breaks that ended its reader."""
    if exitcode == -signal.SIGXCPU:
        return f"a scan must be readable within {seconds:g} s of processor time"
    return "a scan must be intact: it ended the process that read it"


def _refused(rule: str) -> Answer:
    return {"rule": rule, "value": None, "subject": SUBJECT}


def _error(answer: Answer) -> Exception:
    if "errno" in answer:
        return OSError(answer["errno"], os.strerror(answer["errno"]))
    return ScanError(answer["rule"], value=answer["value"], subject=answer["subject"])
