from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from fibromorph.grid import Affine, Grid
from fibromorph.preprocess import Conformed
from fibromorph.scans import resample
from fibromorph.serving.cohort.longitudinal.halfway import middle_of
from fibromorph.serving.cohort.longitudinal.rigid import register

SHAPE = (32, 32, 32)
SPACING_MM = 3.0


def motion(turn_deg: tuple[float, float, float], shift_mm: tuple[float, float, float]) -> Affine:
    out = np.eye(4)
    out[:3, :3] = Rotation.from_euler("xyz", turn_deg, degrees=True).as_matrix()
    out[:3, 3] = shift_mm
    return out


def lattice() -> Grid:
    affine = np.diag([SPACING_MM] * 3 + [1.0])
    affine[:3, 3] = -SPACING_MM * (np.array(SHAPE) - 1) / 2
    return Grid(SHAPE, affine)


def blobs() -> NDArray[np.float32]:
    """An image that looks alike from no two sides, empty towards its border like a brain's."""
    noise = np.random.default_rng(3).normal(size=SHAPE)
    axes = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in SHAPE)]
    inside = np.exp(-((sum(a**2 for a in axes) / 0.5) ** 2))
    return np.asarray(ndimage.gaussian_filter(noise, 3.0) * inside * 100, np.float32)


def pair(move: Affine) -> tuple[Conformed, Conformed]:
    """The image, and what a scanner saw of it after `move`."""
    grid, image = lattice(), blobs()
    moved = Grid(grid.shape, move @ grid.affine_ijk_to_ras)
    again = resample(image, moved, grid)
    brain = np.zeros(grid.blocks(4).shape, np.float32)
    return Conformed(image, brain, grid, grid), Conformed(again, brain, grid, grid)


def error_mm(found: Affine, expected: Affine) -> float:
    """How far the corners of a brain are from where they should be."""
    corners = np.array([[x, y, z, 1.0] for x in (-40, 40) for y in (-40, 40) for z in (-40, 40)])
    return float(np.abs((corners @ (found - expected).T)[:, :3]).max())


def test_a_known_motion_is_found() -> None:
    move = motion((4.0, -3.0, 5.0), (2.0, -1.5, 3.0))
    first, second = pair(move)
    assert error_mm(register(second, first), move) < 0.5


def test_the_order_of_sessions_does_not_matter() -> None:
    first, second = pair(motion((-3.0, 2.0, 1.0), (1.0, 2.0, -2.0)))
    there, back = register(first, second), register(second, first)
    assert error_mm(there @ back, np.eye(4)) < 0.2


def test_the_middle_of_two_is_half_of_the_way() -> None:
    move = motion((10.0, 0.0, 0.0), (4.0, 0.0, 0.0))
    middle = middle_of([np.eye(4), move])
    half = motion((5.0, 0.0, 0.0), (2.0, 0.0, 0.0))
    assert middle == pytest.approx(half, abs=1e-9)


def test_boxes_whose_axes_are_tilted_do_not_move_the_head() -> None:
    tilts = [motion((0.0, 0.0, turn), (0.0, 0.0, 0.0)) for turn in (-0.9, 0.9)]
    grid, image = lattice(), blobs()
    brain = np.zeros(grid.blocks(4).shape, np.float32)
    boxes = [Grid(grid.shape, tilt @ grid.affine_ijk_to_ras) for tilt in tilts]
    seen = [Conformed(resample(image, grid, box), brain, box, box) for box in boxes]
    assert error_mm(register(*seen), np.eye(4)) < 0.3
