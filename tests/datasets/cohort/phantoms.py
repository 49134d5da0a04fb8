"""A small head with the structures that the tests change, and its neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fibromorph.datasets.cohort.anatomy import Anatomy
from fibromorph.grid import Grid

SHAPE = (84, 96, 84)
LEFT_PUTAMEN, LEFT_THALAMUS = 12, 10

# label: (centre as offset from the middle in mm, radii in mm, intensity); later ones lie on top.
PARTS = (
    (24, (0, 0, 0), (38, 44, 38), 0.22),
    (3, (0, 0, 0), (35, 41, 35), 0.62),
    (2, (0, 0, 0), (31, 37, 31), 1.0),
    (12, (-19, 2, 0), (6, 12, 9), 0.75),
    (13, (-11, 1, -1), (3, 7, 6), 0.88),
    (10, (-8, -16, 2), (6, 8, 7), 0.8),
    (4, (-5, 2, 15), (3, 14, 4), 0.2),
)
TWIN = {3: 42, 2: 41, 12: 51, 13: 52, 10: 49, 4: 43, 24: 24}


def anatomy() -> Anatomy:
    """Nested ellipsoids, mirrored; left is where x is negative."""
    labels, image = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.float32)
    for label, centre, radii, level in PARTS:
        for side in (1, -1):
            inside = _ellipsoid((side * centre[0], *centre[1:]), radii)
            half = inside & (_x() * side <= 0)
            labels[half] = label if side == 1 else TWIN[label]
            image[half] = level
    affine = np.eye(4)
    affine[:3, 3] = -(np.array(SHAPE) - 1) / 2
    return Anatomy("phantom", image, labels, Grid(SHAPE, affine))


def _x() -> NDArray[np.float64]:
    return (np.arange(SHAPE[0]) - (SHAPE[0] - 1) / 2)[:, None, None] * np.ones(SHAPE)


def _ellipsoid(
    centre: tuple[float, float, float], radii: tuple[float, float, float]
) -> NDArray[np.bool_]:
    axes = np.ogrid[tuple(slice(n) for n in SHAPE)]
    places = [a - (n - 1) / 2 - c for a, n, c in zip(axes, SHAPE, centre, strict=True)]
    return np.asarray(sum((p / r) ** 2 for p, r in zip(places, radii, strict=True)) <= 1)
