"""Brain mask and tissue of a scan on its own voxels, for whatever is computed next with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fibromorph.grid import Grid, Shape3, shape3
from fibromorph.labels import LabelTable
from fibromorph.postprocessing.brain import CLOSING_STEPS, brain_solid, is_brain
from fibromorph.postprocessing.components import Mask, fill_holes
from fibromorph.postprocessing.tissue import Shares, shares_of
from fibromorph.preprocess import largest_part
from fibromorph.scans import Scan, reach_of, restore_shares, write_labels, write_values

HALF = 0.5
MARGIN = CLOSING_STEPS + 1
"""Voxels kept around the labels, so that nothing that is done to them meets an edge."""

Box = tuple[slice, slice, slice]
Voxel = TypeVar("Voxel", bound=np.generic)


@dataclass(frozen=True, eq=False)
class BrainImages:
    """Brain and tissue on the scan's own voxels, in the box that they fill.

    Attributes:
        shape: of the scan.
        box: the part of its voxels that the arrays are of.
        mask: brain and ventricles: one part without holes.
        grey, white, fluid: float32 shares of each voxel, 0 to 1, together at most 1.
    """

    shape: Shape3
    box: Box
    mask: Mask
    grey: Shares
    white: Shares
    fluid: Shares

    def spread(self, values: NDArray[Voxel]) -> NDArray[Voxel]:
        """(i, j, k) of the whole scan, 0 outside the box."""
        image = np.zeros(self.shape, values.dtype)
        image[self.box] = values
        return image


@dataclass(frozen=True, eq=False)
class Drawn:
    """What a network drew of a head.

    Attributes:
        labels: (i, j, k) ids.
        confidence: (i, j, k) the posterior of each, 0 to 1.
        grid: where their voxels lie.
    """

    labels: NDArray[np.uint8]
    confidence: NDArray[np.float32]
    grid: Grid

    @property
    def cropped(self) -> Drawn:
        """The part that has labels, and `MARGIN` voxels around it."""
        found = ndimage.find_objects((self.labels > 0).view(np.uint8))
        box = found[0] if found else (slice(0, 0),) * 3
        i, j, k = (part.start - MARGIN for part in box)
        labels = np.pad(self.labels[box], MARGIN)
        confidence = np.pad(self.confidence[box], MARGIN, constant_values=1.0)
        return Drawn(labels, confidence, self.grid.box((i, j, k), shape3(labels.shape)))


def draw_brain(
    drawn: Drawn, table: LabelTable, on_scan_grid: NDArray[np.uint8], scan_grid: Grid
) -> BrainImages:
    """Mask and shares on the scan's own voxels.

    A voxel is in the mask if half of it is brain, or its own label is.

    Args:
        drawn: on the conformed grid.
        table: tissue of every label.
        on_scan_grid: (i, j, k) ids on the scan's own voxels.
        scan_grid: where those lie.
    """
    near = drawn.cropped
    i, j, k = box = reach_of(near.grid, scan_grid)
    part = scan_grid.box(
        (i.start, j.start, k.start), shape3(side.stop - side.start for side in box)
    )
    solid = brain_solid(near.labels).astype(np.float32)
    images = np.stack([*shares_of(near.labels, near.confidence, table), solid])
    grey, white, fluid, share = restore_shares(images, near.grid, part)
    mask = largest_part(fill_holes((share >= HALF) | is_brain(on_scan_grid[box])))
    return BrainImages(scan_grid.shape, box, mask, grey, white, fluid)


def write_brain(brain: BrainImages, scan: Scan, paths: Mapping[str, Path]) -> None:
    """Write mask, skull-stripped scan and shares of tissue.

    Args:
        brain: of the scan.
        scan: as it was read.
        paths: what `file_names.TISSUE` names -> where it goes.
    """
    inside = np.where(brain.mask, scan.data[brain.box], np.float32(0.0))
    write_labels(paths["brain_mask"], brain.spread(brain.mask.view(np.uint8)), scan.grid)
    write_values(paths["brain"], _short(brain.spread(inside)), scan.grid)
    shares = {"grey": brain.grey, "white": brain.white, "fluid": brain.fluid}
    for what, values in shares.items():
        write_values(paths[what], brain.spread(values), scan.grid)


def _short(values: NDArray[np.float32]) -> NDArray[np.float32] | NDArray[np.int16]:
    """As int16 where nothing is lost by that, as of what most scanners write."""
    if np.abs(values).max(initial=0.0) > np.iinfo(np.int16).max:
        return values
    short = values.astype(np.int16)
    return short if np.array_equal(short, values) else values
