"""Mean thickness and area of regions of the cortex with their error, and their table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from fibromorph.labels import CORTEX, FREESURFER, Label, LabelTable
from fibromorph.postprocessing.cortex import thickness_map
from fibromorph.postprocessing.row_tables import read_rows, write_rows
from fibromorph.postprocessing.volumes import inflation

MEAN = "Mean-Thickness"
THINNEST_MM = 0.5
"""Where noise lets both surfaces touch, the cortex counts as this thick."""
CLAIM_VOXELS = 5.0
"""How far from a region what it is given may lie: protocols disagree about single voxels."""

Ids = NDArray[np.uint8]
Numbers = NDArray[np.float32]


@dataclass(frozen=True)
class ThicknessRow:
    """One line of a table of thickness; None is written `n/a`: not there or not known.

    Attributes:
        region_id: label id; None for hemispheres drawn in regions, and for both together.
        name: as in the label table, `Left-Cerebral-Cortex`, `Right-Cerebral-Cortex`, or
            `Mean-Thickness`.
        hemisphere: 'left', 'right', or 'both' for `Mean-Thickness`.
        thickness_mm: mean over the region's area.
        sd_mm: standard deviation of its error.
        area_cm2: of the layer in the middle; times thickness it is the region's volume.
    """

    region_id: int | None
    name: str
    hemisphere: str
    thickness_mm: float | None
    sd_mm: float | None
    area_cm2: float | None


@dataclass(frozen=True)
class ThicknessError:
    """What a bundle knows of the error of thickness.

    Attributes:
        relative_sd: by name of a row; one that is missing gets no `sd_mm`.
        reference_confidence: mean posterior of the ribbon on the scans that it was measured on.
    """

    relative_sd: Mapping[str, float] = field(default_factory=dict)
    reference_confidence: float | None = None

    def sd_mm(self, name: str, thickness_mm: float, confidence: float) -> float | None:
        """As `Calibration.sd_ml`, by the mean posterior of the scan's whole ribbon."""
        relative = self.relative_sd.get(name)
        if relative is None:
            return None
        return relative * thickness_mm * inflation(confidence, self.reference_confidence)


@dataclass(frozen=True, eq=False)
class Ribbon:
    """What a bundle has drawn, of which the cortex is measured.

    With ids of `FREESURFER` it is thin as between surfaces. Manual protocols give the cortex what
    lies between the banks of sulci, too: right for a volume by that protocol, too thick by a
    millimetre.

    Attributes:
        labels: (i, j, k) ids.
        confidence: (i, j, k) the posterior of each.
    """

    labels: Ids
    confidence: Numbers

    def sureness(self, cortex: NDArray[np.bool_]) -> float:
        """Mean posterior of the cortex; 0 where there is none."""
        return float(self.confidence[cortex].mean()) if cortex.any() else 0.0

    def thickness(self, spacing_mm: float, threads: int) -> Numbers:
        """See `thickness_map`."""
        return thickness_map(self.labels, self.confidence, spacing_mm, threads)


def measure_thickness(
    thickness: Numbers,
    ribbon: Ribbon,
    labels: Ids,
    table: LabelTable,
    spacing_mm: float,
    error: ThicknessError,
) -> tuple[ThicknessRow, ...]:
    """One row a region of the cortex in the table's order, the hemispheres, and both together.

    A mean over area: every voxel stands for an area of its volume over the thickness there
    (the harmonic mean over voxels; thick places have more voxels, not more cortex). What of the
    ribbon no region claims goes to the nearest one of its side.

    Args:
        thickness: (i, j, k) mm, 0 outside the ribbon.
        ribbon: that it was measured on.
        labels: (i, j, k) ids of `table`, whose regions are told apart; a table without regions of
            the cortex gives hemispheres only.
        table: the structures.
        spacing_mm: of the voxels.
        error: the bundle's.
    """
    measured = thickness > 0
    of_mm = thickness[measured]
    # The scan's, not the region's: regions differ in it on the best scan, too.
    sure = ribbon.sureness(measured)

    def row(region_id: int | None, name: str, side: str, here: NDArray[np.bool_]) -> ThicknessRow:
        if not here.any():
            return ThicknessRow(region_id, name, side, None, None, None)
        mean_mm, area_cm2 = mean_and_area(of_mm[here], spacing_mm)
        sd_mm = error.sd_mm(name, mean_mm, sure)
        return ThicknessRow(region_id, name, side, mean_mm, sd_mm, area_cm2)

    rows = []
    regions = [label for label in table if label.parent == CORTEX]
    if regions:
        claimed = claimed_regions(labels, measured, ribbon, regions)
        rows = [row(r.id, r.name, r.hemisphere, claimed == r.id) for r in regions]
    sides = ribbon.labels[measured]
    for side, hemisphere in _sides():
        own = side if side in table.ids else None
        name = f"{hemisphere.capitalize()}-{CORTEX}"
        rows.append(row(own, name, hemisphere, sides == side))
    return (*rows, row(None, MEAN, "both", sides > 0))


def mean_and_area(of_mm: Numbers, spacing_mm: float) -> tuple[float, float]:
    """Mean thickness over the area in mm, and the area in cm2, of one voxel or more.

    Args:
        of_mm: (n,) thickness where each voxel lies.
        spacing_mm: of the voxels.
    """
    areas_mm2 = spacing_mm**3 / np.maximum(of_mm, THINNEST_MM)
    area_mm2 = float(np.sum(areas_mm2, dtype=np.float64))
    return len(of_mm) * spacing_mm**3 / area_mm2, area_mm2 / 100


def write_thickness(path: Path, rows: Sequence[ThicknessRow]) -> None:
    """Write `rows` as a tab-separated table, `n/a` for None, moved into place when complete."""
    write_rows(path, ThicknessRow, rows)


def read_thickness(path: Path) -> tuple[ThicknessRow, ...]:
    """Read a table of `write_thickness`.

    Raises:
        TableError: missing file, other columns, or a cell that is neither a number nor n/a.
    """
    return read_rows(path, ThicknessRow, "a table of thickness")


def claimed_regions(
    labels: Ids, measured: NDArray[np.bool_], ribbon: Ribbon, regions: Sequence[Label]
) -> Ids:
    """The region of each measured voxel, in order: its own, or the nearest one of its side.

    0 = none lies within `CLAIM_VOXELS`.
    """
    own = labels[measured]
    places = np.argwhere(measured).astype(np.float32)
    claimed = np.zeros_like(own)
    for side, hemisphere in _sides():
        ids = [region.id for region in regions if region.hemisphere == hemisphere]
        known = np.isin(own, ids)
        claimed[known] = own[known]
        lost = (ribbon.labels[measured] == side) & ~np.isin(own, [r.id for r in regions])
        if known.any() and lost.any():
            tree = KDTree(places[known])
            far, nearest = tree.query(places[lost], distance_upper_bound=CLAIM_VOXELS)
            there = np.isfinite(far)
            claimed[np.flatnonzero(lost)[there]] = own[known][nearest[there]]
    return claimed


def _sides() -> Iterable[tuple[int, str]]:
    """Ids of the whole cortex and their hemispheres."""
    ids = FREESURFER.ids_of(CORTEX)
    return ((label.id, label.hemisphere) for label in FREESURFER if label.id in ids)
