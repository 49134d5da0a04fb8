"""Rigid registration of two scans of one head, symmetric: both are moved half of the way.

Treating the sessions of a person alike is what keeps a longitudinal step from inventing change
(Reuter & Fischl 2011, NeuroImage 57:19-21).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize
from scipy.spatial.transform import Rotation

from fibromorph.grid import Affine
from fibromorph.preprocess import Conformed

SPACINGS_MM = (8.0, 4.0)
"""Of the lattices that both are compared on, coarse to fine."""

LEVER_MM = 60.0
"""A turn by one radian moves the brain's surface by this: makes turns and shifts comparable."""

TOLERANCE_MM = 0.02


@dataclass(frozen=True, eq=False)
class _Smooth:
    """A conformed scan, blurred to a spacing, with the centre of its box as origin.

    Attributes:
        image: (i, j, k).
        to_voxels: (3, 3) RAS mm to voxels: the box's axes may be tilted by a degree.
    """

    image: NDArray[np.float32]
    to_voxels: NDArray[np.float64]

    def at(self, points: NDArray[np.float64]) -> NDArray[np.float32]:
        """Intensities at (3, n) RAS mm from the centre."""
        middle = (np.array(self.image.shape) - 1) / 2
        voxels = self.to_voxels @ points + middle[:, None]
        return np.asarray(ndimage.map_coordinates(self.image, voxels, order=1, mode="nearest"))


def register(fixed: Conformed, moving: Conformed) -> Affine:
    """The rigid motion that brings `moving` onto `fixed`.

    Maximises the correlation of intensities half-way between the two, so that exchanging them
    gives the inverse.

    Args:
        fixed, moving: two scans of one head; boxes around the brain, RAS+.

    Returns:
        (4, 4) RAS mm of `moving` to RAS mm of `fixed`.
    """
    half = np.zeros(6)
    for spacing_mm in SPACINGS_MM:
        pair = _blurred(fixed, spacing_mm), _blurred(moving, spacing_mm)
        points = _lattice(fixed, spacing_mm)
        found = optimize.minimize(
            _mismatch(*pair, points),
            half,
            method="Powell",
            options={"xtol": TOLERANCE_MM / 4, "ftol": 1e-7},
        )
        half = np.asarray(found.x)
    turn, shift = _halves(half)
    motion = _motion(turn.as_matrix(), shift)
    to_centre, from_centre = np.eye(4), np.eye(4)
    to_centre[:3, 3] = -moving.grid.centre_ras
    from_centre[:3, 3] = fixed.grid.centre_ras
    return np.asarray(from_centre @ motion @ motion @ to_centre)


def _mismatch(
    fixed: _Smooth, moving: _Smooth, points: NDArray[np.float64]
) -> Callable[[NDArray[np.float64]], float]:
    def cost(half: NDArray[np.float64]) -> float:
        turn, shift = _halves(half)
        ahead = turn.as_matrix() @ points + shift[:, None]
        back = turn.inv().as_matrix() @ (points - shift[:, None])
        return 1.0 - float(np.corrcoef(fixed.at(ahead), moving.at(back))[0, 1])

    return cost


def _halves(half: NDArray[np.float64]) -> tuple[Rotation, NDArray[np.float64]]:
    """Six numbers in mm -> half of the turn and half of the shift."""
    return Rotation.from_rotvec(half[:3] / LEVER_MM), half[3:]


def _motion(turn: NDArray[np.float64], shift: NDArray[np.float64]) -> Affine:
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = turn, shift
    return motion


def _blurred(scan: Conformed, spacing_mm: float) -> _Smooth:
    own_mm = scan.grid.spacing_mm[0]
    smooth = ndimage.gaussian_filter(scan.intensities, 0.5 * spacing_mm / own_mm)
    to_voxels = np.linalg.inv(scan.grid.affine_ijk_to_ras[:3, :3])
    return _Smooth(smooth, np.asarray(to_voxels, dtype=np.float64))


def _lattice(scan: Conformed, spacing_mm: float) -> NDArray[np.float64]:
    """(3, n) mm from the centre of the box, points of a lattice inside it."""
    half_mm = (np.array(scan.grid.shape) - 1) * scan.grid.spacing_mm / 2
    axes = [np.arange(-h, h + 1e-6, spacing_mm) for h in half_mm]
    return np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")]).astype(np.float64)
