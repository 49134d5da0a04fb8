"""The log of one scan: what happened when, on which machine, in which process."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from pathlib import Path

from fibromorph.serving.pipeline import Segmented


class ScanLog:
    """Appends lines to a scan's log; every run adds to what earlier ones wrote.

    Args:
        path: of the log; its folder is made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._who = f"{socket.gethostname()} {os.getpid()}"

    def say(self, text: str) -> None:
        """Write a line, or several, at once: appending is all that runs on other nodes need."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        lines = "".join(f"{now} [{self._who}] {line}\n" for line in text.splitlines())
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(lines)

    def say_result(self, result: Segmented) -> None:
        """Findings of the header, engine with its threads, seconds of every step, verdict."""
        for finding in result.scan.findings:
            self.say(f"{finding.severity}: {finding.message}")
        self.say(f"engine {result.engine}")
        steps = ", ".join(f"{step.name} {step.seconds or 0.0:.2f} s" for step in result.steps)
        self.say(steps)
        self.say(f"quality {result.quality.verdict} ({result.quality.overall:.2f})")
