"""Scans of a folder, told apart by what their paths do not share, and the labels beside them."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from fibromorph.errors import ConfigError

SHOWN_STEMS = 3


@dataclass(frozen=True)
class LabelledPair:
    """A scan's file and that of its labels.

    Attributes:
        stem: the scan's path in its data set without the suffix that all scans there have.
        scan, labels: the files.
    """

    stem: str
    scan: Path
    labels: Path


def find_scans(folder: Path, suffix: str) -> list[Path]:
    """All scans of a tree whose paths end alike, sorted; what is hidden is left out.

    Args:
        folder: top of the tree.
        suffix: end of the scans' paths, such as `_T1w.nii.gz` or `/mri/T1.mgz`.

    Raises:
        ConfigError: there are none.
    """
    name = suffix.rpartition("/")[2]
    found = {path: path.relative_to(folder) for path in folder.rglob(f"*{glob.escape(name)}")}
    scans = sorted(
        path
        for path, inside in found.items()
        if inside.as_posix().endswith(suffix) and not any(p.startswith(".") for p in inside.parts)
    )
    if not scans:
        raise ConfigError("no scan fits", value=f"*{suffix}", subject=folder)
    return scans


def choose_scans(
    scans: Iterable[Path],
    folder: Path,
    suffix: str,
    *,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
) -> dict[str, Path]:
    """Scans by their stems, see `LabelledPair`.

    Args:
        scans: files in `folder`.
        folder: top of the data set.
        suffix: end of the scans' paths.
        only: stems to take, or patterns of them such as `sub-0*`; empty = all.
        skip: stems to leave out, or patterns of them.

    Raises:
        ConfigError: no scan has one of these stems, or none is left.
    """
    stems = {_start(scan, folder, suffix).rstrip("/") or ".": scan for scan in scans}
    some = ", ".join(list(stems)[:SHOWN_STEMS])
    for pattern in (*only, *skip):
        if not any(_fits(stem, pattern) for stem in stems):
            rule = f"only and skip must name scans by their stems, which here are {some}"
            more = ", ..." if len(stems) > SHOWN_STEMS else ""
            raise ConfigError(rule + more, value=pattern, subject=folder)
    chosen = {
        stem: scan
        for stem, scan in stems.items()
        if not only or any(_fits(stem, pattern) for pattern in only)
        if not any(_fits(stem, pattern) for pattern in skip)
    }
    if not chosen:
        raise ConfigError(f"only and skip must leave some of {some}", subject=folder)
    return chosen


def pair_of(stem: str, scan: Path, folder: Path, suffixes: tuple[str, str]) -> LabelledPair:
    """A scan with its labels.

    Args:
        stem: of the scan, see `choose_scans`.
        scan: a file in `folder`.
        folder: top of the data set.
        suffixes: end of the scan's path, and what stands there in the path of its labels.

    Raises:
        ConfigError: there are no labels.
    """
    labels = folder / (_start(scan, folder, suffixes[0]) + suffixes[1])
    if labels == scan or not labels.is_file():
        raise ConfigError("every scan must have labels, or be skipped", value=labels, subject=scan)
    return LabelledPair(stem, scan, labels)


def _start(scan: Path, folder: Path, suffix: str) -> str:
    return scan.relative_to(folder).as_posix().removesuffix(suffix)


def _fits(stem: str, pattern: str) -> bool:
    return stem == pattern or fnmatchcase(stem, pattern)
