"""What is passed between the planner, the executors and the workers: plain, picklable values."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fibromorph.datasets.bids import BidsName
from fibromorph.errors import ConfigError
from fibromorph.file_names import DESC, SCAN, THICKNESS, beyond_volumes, described
from fibromorph.serving.outputs.placing import paths_of

Status = Literal["done", "present", "failed", "busy"]
NO_SESSION = "n/a"
"""In tables."""


@dataclass(frozen=True)
class ScanTask:
    """One scan to segment.

    Attributes:
        path: relative to the data set's folder, POSIX.
        subject: 'sub-01'.
        session: 'ses-01' or None.
        run: what tells the scans of a session apart, or None.
        stem: of the outputs: the scan's entities.
        siblings: scans of the person's other sessions that it is conformed with, one a session.
        thickness: also measure that of the cortex.
        vbm: also map its tissue in MNI coordinates.
        tissue: also write its brain mask and tissue on its own voxels.
        atlases: names of those whose regions are measured, too.
    """

    path: str
    subject: str
    session: str | None
    run: str | None
    stem: str
    siblings: tuple[str, ...] = ()
    thickness: bool = False
    vbm: bool = False
    tissue: bool = False
    atlases: tuple[str, ...] = ()

    @property
    def ids(self) -> tuple[str, str, str]:
        """Cells of a table: participant, session and run, `n/a` where there is none."""
        return self.subject, self.session or NO_SESSION, self.run or "n/a"

    @property
    def folder(self) -> Path:
        """Where its outputs go, relative to OUT_DIR."""
        return Path(self.subject, self.session or "", "anat")

    @property
    def files(self) -> dict[str, Path]:
        """What each output is -> where it goes, relative to OUT_DIR."""
        own = {what: SCAN[what] for what in ("dseg", "volumes", "report")}
        own |= {"sidecar": SCAN["dseg"].replace(".nii.gz", ".json")}
        beyond = beyond_volumes(
            thickness=self.thickness, maps=self.vbm, tissue=self.tissue, atlases=self.atlases
        )
        # Of what others derive from a scan, too, the name says who made it.
        named = {
            what: described(ending, DESC) if what in own or what in THICKNESS else ending
            for what, ending in (own | beyond).items()
        }
        return paths_of(self.folder, self.stem, named)


@dataclass(frozen=True)
class Outcome:
    """What became of a task.

    Attributes:
        task: which.
        status: 'done' now; 'present' before; 'failed'; 'busy' = another run is at it.
        step: where it failed, 'read', 'network', ...
        reason: why it failed.
        seconds: what it took, reading excluded.
    """

    task: ScanTask
    status: Status
    step: str = ""
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Shard:
    """Part `index` of `count`, from 1."""

    index: int = 1
    count: int = 1

    def of(self, subjects: tuple[str, ...]) -> tuple[str, ...]:
        """Every `count`-th subject; whole subjects, so that sessions of one stay together."""
        return subjects[self.index - 1 :: self.count]


def parse_shard(text: str) -> Shard:
    """Read 'I/N'.

    Raises:
        ConfigError: not two whole numbers with 1 <= I <= N.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise ConfigError("must be I/N with 1 <= I <= N", value=text, subject="--shard")
    return Shard(int(match[1]), int(match[2]))


def task_of(
    path: Path,
    name: BidsName,
    *,
    thickness: bool = False,
    vbm: bool = False,
    tissue: bool = False,
    atlases: tuple[str, ...] = (),
) -> ScanTask:
    """The task for a scan of a BIDS tree."""
    parts = (name.subject, name.session, name.run, name.stem, ())
    return ScanTask(path.as_posix(), *parts, thickness, vbm, tissue, atlases)


def is_there(bids: Path, task: ScanTask) -> bool:
    """Whether a scan is still in BIDS_DIR, be it a link to what is not on this disk."""
    return os.path.lexists(bids / task.path)


def task_from(content: Mapping[str, Any]) -> ScanTask:
    """The task that was written to a record."""
    several = {name: tuple(content.get(name, ())) for name in ("siblings", "atlases")}
    return ScanTask(**{**content, **several})
