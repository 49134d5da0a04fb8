"""How the head of an anatomy lies, where its structures lie, and how large they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fibromorph.grid import Grid, shape3
from fibromorph.pose import Image, pose_of

BLOCK = 4
"""Voxels of 1 mm along each side of those that the locator sees."""

RADII = (3.0, 16.0)
"""In voxels: what is smaller is a crumb, what is larger (cortex, white matter) has no one place."""


@dataclass(frozen=True, eq=False)
class Structures:
    """Compact structures of one anatomy, left and right apart, and how its head lies.

    Attributes:
        axes: (3, 3) float64, columns are the directions in its voxels that run to the right, to the
            front and up in the head itself, see `Pose`; the voxels' own where that is not known.
        centres: (n, 3) float32, centres of mass in voxels.
        radii: (n,) float32, of spheres of their volumes, in voxels.
    """

    axes: NDArray[np.float64]
    centres: NDArray[np.float32]
    radii: NDArray[np.float32]


def find_structures(labels: NDArray[np.uint8], ids: Sequence[int]) -> Structures:
    """The structures whose radius lies within `RADII`.

    Args:
        labels: (i, j, k), in RAS order at 1 mm.
        ids: labels that are structures of the brain; those that do not occur are left out.
    """
    counts = np.bincount(labels.ravel(), minlength=max(ids, default=0) + 1)
    radii = np.cbrt(counts * 3 / (4 * np.pi))
    kept = [i for i in ids if RADII[0] <= radii[i] <= RADII[1]]
    centres = ndimage.center_of_mass(labels > 0, labels, kept) if kept else []
    pose = pose_of(*seen_coarsely(np.isin(labels, ids)))
    return Structures(
        axes=pose.axes if pose else np.eye(3),
        centres=np.asarray(centres, np.float32).reshape(-1, 3),
        radii=radii[kept].astype(np.float32),
    )


def seen_coarsely(brain: NDArray[np.bool_]) -> tuple[Image, Grid]:
    """A brain as the locator would see it: shares of brain, 0 to 1, and where their voxels lie.

    Args:
        brain: (i, j, k), in RAS order at 1 mm.
    """
    grid = Grid(shape3(brain.shape), np.eye(4)).blocks(BLOCK)
    i, j, k = grid.shape
    whole = brain[: i * BLOCK, : j * BLOCK, : k * BLOCK].astype(np.float32)
    return whole.reshape(i, BLOCK, j, BLOCK, k, BLOCK).mean(axis=(1, 3, 5)), grid
