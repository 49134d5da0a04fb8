"""The anatomies that simulated people are deformed from: a scan and its labels, on 1 mm voxels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fibromorph.errors import LabelError
from fibromorph.grid import Grid
from fibromorph.labels import FREESURFER, LabelTable, to_freesurfer
from fibromorph.scans import Scan, read_scan, resample, working_grid

WHITE_MATTER = (2, 41)
SPACING_MM = 1.0
MARGIN_VOXELS = 8


@dataclass(frozen=True, eq=False)
class Anatomy:
    """A head as simulation sees it.

    Attributes:
        name: where it came from, for the record of a study.
        intensities: (i, j, k) float32, median of white matter = 1.
        labels: (i, j, k) uint8 ids; what is labelled is what lies inside the skull.
        grid: RAS+, 1 mm.
        table: that the ids belong to; people are drawn from FreeSurfer's.
    """

    name: str
    intensities: NDArray[np.float32]
    labels: NDArray[np.uint8]
    grid: Grid
    table: LabelTable = FREESURFER

    @cached_property
    def ids(self) -> tuple[int, ...]:
        """The label ids that are present, in the table's order."""
        present = set(np.unique(self.labels).tolist())
        return tuple(i for i in self.table.ids if i in present)


def read_anatomy(scan_path: Path, labels_path: Path) -> Anatomy:
    """A scan and its segmentation, of `fibromorph segment` or in FreeSurfer ids.

    Raises:
        ScanError: a file cannot be read.
        LabelError: ids are not FreeSurfer's, there is no white matter, or the two do not overlap.
    """
    scan, labels = read_scan(scan_path), read_scan(labels_path)
    ids = np.rint(labels.data).astype(np.int32)
    return conform_anatomy(scan, ids, labels.grid, str(labels_path))


def conform_anatomy(
    scan: Scan,
    labels: NDArray[np.integer],
    labels_grid: Grid,
    subject: str = "",
    table: LabelTable = FREESURFER,
) -> Anatomy:
    """Bring a scan and its labels to one RAS+ grid of 1 mm around what is not empty.

    Args:
        scan: of a head or a skull-stripped brain.
        labels: ids on `labels_grid`.
        labels_grid: may differ from the scan's.
        subject: the label file, for errors.
        table: of the ids; in FreeSurfer's images variants of its ids are known, too.

    Raises:
        LabelError: see `read_anatomy`.
    """
    grid = working_grid(scan.grid, SPACING_MM)
    image = resample(scan.data, scan.grid, grid)
    known = to_freesurfer(labels, "freesurfer", subject) if table is FREESURFER else labels
    seen = resample(known.astype(np.float32), labels_grid, grid, order=0)
    ids = np.rint(seen).astype(np.uint8)
    white = np.isin(ids, WHITE_MATTER)
    if not white.any():
        raise LabelError(
            "labels must cover the scan and hold cerebral white matter (2, 41)",
            value=np.unique(ids).tolist()[:10],
            subject=subject,
        )
    level = float(np.median(image[white]))
    return _cropped(Anatomy(scan.stem, image / np.float32(level), ids, grid, table))


def _cropped(anatomy: Anatomy) -> Anatomy:
    """Without the empty border, which costs time in every scan."""
    filled = np.argwhere((anatomy.labels > 0) | (anatomy.intensities > 0.1))
    start = np.maximum(filled.min(axis=0) - MARGIN_VOXELS, 0)
    stop = np.minimum(filled.max(axis=0) + 1 + MARGIN_VOXELS, anatomy.labels.shape)
    box = tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    i, j, k = (s.stop - s.start for s in box)
    grid = anatomy.grid.box((box[0].start, box[1].start, box[2].start), (i, j, k))
    image, labels = anatomy.intensities[box], anatomy.labels[box]
    return replace(anatomy, intensities=image, labels=labels, grid=grid)
