"""A head made of ellipsoids: every structure of the table, a T1w contrast, a scalp."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fibromorph.grid import Grid
from fibromorph.labels import FREESURFER

SPACING_MM = 2.0
SHAPE = (96, 112, 96)
LEVEL = {"white": 110.0, "grey": 75.0, "csf": 25.0}
NOISE = 4.0
# Structure -> centre (|x| or 0, y, z) and radius, in mm.
BALLS: dict[str, tuple[tuple[float, float, float], float]] = {
    "Lateral-Ventricle": ((14, 0, 22), 9),
    "Inf-Lat-Vent": ((44, -20, -12), 4),
    "Thalamus": ((12, -18, 4), 9),
    "Caudate": ((14, 24, 6), 9),
    "Putamen": ((32, 4, 2), 9),
    "Pallidum": ((20, 4, -8), 5),
    "3rd-Ventricle": ((0, -4, -4), 4),
    "4th-Ventricle": ((0, -46, -26), 4),
    "Brain-Stem": ((0, -26, -34), 12),
    "Hippocampus": ((30, -22, -14), 8),
    "Amygdala": ((28, 2, -22), 6),
    "Accumbens-area": ((10, 22, -12), 5),
    "VentralDC": ((10, -14, -14), 6),
    "Cerebellum-Cortex": ((26, -52, -26), 17),
    "Cerebellum-White-Matter": ((26, -52, -26), 9),
}


@dataclass(frozen=True, eq=False)
class Head:
    """Intensities and labels of one head on one RAS grid."""

    image: NDArray[np.float32]
    labels: NDArray[np.uint8]
    confidence: NDArray[np.float32]
    grid: Grid


def ras_grid(shape: tuple[int, int, int] = SHAPE, spacing_mm: float = SPACING_MM) -> Grid:
    """A lattice around the origin, axes to the right, front and top."""
    affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    affine[:3, 3] = -spacing_mm * (np.array(shape) - 1) / 2
    return Grid(shape, affine)


def coordinates_mm(grid: Grid) -> NDArray[np.float64]:
    """(3, i, j, k) RAS mm of every voxel of a `ras_grid`."""
    index = np.indices(grid.shape).reshape(3, -1)
    affine = grid.affine_ijk_to_ras
    return np.asarray(
        (affine[:3, :3] @ index + affine[:3, 3:]).reshape(3, *grid.shape), dtype=np.float64
    )


def ellipsoid(mm: NDArray[np.float64], axes_mm: tuple[float, float, float]) -> NDArray[np.bool_]:
    """The voxels inside an ellipsoid around the origin."""
    return np.asarray(sum((mm[i] / axes_mm[i]) ** 2 for i in range(3)) <= 1)


def head_labels(grid: Grid) -> NDArray[np.uint8]:
    """Fluid around cortex around white matter, and everything of `BALLS` inside."""
    mm = coordinates_mm(grid)
    right = mm[0] > 0
    labels = np.zeros(grid.shape, dtype=np.uint8)
    labels[ellipsoid(mm, (70, 86, 64))] = 24
    for axes, left_id, right_id in (((66, 82, 60), 3, 42), ((60, 76, 54), 2, 41)):
        inside = ellipsoid(mm, (float(axes[0]), float(axes[1]), float(axes[2])))
        labels[inside] = np.where(right, right_id, left_id)[inside]
    structures = {s.name: s for s in FREESURFER.structures}
    for name, (centre, radius_mm) in BALLS.items():
        away = (np.abs(mm[0]) - centre[0]) ** 2 + (mm[1] - centre[1]) ** 2
        ball = away + (mm[2] - centre[2]) ** 2 <= radius_mm**2
        structure = structures[name]
        labels[ball] = np.where(right, structure.right_id, structure.left_id)[ball]
    return labels


def head(*, skull: bool = True) -> Head:
    """A head as a scanner would see it, with or without what lies outside the brain."""
    grid = ras_grid()
    labels = head_labels(grid)
    image = np.zeros(grid.shape, dtype=np.float32)
    for label in FREESURFER:
        image[labels == label.id] = LEVEL[label.tissue]
    if skull:
        mm = coordinates_mm(grid)
        image[ellipsoid(mm, (84, 100, 78)) & ~ellipsoid(mm, (76, 92, 70))] = 140.0
    image += np.random.default_rng(1).normal(0, NOISE, grid.shape).astype(np.float32)
    if not skull:
        image[labels == 0] = 0.0
    return Head(image, labels, np.full(grid.shape, 0.9, dtype=np.float32), grid)
