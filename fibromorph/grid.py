"""Where the voxels of an image lie in space."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Shape3 = tuple[int, int, int]
Affine = NDArray[np.float64]


def shape3(values: Iterable[float | np.number]) -> Shape3:
    """Three whole numbers, such as an array of lengths holds, as plain integers."""
    i, j, k = (int(value) for value in values)
    return i, j, k


def triple(values: Iterable[float | np.number]) -> tuple[float, float, float]:
    """Three numbers as plain floats."""
    x, y, z = (float(value) for value in values)
    return x, y, z


@dataclass(frozen=True, eq=False)
class Grid:
    """A lattice of voxels: shape (i, j, k) and the affine from voxel indices to RAS millimetres.

    Attributes:
        shape: number of voxels along i, j, k.
        affine_ijk_to_ras: (4, 4) float64; maps homogeneous voxel indices (voxel centres) to mm,
            x to the right, y to the front (anterior), z up (superior).
    """

    shape: Shape3
    affine_ijk_to_ras: Affine

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along i, j, k, in mm."""
        return triple(np.linalg.norm(self.affine_ijk_to_ras[:3, :3], axis=0))

    @property
    def axes(self) -> NDArray[np.float64]:
        """(3, 3) columns are the directions of i, j, k in RAS, each of length 1."""
        return self.affine_ijk_to_ras[:3, :3] / self.spacing_mm

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres, sheared grids included."""
        return float(abs(np.linalg.det(self.affine_ijk_to_ras[:3, :3]))) / 1000.0

    @property
    def affine_ras_to_ijk(self) -> Affine:
        """(4, 4) float64, the inverse of `affine_ijk_to_ras`."""
        return np.asarray(np.linalg.inv(self.affine_ijk_to_ras))

    @property
    def centre_ras(self) -> NDArray[np.float64]:
        """(3,) RAS mm of the middle of the lattice."""
        middle = (np.asarray(self.shape) - 1) / 2.0
        return self.affine_ijk_to_ras[:3, :3] @ middle + self.affine_ijk_to_ras[:3, 3]

    def box(self, start: Shape3, shape: Shape3) -> Grid:
        """The part of this lattice that begins at voxel `start`; it may reach outside."""
        affine = self.affine_ijk_to_ras.copy()
        affine[:3, 3] += affine[:3, :3] @ np.asarray(start, dtype=float)
        return Grid(shape, affine)

    def blocks(self, length: int) -> Grid:
        """The lattice whose voxels are this one's blocks of `length` voxels along each side."""
        affine = self.affine_ijk_to_ras.copy()
        affine[:3, 3] += affine[:3, :3] @ np.full(3, (length - 1) / 2)
        affine[:3, :3] *= length
        i, j, k = (n // length for n in self.shape)
        return Grid((i, j, k), affine)

    def divided(self, counts: Shape3) -> Grid:
        """The lattice whose voxels are parts of this one's, so many along i, j, k."""
        parts = np.asarray(counts, dtype=float)
        affine = self.affine_ijk_to_ras.copy()
        affine[:3, 3] += affine[:3, :3] @ ((1 / parts - 1) / 2)
        affine[:3, :3] /= parts
        return Grid(shape3(parts * self.shape), affine)

    def moved(self, motion: Affine) -> Grid:
        """The lattice after a motion, (4, 4) from RAS mm to RAS mm."""
        return Grid(self.shape, motion @ self.affine_ijk_to_ras)

    def repositioned(self, turn: NDArray[np.float64], shift_mm: Iterable[float]) -> Grid:
        """The lattice turned about its middle, (3, 3), then shifted by (3,) RAS mm."""
        motion: Affine = np.eye(4)
        motion[:3, :3] = turn
        motion[:3, 3] = self.centre_ras - turn @ self.centre_ras + triple(shift_mm)
        return self.moved(motion)

    def around(self, place_ras: NDArray[np.float64], axes: NDArray[np.float64]) -> Grid:
        """A lattice as wide and fine, its first voxel at (3,) RAS mm, its `axes` these, (3, 3)."""
        affine: Affine = np.eye(4)
        affine[:3, :3] = axes * self.spacing_mm
        affine[:3, 3] = place_ras
        return Grid(self.shape, affine)

    def same_as(self, other: Grid, tolerance_mm: float = 1e-3) -> bool:
        """True if both lattices have the same shape and place every corner within tolerance."""
        return self.shape == other.shape and self.apart_mm(other) <= tolerance_mm

    def apart_mm(self, other: Grid) -> float:
        """Longest distance between corners of two lattices of one shape, along x, y or z, in mm."""
        corners = np.array(
            [[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)], dtype=float
        )
        corners[:, :3] *= np.asarray(self.shape) - 1
        moved = corners @ (self.affine_ijk_to_ras - other.affine_ijk_to_ras).T
        return float(np.abs(moved).max())
