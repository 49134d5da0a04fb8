from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fibromorph.grid import Grid
from fibromorph.scans import resample
from fibromorph.scans.resample import axis_weights, prefilter
from tests.scans import phantoms

GRID = phantoms.ras_grid((40, 44, 36), (3.0, 3.0, 3.0))
HEAD = phantoms.head(GRID)


@pytest.mark.parametrize("codes", ["LPI", "SRA"])
def test_coinciding_lattices_are_copied_exactly_both_ways(codes: str) -> None:
    other = phantoms.stored_as(GRID, codes)
    there = resample(HEAD, GRID, other)
    np.testing.assert_array_equal(there, phantoms.head(other))
    np.testing.assert_array_equal(resample(there, other, GRID), HEAD)


@pytest.mark.parametrize("degrees", [0.0, 9.0])
def test_outside_the_field_of_view_is_the_fill_value(degrees: float) -> None:
    wide = phantoms.turned(GRID.box((-6, -6, -6), (52, 56, 48)), degrees)
    assert resample(HEAD, GRID, wide, fill=-7.0)[0, 0, 0] == -7.0


@pytest.mark.parametrize("degrees", [0.0, 9.0])
def test_finer_voxels_show_the_same_head(degrees: float) -> None:
    fine = phantoms.turned(phantoms.ras_grid((56, 60, 50), (2.0, 2.0, 2.0)), degrees)
    found, expected = resample(HEAD, GRID, fine), phantoms.head(fine)
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.995


@pytest.mark.parametrize("degrees", [0.0, 9.0])
def test_going_coarser_averages_noise_away(degrees: float) -> None:
    noise = np.random.default_rng(0).normal(size=GRID.shape).astype(np.float32)
    coarse = phantoms.turned(phantoms.ras_grid((16, 18, 14), (6.0, 6.0, 6.0)), degrees)
    assert resample(noise, GRID, coarse).std() < 0.4
    assert resample(np.ones_like(noise), GRID, coarse) == pytest.approx(1.0, abs=1e-4)


def test_nearest_neighbour_keeps_values() -> None:
    fine = phantoms.ras_grid((50, 50, 40), (2.0, 2.0, 2.0))
    labels = phantoms.head_labels(GRID).astype(np.float32)
    assert set(np.unique(resample(labels, GRID, fine, order=0))) <= set(np.unique(labels))


def test_rows_of_weights_sum_to_one_inside() -> None:
    assert axis_weights(50, 20, 0.5, 2.4).sum(axis=1) == pytest.approx(1.0)


def test_a_shape_that_is_not_the_grids_is_refused() -> None:
    with pytest.raises(ValueError, match="resample"):
        resample(HEAD[1:], GRID, GRID)


def test_a_spline_keeps_the_detail_of_a_turned_image() -> None:
    turned = phantoms.turned(GRID, 11.0)

    def folds(grid: Grid) -> NDArray[np.float32]:
        return np.asarray(np.sin(phantoms.ras_mm(grid) / 4).prod(axis=0), np.float32)

    linear, spline = (
        np.abs(resample(folds(GRID), GRID, turned, order=order) - folds(turned))[8:-8, 8:-8, 8:-8]
        for order in (1, 2)
    )
    assert spline.mean() < linear.mean() / 3


@pytest.mark.parametrize("spacing_mm", [2.0, 4.0])
def test_what_was_filtered_before_is_sampled_alike(spacing_mm: float) -> None:
    thick = Grid(GRID.shape, GRID.affine_ijk_to_ras @ np.diag([1.0, 1.5, 0.8, 1.0]))
    voxels = phantoms.ras_grid((30, 34, 26), (spacing_mm,) * 3)
    ready = prefilter(HEAD, thick, spacing_mm)
    for degrees in (9.0, 31.0):
        turned = phantoms.turned(voxels, degrees)
        found = resample(HEAD, thick, turned, order=2, prefiltered=lambda: ready)
        np.testing.assert_allclose(found, resample(HEAD, thick, turned, order=2), atol=1e-4)
