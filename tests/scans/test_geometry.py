from __future__ import annotations

import numpy as np
import pytest

from fibromorph.grid import Grid
from fibromorph.scans import working_grid
from fibromorph.scans.geometry import axis_map, canonical_grid, obliqueness_degrees
from tests.scans import phantoms

GRID = phantoms.ras_grid((30, 34, 28), (1.0, 1.2, 2.5))


def _corners_ras(grid: Grid) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    index = np.array([[i, j, k, 1.0] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    index[:, :3] = index[:, :3] * np.asarray(grid.shape) - 0.5
    return np.asarray((index @ grid.affine_ijk_to_ras.T)[:, :3])


@pytest.mark.parametrize("degrees", [0.0, 0.6, 12.0, 40.0])
@pytest.mark.parametrize("spacing_mm", [1.0, 2.0])
def test_the_working_grid_covers_the_field_of_view(degrees: float, spacing_mm: float) -> None:
    grid = phantoms.turned(GRID, degrees)
    work = working_grid(grid, spacing_mm)
    index = _corners_ras(grid) @ work.affine_ras_to_ijk[:3, :3].T + work.affine_ras_to_ijk[:3, 3]
    assert index.min() >= -0.5 - 0.01
    assert (index.max(axis=0) <= np.asarray(work.shape) - 0.5 + 0.01).all()
    np.testing.assert_allclose(work.spacing_mm, spacing_mm)
    np.testing.assert_allclose(work.centre_ras, grid.centre_ras, atol=1e-6)


def test_a_scan_at_working_spacing_is_only_reoriented() -> None:
    grid = phantoms.stored_as(phantoms.ras_grid((30, 34, 28), (1.0, 1.0, 1.0)), "PIR")
    axes = axis_map(grid, working_grid(grid, 1.0))
    assert axes is not None
    assert axes.coincides


@pytest.mark.parametrize("codes", ["LPI", "SAR", "ILP"])
def test_canonical_grid_undoes_any_axis_order(codes: str) -> None:
    assert canonical_grid(phantoms.stored_as(GRID, codes)).same_as(GRID)


def test_obliqueness_is_the_angle_turned() -> None:
    affine = phantoms.turned(GRID, 0.0).affine_ijk_to_ras.copy()
    c, s = np.cos(np.radians(17)), np.sin(np.radians(17))
    affine[:3, :3] = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ affine[:3, :3]
    assert obliqueness_degrees(Grid(GRID.shape, affine)) == pytest.approx(17.0)


def test_turned_lattices_have_no_axis_map() -> None:
    assert axis_map(GRID, phantoms.turned(GRID, 3.0)) is None


def test_blocks_lie_in_the_middle_of_their_voxels() -> None:
    grid = phantoms.turned(phantoms.ras_grid((32, 40, 24), (1.0, 1.0, 1.2)), 10.0)
    blocks = grid.blocks(4)
    assert blocks.shape == (8, 10, 6)
    np.testing.assert_allclose(blocks.spacing_mm, (4.0, 4.0, 4.8))
    np.testing.assert_allclose(blocks.centre_ras, grid.centre_ras, atol=1e-9)


def test_parts_of_voxels_fill_them() -> None:
    grid = phantoms.turned(phantoms.ras_grid((8, 10, 6), (1.0, 1.0, 3.0)), 7.0)
    parts = grid.divided((1, 2, 3))
    assert parts.shape == (8, 20, 18)
    np.testing.assert_allclose(parts.spacing_mm, (1.0, 0.5, 1.0))
    np.testing.assert_allclose(parts.centre_ras, grid.centre_ras, atol=1e-9)


def test_a_lattice_is_turned_about_its_middle_and_then_shifted() -> None:
    grid, shift_mm = phantoms.ras_grid(), np.array([1.0, -2.0, 3.0])
    quarter = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    found = grid.repositioned(quarter, shift_mm)
    assert found.shape == grid.shape
    np.testing.assert_allclose(found.centre_ras, grid.centre_ras + shift_mm)
    steps = found.affine_ijk_to_ras[:3, :3]
    np.testing.assert_allclose(steps, quarter @ grid.affine_ijk_to_ras[:3, :3])
    back = found.affine_ijk_to_ras @ grid.affine_ras_to_ijk
    assert grid.moved(back).same_as(found)
