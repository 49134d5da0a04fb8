"""Where the structures of an anatomy lie, and how large they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

RADII = (3.0, 16.0)
"""In voxels: what is smaller is a crumb, what is larger (cortex, white matter) has no one place."""


@dataclass(frozen=True, eq=False)
class Structures:
    """Compact structures of one anatomy, left and right apart.

    Attributes:
        centres: (n, 3) float32, centres of mass in voxels.
        radii: (n,) float32, of spheres of their volumes, in voxels.
    """

    centres: NDArray[np.float32]
    radii: NDArray[np.float32]


def find_structures(labels: NDArray[np.uint8], ids: Sequence[int]) -> Structures:
    """The structures whose radius lies within `RADII`.

    Args:
        labels: (i, j, k).
        ids: labels that are structures; those that do not occur are left out.
    """
    counts = np.bincount(labels.ravel(), minlength=max(ids, default=0) + 1)
    radii = np.cbrt(counts * 3 / (4 * np.pi))
    kept = [i for i in ids if RADII[0] <= radii[i] <= RADII[1]]
    centres = ndimage.center_of_mass(labels > 0, labels, kept) if kept else []
    return Structures(
        np.asarray(centres, np.float32).reshape(-1, 3), radii[kept].astype(np.float32)
    )
