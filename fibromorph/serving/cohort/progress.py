"""How far a cohort is: a live line on a terminal, a line now and then in a log file."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm

from fibromorph.serving.cohort.tasks import Outcome

SECONDS_BETWEEN_LINES = 60.0


class Progress:
    """Counts outcomes and tells how long the rest will take.

    Args:
        total: scans to come.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = self.failed = 0
        self._started = self._told = time.monotonic()
        self._bar = tqdm(total=total, unit="scan", disable=not sys.stderr.isatty())

    def count(self, outcome: Outcome) -> None:
        """Count an outcome; one that is 'busy' comes again and is not counted yet."""
        if outcome.status == "busy":
            return
        self.failed += outcome.status == "failed"
        self.done += outcome.status != "failed"
        self._bar.set_postfix_str(f"{self.failed} failed")
        self._bar.update()
        going_on = self.done + self.failed < self.total
        if going_on and self._bar.disable and time.monotonic() - self._told > SECONDS_BETWEEN_LINES:
            self._told = time.monotonic()
            print(self.line(), file=sys.stderr, flush=True)

    def line(self) -> str:
        """'12 of 80 done, 1 failed, 0:14:02 to go'."""
        past = self.done + self.failed
        seconds = (time.monotonic() - self._started) / max(past, 1) * (self.total - past)
        left = tqdm.format_interval(seconds)
        return f"{self.done} of {self.total} done, {self.failed} failed, {left} to go"

    def close(self) -> None:
        """Leave the terminal's line."""
        self._bar.close()
