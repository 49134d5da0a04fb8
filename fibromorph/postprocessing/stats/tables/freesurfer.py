"""A SUBJECTS_DIR of FreeSurfer or FastSurfer, without `asegstats2table`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from fibromorph.errors import TableError
from fibromorph.postprocessing.stats.tables.cohort import CohortVolumes, from_mm3, keyed
from fibromorph.postprocessing.stats.tables.region_names import from_freesurfer
from fibromorph.postprocessing.stats.tables.scan_ids import ScanIds

SEGMENTED = ("aseg.stats", "aseg+DKT.stats")
"""Of FreeSurfer and FastSurfer, and of FastSurfer without surfaces: cortical regions are in it."""
PARCELLATED = ("{side}.aparc.stats", "{side}.aparc.DKTatlas.mapped.stats")
"""Of FreeSurfer, and of FastSurfer with surfaces."""
VOLUME_COLUMNS = ("Volume_mm3", "GrayVol")
LONG, TEMPLATE = ".long.", "fsaverage"
NAMED = 5


def is_subjects_dir(folder: Path) -> bool:
    """Whether a subject in it has statistics of a segmentation."""
    return any(any(folder.glob(f"*/stats/{name}")) for name in SEGMENTED)


def read_subjects_dir(folder: Path, ids: ScanIds) -> CohortVolumes:
    """Volumes of all subjects, from `stats/aseg.stats` and those of both parcellations beside it.

    Where there are longitudinal runs (`SCAN.long.BASE`), only they are taken. What a subject lacks
    is missing, and who lacks the segmentation's statistics is named in a note.

    Raises:
        TableError: a file that is damaged, or a scan that is there twice.
    """
    everyone = sorted(p for p in folder.iterdir() if p.is_dir() and TEMPLATE not in p.name)
    subjects = [p for p in everyone if LONG in p.name] or everyone
    found = [(p, path) for p in subjects if (path := _segmented(p)) is not None]
    rows = [_volumes_of(subject, path) for subject, path in found]
    names = [subject.name.partition(LONG)[0] for subject, _ in found]
    places = [str(path) for _, path in found]
    index = keyed([ids.split(n, None, p) for n, p in zip(names, places, strict=True)], places)
    values = pd.DataFrame(rows, index=index, dtype=float)
    left = [p.name for p in everyone if p not in {subject for subject, _ in found}]
    return from_mm3(values, "FreeSurfer", folder, _note(folder, left))


def _segmented(subject: Path) -> Path | None:
    return next((p for name in SEGMENTED if (p := subject / "stats" / name).is_file()), None)


def _note(folder: Path, left: Sequence[str]) -> tuple[str, ...]:
    if not left:
        return ()
    names = ", ".join(left[:NAMED]) + (", ..." if len(left) > NAMED else "")
    return (f"Folders of {folder.name} that were not taken ({len(left)}): {names}.",)


def _volumes_of(subject: Path, segmented: Path) -> dict[str, float]:
    """Region -> mm3."""
    volumes = {from_freesurfer(name): mm3 for name, mm3 in _read(segmented)}
    for side in ("lh", "rh"):
        paths = (subject / "stats" / name.format(side=side) for name in PARCELLATED)
        path = next((path for path in paths if path.is_file()), None)
        regions = _read(path, measures=False) if path else ()
        volumes |= {from_freesurfer(f"{side}_{name}_volume"): mm3 for name, mm3 in regions}
    return volumes


def _read(path: Path, *, measures: bool = True) -> Iterator[tuple[str, float]]:
    """Names and mm3 of a statistics file: a line a structure, and the measures in its header.

    Raises:
        TableError: not readable, or without the columns of structure and volume.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as reason:
        raise TableError("must be a readable text", value=reason, subject=path) from None
    header: list[str] = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if line.startswith("# Measure") and measures:
            _, short, *_, value, unit = (part.strip() for part in line.split(","))
            if unit == "mm^3":
                yield short, _number(value, path, number)
        elif line.startswith("# ColHeaders"):
            header = words[2:]
        elif words and not line.startswith("#"):
            name, volume = _columns(header, path)
            if len(words) != len(header):
                rule = f"a row must have {len(header)} cells"
                raise TableError(rule, value=len(words), subject=f"{path}, line {number}")
            yield words[name], _number(words[volume], path, number)
    _columns(header, path)


def _columns(header: Sequence[str], path: Path) -> tuple[int, int]:
    """Where structure and volume stand."""
    volume = next((header.index(name) for name in VOLUME_COLUMNS if name in header), None)
    if volume is None or "StructName" not in header:
        rule = f"# ColHeaders must name StructName and one of {', '.join(VOLUME_COLUMNS)}"
        raise TableError(rule, value=" ".join(header) or "none", subject=path)
    return header.index("StructName"), volume


def _number(text: str, path: Path, line: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise TableError("a volume must be a number", value=text, subject=f"{path}, line {line}")
    return value
