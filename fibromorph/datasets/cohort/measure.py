"""True volumes: how much of each structure a deformation puts where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fibromorph.datasets.cohort.flow import Field, Lattice, on_voxels
from fibromorph.grid import Shape3

REACH_MM = 12
"""No part of a structure is carried further than this."""

FINE_BELOW_ML = 20.0
"""Smaller structures are measured at every voxel, larger ones at every second."""


@dataclass(frozen=True, eq=False)
class Region:
    """One structure of an anatomy, ready to be measured.

    Attributes:
        mask: (i, j, k) float32, 1 inside, cropped to the structure.
        origin: the voxel of the anatomy that the crop begins at.
        start: first sample, `REACH_MM` outside the crop.
        every: voxels from sample to sample.
        shape: samples along each axis.
    """

    mask: NDArray[np.float32]
    origin: Shape3
    start: Shape3
    every: int
    shape: Shape3


def region_of(mask: NDArray[np.bool_]) -> Region:
    """A structure of an image with 1 mm voxels."""
    (box,) = ndimage.find_objects(mask.astype(np.uint8))
    volume_ml = np.count_nonzero(mask[box]) / 1000
    every = 1 if volume_ml < FINE_BELOW_ML else 2
    lengths = [s.stop - s.start for s in box]
    i, j, k = (s.start for s in box)
    a, b, c = (-(-(n + 2 * REACH_MM) // every) for n in lengths)
    start = (i - REACH_MM, j - REACH_MM, k - REACH_MM)
    return Region(mask[box].astype(np.float32), (i, j, k), start, every, (a, b, c))


def volume_ml(region: Region, pull_back: Field, lattice: Lattice) -> float:
    """The structure's volume after a deformation, partial volumes counted.

    Args:
        region: of the anatomy.
        pull_back: (3, a, b, c) mm from each node to where its tissue came from.
        lattice: of these nodes.
    """
    displacement = on_voxels(pull_back, lattice, region.start, region.every, region.shape)
    places = region.every * np.indices(region.shape, dtype=np.float32) + displacement
    places += (np.asarray(region.start) - region.origin).reshape(3, 1, 1, 1)
    inside = ndimage.map_coordinates(region.mask, places, order=1, mode="grid-constant", cval=0.0)
    return float(inside.sum(dtype=float)) * region.every**3 / 1000
