"""Thickness of shapes whose thickness is known, on voxels of 1 mm."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from fibromorph.postprocessing.cortex import outer_depth, thickness_map

WHITE, CORTEX, RIGHT_CORTEX, HIPPOCAMPUS = 2, 3, 42, 17
FINE = 4
Coordinates = NDArray[np.float64]
Drawn = tuple[NDArray[np.uint8], NDArray[np.float32]]


def drawn(shape: tuple[int, int, int], ids: Callable[[Coordinates], NDArray[np.uint8]]) -> Drawn:
    """Labels as a network gives them: the largest share of each voxel wins, and is its posterior.

    Args:
        shape: in voxels of 1 mm.
        ids: (3, ...) coordinates in mm from the middle -> label ids.
    """
    axes = [(np.arange(n * FINE) + 0.5) / FINE - n / 2 for n in shape]
    fine = ids(np.stack(np.meshgrid(*axes, indexing="ij")))
    i, j, k = shape
    blocks = fine.reshape(i, FINE, j, FINE, k, FINE)
    known = np.unique(fine)
    shares = np.stack([(blocks == one).mean((1, 3, 5)) for one in known])
    return known[shares.argmax(0)].astype(np.uint8), shares.max(0).astype(np.float32)


def mean_mm(drawn: Drawn, where: NDArray[np.bool_] | None = None) -> float:
    found = thickness_map(*drawn, 1.0)
    seen = found > 0 if where is None else (found > 0) & where
    return 1 / float(np.mean(1 / found[seen]))


def shell(thickness_mm: float) -> Callable[[Coordinates], NDArray[np.uint8]]:
    def ids(at: Coordinates) -> NDArray[np.uint8]:
        radius = np.linalg.norm(at, axis=0)
        found = np.where(radius < 20, WHITE, np.where(radius < 20 + thickness_mm, CORTEX, 0))
        return found.astype(np.uint8)

    return ids


@pytest.mark.parametrize("thickness_mm", [1.5, 2.0, 2.5, 3.0, 4.0])
def test_a_shell_is_as_thick_as_it_is(thickness_mm: float) -> None:
    found = mean_mm(drawn((56, 56, 56), shell(thickness_mm)))
    assert found == pytest.approx(thickness_mm, rel=0.04 if thickness_mm < 2 else 0.01)


def test_depth_under_the_outer_surface_has_a_sign() -> None:
    depth, between = outer_depth(*drawn((56, 56, 56), shell(2.5)))
    middle = 28
    along = depth[:, middle, middle]
    centres = np.abs(np.arange(56) + 0.5 - middle)
    seen = np.isfinite(along)
    assert along[seen] == pytest.approx(22.5 - centres[seen], abs=0.15)
    assert not between.any()
    assert (depth < 0).any()
    assert not np.isfinite(depth[middle, middle, middle])


def gyri(turn_deg: float, thickness_mm: float, gap_mm: float) -> Callable[..., NDArray[np.uint8]]:
    """Parallel blades of white matter under cortex; between two of them a gap of fluid, or none."""
    angle = np.deg2rad(turn_deg)
    pitch = 3.0 + 2 * thickness_mm + gap_mm

    def ids(at: Coordinates) -> NDArray[np.uint8]:
        across = at[0] * np.cos(angle) + at[1] * np.sin(angle)
        from_blade = np.abs((across + pitch / 2) % pitch - pitch / 2)
        white = (from_blade < 1.5) | (at[2] < -8)
        cortex = (from_blade < 1.5 + thickness_mm) | (at[2] < -8 + thickness_mm)
        top = at[2] > 14
        return np.where(top, 0, np.where(white, WHITE, np.where(cortex, CORTEX, 0))).astype("u1")

    return ids


@pytest.mark.parametrize("turn_deg", [0.0, 20.0, 45.0])
@pytest.mark.parametrize("gap_mm", [0.0, 0.5, 1.5])
def test_banks_of_a_sulcus_are_told_apart_with_and_without_fluid(
    turn_deg: float, gap_mm: float
) -> None:
    labels, sure = drawn((48, 48, 40), gyri(turn_deg, 2.5, gap_mm))
    walls = np.zeros(labels.shape, bool)
    walls[8:-8, 8:-8, 18:30] = True
    assert mean_mm((labels, sure), walls) == pytest.approx(2.5, rel=0.08)


def test_hemispheres_that_touch_end_where_they_meet() -> None:
    def ids(at: Coordinates) -> NDArray[np.uint8]:
        side = np.where(at[0] < 0, CORTEX, RIGHT_CORTEX)
        inner = np.abs(at[0]) > 3
        return np.where(np.abs(at[2]) > 12, 0, np.where(inner, WHITE, side)).astype("u1")

    labels, sure = drawn((30, 30, 30), ids)
    middle = np.zeros(labels.shape, bool)
    middle[:, 8:-8, 10:-10] = True
    assert mean_mm((labels, sure), middle) == pytest.approx(3.0, rel=0.05)


def test_the_hippocampus_is_neither_surface() -> None:
    def ids(at: Coordinates) -> NDArray[np.uint8]:
        layer = np.select([at[2] < 0, at[2] < 3], [WHITE, CORTEX], 0)
        beside = (at[1] > 4) & (at[2] < 3)
        return np.where(beside, HIPPOCAMPUS, layer).astype("u1")

    labels, sure = drawn((30, 30, 30), ids)
    by_it = np.zeros(labels.shape, bool)
    by_it[8:-8, 15:19] = True
    assert mean_mm((labels, sure), by_it) == pytest.approx(3.0, rel=0.05)


def test_larger_voxels_give_millimetres() -> None:
    labels, sure = drawn((56, 56, 56), shell(3.0))
    assert thickness_map(labels, sure, 1.5).max() == pytest.approx(
        1.5 * thickness_map(labels, sure, 1.0).max(), rel=1e-5
    )


@pytest.mark.parametrize("only", [0, WHITE, CORTEX])
def test_without_both_surfaces_there_is_no_thickness(only: int) -> None:
    labels = np.full((12, 12, 12), only, np.uint8)
    assert not thickness_map(labels, np.ones(labels.shape, np.float32), 1.0).any()
