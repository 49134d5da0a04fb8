from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from fibromorph.grid import Affine, Grid
from fibromorph.preprocess import Conformed
from fibromorph.scans import resample
from fibromorph.serving.cohort.longitudinal.rigid import (
    LEAST_LIKENESS,
    Registration,
    head_of,
    register,
)
from tests.serving.cohort.longitudinal.motions import error_mm, motion

SHAPE = (32, 32, 32)
SPACING_MM = 3.0


def lattice() -> Grid:
    affine = np.diag([SPACING_MM] * 3 + [1.0])
    affine[:3, 3] = -SPACING_MM * (np.array(SHAPE) - 1) / 2
    return Grid(SHAPE, affine)


def blobs(seed: int = 3, width: float = 3.0) -> NDArray[np.float32]:
    """An image that looks alike from no two sides, empty towards its border like a brain's."""
    noise = np.random.default_rng(seed).normal(size=SHAPE)
    axes = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in SHAPE)]
    inside = np.exp(-((sum(a**2 for a in axes) / 0.5) ** 2))
    return np.asarray(ndimage.gaussian_filter(noise, width) * inside * 100, np.float32)


def seen(image: NDArray[np.float32], move: Affine) -> Conformed:
    """What a scanner saw of an image after `move`."""
    grid = lattice()
    moved = resample(image, grid.moved(move), grid)
    return Conformed(moved, np.ones(grid.blocks(4).shape, np.float32), grid)


def found(fixed: Conformed, moving: Conformed) -> Registration:
    return register(head_of(fixed), head_of(moving))


def pair(move: Affine) -> tuple[Conformed, Conformed]:
    """The image, and what a scanner saw of it after `move`."""
    return seen(blobs(), np.eye(4)), seen(blobs(), move)


def test_a_known_motion_is_found() -> None:
    move = motion((4.0, -3.0, 5.0), (2.0, -1.5, 3.0))
    first, second = pair(move)
    registration = found(second, first)
    assert error_mm(registration.motion, move) < 0.5
    assert registration.turn_deg == pytest.approx(np.sqrt(50.0), abs=0.5)
    assert registration.is_one_head
    assert registration.likeness > 0.9


def test_the_order_of_sessions_does_not_matter() -> None:
    first, second = pair(motion((-3.0, 2.0, 1.0), (1.0, 2.0, -2.0)))
    there, back = found(first, second), found(second, first)
    assert error_mm(there.motion @ back.motion, np.eye(4)) < 0.2


def test_motions_are_told_along_the_axes_of_boxes() -> None:
    turns = [motion((0.0, 0.0, turn), (0.0, 0.0, 0.0)) for turn in (-9.0, 9.0)]
    grid, image = lattice(), blobs()
    brain = np.ones(grid.blocks(4).shape, np.float32)
    boxes = [grid.moved(turn) for turn in turns]
    first, second = (Conformed(resample(image, grid, box), brain, box) for box in boxes)
    # The head is where it was, and the one box lies 18 degrees beside the other.
    assert error_mm(found(first, second).motion, np.linalg.inv(turns[0]) @ turns[1]) < 0.5


def test_another_head_and_one_turned_over_are_no_pair() -> None:
    # As fine as folds: of a few wide blobs any two can be laid on each other.
    image = blobs(width=1.5)
    first = seen(image, np.eye(4))
    others = (blobs(seed=4, width=1.5), image[::-1])
    for other in others:
        unlike = found(first, seen(np.ascontiguousarray(other), np.eye(4)))
        assert unlike.likeness < LEAST_LIKENESS
        assert not unlike.is_one_head
    turned = found(first, seen(np.ascontiguousarray(image[::-1, ::-1]), np.eye(4)))
    assert not turned.is_one_head


def test_without_brain_nothing_is_alike() -> None:
    first, second = (replace(c, brain=np.zeros_like(c.brain)) for c in pair(np.eye(4)))
    assert found(first, second).likeness == 0.0
