from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fibromorph.grid import Grid, shape3
from fibromorph.scans import reach_of, restore_labels, restore_shares
from tests.scans import phantoms

WORK = phantoms.ras_grid()
LABELS = phantoms.head_labels(WORK)


@pytest.mark.parametrize("codes", ["LAS", "LPI", "PIR"])
def test_coinciding_lattices_are_copied_exactly(codes: str) -> None:
    own = phantoms.stored_as(WORK, codes)
    np.testing.assert_array_equal(restore_labels(LABELS, WORK, own), phantoms.head_labels(own))


def test_no_label_appears_that_was_not_there() -> None:
    own = phantoms.turned(phantoms.ras_grid((90, 90, 80), (1.6, 1.7, 1.8)), 11.0)
    restored = restore_labels(LABELS, WORK, own)
    assert restored.dtype == LABELS.dtype
    assert set(np.unique(restored)) == set(np.unique(LABELS))


@pytest.mark.parametrize("degrees", [0.0, 11.0])
def test_the_volume_of_a_region_survives(degrees: float) -> None:
    own = phantoms.turned(phantoms.ras_grid((110, 120, 70), (1.0, 1.2, 1.7)), degrees)
    before, after = (
        np.bincount(LABELS.ravel()),
        np.bincount(restore_labels(LABELS, WORK, own).ravel()),
    )
    for label in (phantoms.LEFT_ID, phantoms.RIGHT_ID):
        before_ml, after_ml = before[label] * WORK.voxel_ml, after[label] * own.voxel_ml
        assert after_ml == pytest.approx(before_ml, rel=0.02)


def test_what_is_sure_of_a_border_draws_it_where_it_is() -> None:
    work = phantoms.ras_grid((40, 40, 40), (1.0, 1.0, 1.0))
    own = phantoms.turned(phantoms.ras_grid((80, 80, 80), (0.5, 0.5, 0.5)), 11.0)

    def inside_mm(grid: Grid) -> NDArray[np.float64]:
        """How far voxels lie inside a ball."""
        from_middle = phantoms.ras_mm(grid) - np.reshape(work.centre_ras, (3, 1, 1, 1))
        return np.asarray(5.0 - np.linalg.norm(from_middle, axis=0))

    share = (0.5 + inside_mm(work)).clip(0, 1).astype(np.float32)
    labels = (share > 0.5).astype(np.int32)
    plain, weighted = (
        np.count_nonzero(restore_labels(labels, work, own, sure) != (inside_mm(own) > 0))
        for sure in (None, np.maximum(share, 1 - share))
    )
    assert weighted < plain / 3


def test_a_crop_restores_into_the_whole_and_nothing_beyond() -> None:
    crop = WORK.box((4, 10, 8), (50, 60, 44))
    restored = restore_labels(np.ascontiguousarray(LABELS[4:54, 10:70, 8:52]), crop, WORK)
    assert not restored[:4].any()
    np.testing.assert_array_equal(restored[4:54, 10:70, 8:52], LABELS[4:54, 10:70, 8:52])


def test_nothing_restores_to_nothing() -> None:
    own = phantoms.turned(WORK, 5.0)
    assert not restore_labels(np.zeros_like(LABELS), WORK, own).any()


@pytest.mark.parametrize("spacing_mm", [(0.9, 0.9, 0.9), (2.0, 2.0, 2.0), (1.0, 1.0, 3.0)])
def test_shares_sum_to_the_same_volume_on_longer_and_shorter_voxels(
    spacing_mm: tuple[float, float, float],
) -> None:
    work = phantoms.ras_grid((40, 40, 40), (1.0, 1.0, 1.0))
    shape = shape3(np.ceil(44 / np.asarray(spacing_mm)))
    own = phantoms.turned(phantoms.ras_grid(shape, spacing_mm), 11.0)
    from_middle = phantoms.ras_mm(work) - np.reshape(work.centre_ras, (3, 1, 1, 1))
    # A shell, about as thick as the cortex.
    depth = 2.0 - np.abs(np.linalg.norm(from_middle, axis=0) - 14.0)
    shell = (0.5 + depth).clip(0, 1).astype(np.float32)
    (found,) = restore_shares(shell[None], work, own)
    assert found.sum() * own.voxel_ml == pytest.approx(shell.sum() * work.voxel_ml, rel=0.005)
    assert 0.0 <= found.min() < found.max() <= 1.0 + 1e-6


def test_a_longer_voxel_has_the_mean_of_what_is_inside_it() -> None:
    work = phantoms.ras_grid((12, 12, 12), (1.0, 1.0, 1.0))
    stripes = np.zeros((1, *work.shape), np.float32)
    stripes[:, 1:-1, 1:-1, 1:-1:2] = 1.0
    (found,) = restore_shares(stripes, work, work.blocks(2))
    np.testing.assert_allclose(found[1:-1, 1:-1, 1:-1], 0.5, atol=1e-5)


def test_shares_on_a_part_are_those_on_the_whole() -> None:
    work = phantoms.ras_grid((20, 24, 18), (1.0, 1.0, 1.0))
    own = phantoms.turned(phantoms.ras_grid((60, 60, 40), (0.8, 0.8, 1.6)), 7.0)
    shares = np.zeros((2, *work.shape), np.float32)
    inside = (slice(None), *(slice(1, -1),) * 3)
    shares[inside] = np.random.default_rng(0).random(shares[inside].shape, np.float32)
    i, j, k = reach_of(work, own)
    part = own.box(
        (i.start, j.start, k.start), (i.stop - i.start, j.stop - j.start, k.stop - k.start)
    )
    whole = restore_shares(shares, work, own)
    np.testing.assert_allclose(restore_shares(shares, work, part), whole[:, i, j, k], atol=1e-4)
    whole[:, i, j, k] = 0.0
    assert not whole.any()


def test_a_shape_that_is_not_the_grids_is_refused() -> None:
    with pytest.raises(ValueError, match="restore_labels"):
        restore_labels(LABELS[1:], WORK, WORK)
