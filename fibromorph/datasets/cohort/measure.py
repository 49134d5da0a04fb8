"""True volumes: how much of each structure a deformation puts where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fibromorph.datasets.cohort.flow import Field, Lattice, on_voxels
from fibromorph.grid import Shape3, shape3

REACH_MM = 16
"""No part of a structure is carried further than this."""

LOOK_MM, MARGIN_MM = 4, 7
"""Where a structure has gone is looked up on samples this far apart, with this margin."""

SAMPLING_MM = ((20.0, 1), (500.0, 2), (float("inf"), 3))
"""Up to so many ml, a structure is sampled so densely: the error stays at a few tenths of 1 %."""


@dataclass(frozen=True, eq=False)
class Region:
    """One structure of an anatomy, ready to be measured.

    Attributes:
        mask: (i, j, k) float32, 1 inside, cropped to the structure.
        origin: the voxel of the anatomy that the crop begins at.
        every: voxels from sample to sample.
    """

    mask: NDArray[np.float32]
    origin: Shape3
    every: int


def region_of(mask: NDArray[np.bool_]) -> Region:
    """A structure of an image with 1 mm voxels."""
    (box,) = ndimage.find_objects(mask.astype(np.uint8))
    volume_ml = np.count_nonzero(mask[box]) / 1000
    every = next(step for largest_ml, step in SAMPLING_MM if volume_ml < largest_ml)
    return Region(mask[box].astype(np.float32), shape3([s.start for s in box]), every)


def volume_ml(region: Region, pull_back: Field, lattice: Lattice) -> float:
    """The structure's volume after a deformation, partial volumes counted.

    Args:
        region: of the anatomy.
        pull_back: (3, a, b, c) mm from each node to where its tissue came from.
        lattice: of these nodes.
    """
    start, shape = _where(region, pull_back, lattice)
    places = _places(region, pull_back, lattice, start, region.every, shape)
    inside = ndimage.map_coordinates(region.mask, places, order=1, mode="grid-constant", cval=0.0)
    return float(inside.sum(dtype=float)) * region.every**3 / 1000


def _where(region: Region, pull_back: Field, lattice: Lattice) -> tuple[Shape3, Shape3]:
    """The box that the structure has moved to: its start, and samples along each axis."""
    shape = tuple(-(-(n + 2 * REACH_MM) // LOOK_MM) + 1 for n in region.mask.shape)
    start = tuple(o - REACH_MM for o in region.origin)
    places = _places(region, pull_back, lattice, shape3(start), LOOK_MM, shape3(shape))
    size = np.asarray(region.mask.shape).reshape(3, 1, 1, 1)
    near = ((places > -MARGIN_MM) & (places < size + MARGIN_MM)).all(axis=0)
    (box,) = ndimage.find_objects(near.astype(np.uint8))
    first = [o + LOOK_MM * part.start for o, part in zip(start, box, strict=True)]
    samples = [-(-LOOK_MM * (part.stop - part.start) // region.every) for part in box]
    return shape3(first), shape3(samples)


def _places(
    region: Region, pull_back: Field, lattice: Lattice, start: Shape3, every: int, shape: Shape3
) -> NDArray[np.float32]:
    """(3, *shape) voxel of the structure's mask that each sample shows."""
    places = every * np.indices(shape, dtype=np.float32)
    places += on_voxels(pull_back, lattice, start, every, shape)
    places += (np.asarray(start, np.float32) - region.origin).reshape(3, 1, 1, 1)
    return places
