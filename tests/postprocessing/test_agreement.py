"""Dice and surface distances against values that can be worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fibromorph.grid import Grid
from fibromorph.postprocessing.agreement import compare, dices, surface_distances_mm

SPACING = (1.0, 2.0, 1.0)
GRID = Grid((20, 20, 20), np.diag([*SPACING, 1.0]))


def cube(start: int, label_id: int = 17) -> np.ndarray:
    labels = np.zeros((20, 20, 20), dtype=np.int32)
    labels[start : start + 8, 4:12, 4:12] = label_id
    return labels


def test_a_segmentation_agrees_with_itself() -> None:
    (found,) = compare(cube(4), cube(4), GRID, [17])
    assert (found.dice, found.hd95_mm, found.assd_mm) == (1.0, 0.0, 0.0)
    assert found.volume_ml == pytest.approx(8**3 * 2 / 1000)
    assert found.volume_error == 0.0


def test_a_shift_of_two_voxels() -> None:
    (found,) = compare(cube(6), cube(4), GRID, [17])
    assert dices(cube(6), cube(4), [17]) == [found.dice]
    assert found.dice == pytest.approx(6 / 8)
    assert found.hd95_mm == pytest.approx(2.0)
    assert 0 < found.assd_mm < 2.0
    assert found.volume_error == pytest.approx(0.0)


def test_comparing_is_symmetric_but_for_the_volumes() -> None:
    small, large = cube(4), cube(4)
    small[4, :, :] = 0
    (there,), (back,) = (
        compare(small, large, GRID, [17]),
        compare(large, small, GRID, [17]),
    )
    assert there.dice == pytest.approx(back.dice)
    assert there.assd_mm == pytest.approx(back.assd_mm)
    assert there.volume_error == pytest.approx(-1 / 8)
    assert back.volume_error == pytest.approx(1 / 7)


def test_distances_are_in_mm_along_every_axis() -> None:
    a, b = np.zeros((1, 9, 1), dtype=bool), np.zeros((1, 9, 1), dtype=bool)
    a[0, 1], b[0, 7] = True, True
    assert surface_distances_mm(a, b, SPACING).tolist() == [12.0]


def test_a_structure_that_was_not_found_scores_zero() -> None:
    (found,) = compare(np.zeros((20, 20, 20), np.int32), cube(4), GRID, [17])
    assert found.dice == 0.0
    assert math.isnan(found.hd95_mm)
    assert math.isnan(found.assd_mm)
    assert found.volume_error == -1.0


def test_a_structure_far_from_its_place_scores_zero_with_its_distance() -> None:
    labels = np.roll(cube(0), 10, axis=0)
    (found,) = compare(labels, cube(0), GRID, [17])
    assert found.dice == 0.0
    assert found.hd95_mm == pytest.approx(10.0)


def test_only_what_the_reference_has_is_compared() -> None:
    assert compare(cube(4), cube(4, 53), GRID, [17, 54]) == []


def test_a_sheared_grid_has_the_volume_of_its_voxels() -> None:
    affine = np.diag([*SPACING, 1.0])
    affine[0, 1] = 1.0
    (found,) = compare(cube(4), cube(4), Grid((20, 20, 20), affine), [17])
    assert found.reference_ml == pytest.approx(8**3 * 2.0 / 1000)
