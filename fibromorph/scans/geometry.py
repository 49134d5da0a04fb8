"""Lattices: the RAS+ working grid of a scan, and how two lattices relate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fibromorph.grid import Affine, Grid, shape3, triple

STRAIGHT_DEGREES = 1.0
SAME_SPACING = 0.01
# In voxels of the source, at the far corner of the target.
COINCIDE_VOXELS = 1e-2


@dataclass(frozen=True, eq=False)
class AxisMap:
    """How the axes of one lattice run along those of another, one entry per target axis.

    Attributes:
        source_axis: the source axis that each target axis follows.
        step: source voxels per target voxel, negative when flipped.
        start: source index of the target's voxel 0.
    """

    source_axis: tuple[int, int, int]
    step: tuple[float, float, float]
    start: tuple[float, float, float]

    @property
    def coincides(self) -> bool:
        """True if every target voxel centre is a source voxel centre (or beyond the source)."""
        steps = np.abs(np.asarray(self.step))
        starts = np.asarray(self.start)
        whole = np.abs(starts - np.rint(starts)).max() <= COINCIDE_VOXELS
        return bool(np.abs(steps - 1).max() <= 1e-4 and whole)


def index_map(grid_from: Grid, grid_to: Grid) -> Affine:
    """(4, 4) matrix from voxel indices of `grid_to` to (fractional) indices of `grid_from`."""
    return np.asarray(grid_from.affine_ras_to_ijk @ grid_to.affine_ijk_to_ras)


def axis_map(grid_from: Grid, grid_to: Grid) -> AxisMap | None:
    """The relation of two lattices with parallel axes, or None if they are turned or sheared."""
    matrix = index_map(grid_from, grid_to)
    linear, start = matrix[:3, :3], matrix[:3, 3]
    source_of = np.argmax(np.abs(linear) / _norms(linear, 1)[:, None], axis=0)
    if sorted(source_of.tolist()) != [0, 1, 2]:
        return None
    rest = linear.copy()
    rest[source_of, range(3)] = 0.0
    drift = np.abs(rest) @ np.asarray(grid_to.shape, dtype=float)
    if drift.max() > COINCIDE_VOXELS:
        return None
    return AxisMap(
        (int(source_of[0]), int(source_of[1]), int(source_of[2])),
        triple(linear[source_of, range(3)]),
        triple(start[source_of]),
    )


def canonical_grid(grid: Grid) -> Grid:
    """The same lattice with its axes permuted and flipped to run closest to right, front, up."""
    from nibabel.orientations import inv_ornt_aff, io_orientation

    orientation = io_orientation(grid.affine_ijk_to_ras)
    affine = grid.affine_ijk_to_ras @ inv_ornt_aff(orientation, grid.shape)
    order = np.argsort(orientation[:, 0])
    return Grid(shape3(np.asarray(grid.shape)[order]), np.asarray(affine))


def obliqueness_degrees(grid: Grid) -> float:
    """Largest angle between an axis of the lattice and the RAS axis that it runs closest to."""
    linear = canonical_grid(grid).affine_ijk_to_ras[:3, :3]
    cosines = np.diag(linear) / _norms(linear, 0)
    return float(np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0))).max())


def working_grid(grid: Grid, spacing_mm: float = 1.0) -> Grid:
    """The RAS+ lattice at isotropic spacing, covering a scan's field of view, to segment it on.

    A scan whose axes lie within 1 degree of RAS keeps them: with its spacing within 1 % of
    `spacing_mm` it is only reoriented (no interpolation), otherwise only the spacing changes.
    Any other scan gets a lattice aligned with the world.

    Args:
        grid: the scan's own.
        spacing_mm: of the result along all axes.

    Returns:
        A grid whose axes run to the right, to the front and up.
    """
    canonical = canonical_grid(grid)
    if obliqueness_degrees(grid) > STRAIGHT_DEGREES:
        return _world_grid(canonical, spacing_mm)
    if np.abs(np.asarray(canonical.spacing_mm) / spacing_mm - 1).max() <= SAME_SPACING:
        return canonical
    extent_mm = np.asarray(canonical.shape) * canonical.spacing_mm
    return _centred(canonical.axes, extent_mm, canonical.centre_ras, spacing_mm)


def _world_grid(grid: Grid, spacing_mm: float) -> Grid:
    half = np.abs(grid.affine_ijk_to_ras[:3, :3]) @ (np.asarray(grid.shape) / 2.0)
    return _centred(np.eye(3), 2 * half, grid.centre_ras, spacing_mm)


def _centred(
    directions: NDArray[np.float64],
    extent_mm: NDArray[np.float64],
    centre_ras: NDArray[np.float64],
    spacing_mm: float,
) -> Grid:
    # A thousandth of a voxel is rounding, not field of view.
    shape = np.maximum(np.ceil(extent_mm / spacing_mm - 1e-3), 1).astype(int)
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing_mm
    affine[:3, 3] = centre_ras - affine[:3, :3] @ ((shape - 1) / 2.0)
    return Grid(shape3(shape), affine)


def _norms(matrix: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(matrix, axis=axis))
