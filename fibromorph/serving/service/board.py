"""What running jobs are doing right now, for whoever watches; kept in memory alone."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

# Shares of a scan's time, measured on one scan at 1 mm; what is not listed ends at the next one.
PERCENT_AT = {
    "load": 1,
    "conform": 3,
    "network": 8,
    "components": 80,
    "own grid": 85,
    "volumes": 87,
    "ribbon": 88,
    "thickness": 88,
    "average head": 89,
    "atlases": 91,
    "tissue": 91,
    "write": 92,
    "statistics": 5,
    "publish": 98,
}


@dataclass(frozen=True)
class Progress:
    """The stage of a running job, and the worker that is at it."""

    attempt: int
    stage: str
    worker: str = ""

    @property
    def percent(self) -> int:
        return PERCENT_AT.get(self.stage, 0)


class Board:
    """Progress by job, and a way to wait for the next change of anything."""

    def __init__(self) -> None:
        self._progress: dict[str, Progress] = {}
        self._changed = asyncio.Event()

    def put(self, job_id: str, progress: Progress) -> None:
        """Note progress; late words of an older attempt are ignored."""
        known = self._progress.get(job_id)
        if known is None or progress.attempt >= known.attempt:
            self._progress[job_id] = progress
            self.announce()

    def get(self, job_id: str) -> Progress | None:
        """What is known of a running job."""
        return self._progress.get(job_id)

    def drop(self, job_id: str) -> None:
        """Forget a job that no longer runs."""
        self._progress.pop(job_id, None)
        self.announce()

    def announce(self) -> None:
        """Wake everybody who waits; call from the event loop."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """Until something changes, at most `seconds`."""
        changed = self._changed
        try:
            await asyncio.wait_for(changed.wait(), seconds)
        except TimeoutError:
            return
