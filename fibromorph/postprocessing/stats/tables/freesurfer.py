"""A SUBJECTS_DIR of FreeSurfer or FastSurfer, without `asegstats2table`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from fibromorph.errors import TableError
from fibromorph.postprocessing.stats.tables.cohort import CohortVolumes, keyed, of_tool
from fibromorph.postprocessing.stats.tables.measure import THICKNESS, BrainMeasure
from fibromorph.postprocessing.stats.tables.region_names import ETIV, from_freesurfer
from fibromorph.postprocessing.stats.tables.scan_ids import ScanIds

SEGMENTED = ("aseg.stats", "aseg+DKT.stats")
"""Of FreeSurfer and FastSurfer, and of FastSurfer without surfaces: cortical regions are in it."""
PARCELLATED = ("{side}.aparc.stats", "{side}.aparc.DKTatlas.mapped.stats")
"""Of FreeSurfer, and of FastSurfer with surfaces."""
VOLUME_COLUMNS, THICKNESS_COLUMNS = ("Volume_mm3", "GrayVol"), ("ThickAvg",)
LONG, TEMPLATE = ".long.", "fsaverage"
NAMED = 5


def is_subjects_dir(folder: Path) -> bool:
    """Whether a subject in it has statistics of a segmentation."""
    return any(any(folder.glob(f"*/stats/{name}")) for name in SEGMENTED)


def read_subjects_dir(folder: Path, ids: ScanIds, measure: BrainMeasure) -> CohortVolumes:
    """What all subjects' `stats/aseg.stats` and those of both parcellations beside it hold.

    Where there are longitudinal runs (`SCAN.long.BASE`), only they are taken. What a subject lacks
    is missing, and who lacks the segmentation's statistics, or for thickness both parcellations',
    is named in a note.

    Args:
        folder: SUBJECTS_DIR.
        ids: how scans are told apart.
        measure: thickness is in the parcellations alone.

    Raises:
        TableError: a file that is damaged, a scan that is there twice, or nobody with thickness.
    """
    everyone = sorted(p for p in folder.iterdir() if p.is_dir() and TEMPLATE not in p.name)
    subjects = [p for p in everyone if LONG in p.name] or everyone
    found = [(p, path) for p in subjects if (path := _segmented(p)) is not None]
    read = _volumes_of
    if measure is THICKNESS:
        found, read = [(p, path) for p, path in found if any(_parcellated(p))], _thickness_of
    if not found:
        rule = "thickness needs ?h.aparc.stats or ?h.aparc.DKTatlas.mapped.stats of a subject"
        raise TableError(rule, subject=folder)
    rows = [read(subject, path) for subject, path in found]
    names = [subject.name.partition(LONG)[0] for subject, _ in found]
    places = [str(path) for _, path in found]
    index = keyed([ids.split(n, None, p) for n, p in zip(names, places, strict=True)], places)
    values = pd.DataFrame(rows, index=index, dtype=float)
    left = [p.name for p in everyone if p not in {subject for subject, _ in found}]
    return of_tool(values, measure, "FreeSurfer", folder, _note(folder, left))


def _segmented(subject: Path) -> Path | None:
    return next((p for name in SEGMENTED if (p := subject / "stats" / name).is_file()), None)


def _note(folder: Path, left: Sequence[str]) -> tuple[str, ...]:
    if not left:
        return ()
    names = ", ".join(left[:NAMED]) + (", ..." if len(left) > NAMED else "")
    return (f"Folders of {folder.name} that were not taken ({len(left)}): {names}.",)


def _volumes_of(subject: Path, segmented: Path) -> dict[str, float]:
    """Region -> mm3."""
    volumes = {from_freesurfer(name): mm3 for name, mm3 in _read(segmented, VOLUME_COLUMNS, "mm^3")}
    for side, path in _parcellated(subject):
        regions = _read(path, VOLUME_COLUMNS)
        volumes |= {from_freesurfer(f"{side}_{name}_volume"): mm3 for name, mm3 in regions}
    return volumes


def _thickness_of(subject: Path, segmented: Path) -> dict[str, float]:
    """Region -> mm, with the means of both hemispheres, and the head size in mm3."""
    measures = {from_freesurfer(n): mm3 for n, mm3 in _read(segmented, VOLUME_COLUMNS, "mm^3")}
    thickness = {ETIV: measures[ETIV]} if ETIV in measures else {}
    for side, path in _parcellated(subject):
        regions = _read(path, THICKNESS_COLUMNS, "mm")
        thickness |= {from_freesurfer(f"{side}_{name}_thickness"): mm for name, mm in regions}
    return thickness


def _parcellated(subject: Path) -> Iterator[tuple[str, Path]]:
    """Each side's statistics of a parcellation, where there are."""
    for side in ("lh", "rh"):
        paths = (subject / "stats" / name.format(side=side) for name in PARCELLATED)
        path = next((path for path in paths if path.is_file()), None)
        if path is not None:
            yield side, path


def _read(path: Path, columns: Sequence[str], unit: str = "") -> Iterator[tuple[str, float]]:
    """Names and values of a statistics file: a line a structure, and measures of its header.

    Args:
        path: the file.
        columns: the first of them that is there has the values.
        unit: of the measures that are wanted; '' = none.

    Raises:
        TableError: not readable, or without the columns of structure and value.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as reason:
        raise TableError("must be a readable text", value=reason, subject=path) from None
    header: list[str] = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if line.startswith("# Measure") and unit:
            _, short, *_, value, own = (part.strip() for part in line.split(","))
            if own == unit:
                yield short, _number(value, path, number)
        elif line.startswith("# ColHeaders"):
            header = words[2:]
        elif words and not line.startswith("#"):
            name, wanted = _columns(header, columns, path)
            if len(words) != len(header):
                rule = f"a row must have {len(header)} cells"
                raise TableError(rule, value=len(words), subject=f"{path}, line {number}")
            yield words[name], _number(words[wanted], path, number)
    _columns(header, columns, path)


def _columns(header: Sequence[str], columns: Sequence[str], path: Path) -> tuple[int, int]:
    """Where structure and value stand."""
    wanted = next((header.index(name) for name in columns if name in header), None)
    if wanted is None or "StructName" not in header:
        rule = f"# ColHeaders must name StructName and one of {', '.join(columns)}"
        raise TableError(rule, value=" ".join(header) or "none", subject=path)
    return header.index("StructName"), wanted


def _number(text: str, path: Path, line: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        rule = "what was measured must be a number"
        raise TableError(rule, value=text, subject=f"{path}, line {line}")
    return value
