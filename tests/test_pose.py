"""How heads lie is found, and they are turned upright before a network sees them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fibromorph.grid import Grid, shape3
from fibromorph.pose import AVERAGE_STEP_MM, Image, Points, apart_deg, average_brain, pose_of
from fibromorph.preprocess import conform
from fibromorph.scans import read_scan, resample
from fibromorph.serving.engine import Engine
from fibromorph.serving.measuring.perturbations import perturbations
from fibromorph.serving.pipeline import Segmented, segment_scan
from fibromorph.training.average_brain import SHAPE
from fibromorph.training.average_brain import average_brain as averaged

COARSE_MM = 4.0


def brain_turned(turn: Points) -> tuple[Image, Grid]:
    """The average brain, of another size and somewhere else, turned; as the locator tells it."""
    average = average_brain().astype(np.float32)
    affine = np.diag([AVERAGE_STEP_MM * 0.9] * 3 + [1.0])
    own = Grid(SHAPE, affine).repositioned(turn, (12.0, -30.0, 5.0))
    length = (72, 72, 72)
    seen = Grid(length, np.diag([COARSE_MM] * 3 + [1.0])).repositioned(
        np.eye(3), own.centre_ras - (np.array(length) - 1) * COARSE_MM / 2
    )
    return resample(average, own, seen), seen


@pytest.mark.parametrize("angles", [(0, 0, 0), (25, 0, 0), (-12, 8, -5), (0, 0, 40)])
def test_a_turned_brain_is_found_as_it_lies(angles: tuple[float, float, float]) -> None:
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    pose = pose_of(*brain_turned(turn))
    assert pose is not None
    assert apart_deg(pose.axes, turn) < 2.0
    assert pose.tilt_deg == pytest.approx(apart_deg(turn, np.eye(3)), abs=2.0)
    assert pose.misfit < 0.15


def test_a_pose_moves_with_its_head() -> None:
    brain, grid = brain_turned(np.eye(3))
    turn = Rotation.from_euler("xyz", (9, -3, 14), degrees=True).as_matrix()
    one, other = pose_of(brain, grid), pose_of(brain, grid.repositioned(turn, (3.0, 0.4, -7.7)))
    assert one is not None
    assert other is not None
    assert apart_deg(other.axes, turn @ one.axes) < 0.05
    expected = grid.centre_ras + turn @ (one.middle_ras - grid.centre_ras) + (3.0, 0.4, -7.7)
    assert other.middle_ras == pytest.approx(expected, abs=0.05)


def test_nothing_follows_from_what_is_hardly_a_brain() -> None:
    brain, grid = brain_turned(np.eye(3))
    half = brain.copy()
    half[:, :, : brain.shape[2] // 2] = 0
    assert pose_of(half, grid) is None
    assert pose_of(np.ones_like(brain), grid) is None


def test_a_head_upside_down_is_left_as_it_is() -> None:
    assert pose_of(*brain_turned(np.diag([-1.0, 1.0, -1.0]))) is None


def test_brains_however_they_lie_average_to_one_in_their_middle() -> None:
    brains = [
        brain_turned(Rotation.from_euler("x", angle, degrees=True).as_matrix())
        for angle in (-15, 0, 15)
    ]
    found = averaged(brains)
    assert np.array_equal(found, found[::-1])
    assert np.corrcoef(found.ravel(), average_brain().ravel())[0, 1] > 0.95


@pytest.fixture(scope="module")
def base(template: Path, engine: Engine) -> Segmented:
    return segment_scan(read_scan(template), engine)


def test_a_head_turned_in_the_scanner_keeps_its_volumes(base: Segmented, engine: Engine) -> None:
    [turned] = [p for p in perturbations() if p.name == "rotated 20 deg"]
    other = segment_scan(turned.change(base, np.random.default_rng(1)).scan, engine)
    lattices = base.conformed.grid, other.conformed.grid
    assert apart_deg(*(grid.axes for grid in lattices)) == pytest.approx(20, abs=3)
    before, after = (
        {row.name: row.soft_volume_ml or 0.0 for row in found.rows} for found in (base, other)
    )
    drift = [after[name] / ml - 1 for name, ml in before.items() if ml > 1]
    assert np.mean(np.abs(drift)) < 0.02
    # Its labels lie on its own voxels, and in them the head is as tilted as it was scanned.
    assert other.labels_on_scan_grid.shape == other.scan.grid.shape
    counted = np.count_nonzero(other.labels_on_scan_grid) * other.scan.grid.voxel_ml
    expected = np.count_nonzero(base.labels_on_scan_grid) * base.scan.grid.voxel_ml
    assert counted == pytest.approx(expected, rel=0.02)


def test_where_a_second_look_finds_no_brain_the_first_counts(
    base: Segmented, engine: Engine
) -> None:
    manifest, looks = base.bundle.manifest, []

    def once(image: Image) -> Image:
        looks.append(image)
        brain = engine.locate(image)
        return brain if len(looks) == 1 else np.zeros_like(brain)

    seen = conform(base.scan, manifest.network, manifest.locator, once)
    assert len(looks) == 2
    assert apart_deg(seen.grid.axes, base.conformed.grid.axes) < 3.0


def test_air_around_a_head_changes_nothing(base: Segmented, engine: Engine) -> None:
    scan, manifest, room = base.scan, engine.bundle.manifest, 60
    wide = replace(
        scan,
        data=np.pad(scan.data, room, constant_values=scan.data.min()),
        grid=scan.grid.box((-room,) * 3, shape3(np.add(scan.grid.shape, 2 * room))),
    )
    seen = conform(wide, manifest.network, manifest.locator, engine.locate)
    assert apart_deg(seen.grid.axes, base.conformed.grid.axes) < 1.0
    # It was 1.7 times as large before the locator looked again; 4 % of it move volumes by 0.2 %.
    assert seen.brain.sum() == pytest.approx(base.conformed.brain.sum(), rel=0.05)
