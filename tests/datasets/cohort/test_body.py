from __future__ import annotations

import numpy as np
import pytest

from fibromorph.datasets.cohort.acquisition import draw_visit, scan_grid, true_labels
from fibromorph.datasets.cohort.body import TOLERANCE, Body, Mould, draw_elastic, shape_body
from tests.datasets.cohort.phantoms import LEFT_PUTAMEN, LEFT_THALAMUS


@pytest.fixture(scope="module")
def bodies(mould: Mould) -> tuple[Body, Body]:
    """One person without and with a left putamen that is 8 % smaller."""
    elastic = draw_elastic(np.random.default_rng(2), mould.lattice)
    targets = {i: mould.reference_ml[i] for i in mould.growth.ids}
    changed = {**targets, LEFT_PUTAMEN: 0.92 * targets[LEFT_PUTAMEN]}
    return shape_body(mould, elastic, targets, 1420), shape_body(mould, elastic, changed, 1420)


def test_a_planted_change_is_there_and_nowhere_else(bodies: tuple[Body, Body]) -> None:
    before, after = (body.volumes_ml for body in bodies)
    change = {i: after[i] / before[i] - 1 for i in before}
    assert change[LEFT_PUTAMEN] == pytest.approx(-0.08, abs=2 * TOLERANCE)
    others = [c for i, c in change.items() if i not in (LEFT_PUTAMEN, 2, 24)]
    assert np.abs(others).max() < 2 * TOLERANCE


def test_the_neighbours_take_up_the_difference(bodies: tuple[Body, Body]) -> None:
    before, after = (body.volumes_ml for body in bodies)
    lost = before[LEFT_PUTAMEN] - after[LEFT_PUTAMEN]
    assert after[2] - before[2] == pytest.approx(lost, rel=0.5)
    assert sum(after.values()) == pytest.approx(1420, rel=2e-3)


def test_truth_is_what_the_scan_shows(mould: Mould, bodies: tuple[Body, Body]) -> None:
    visit = draw_visit(np.random.default_rng(3), 1.0, 0.03)
    for body in bodies:
        grid = scan_grid(mould, body, visit)
        voxels = np.bincount(true_labels(mould, body, visit, grid).ravel(), minlength=64)
        for label in (LEFT_PUTAMEN, LEFT_THALAMUS, 2, 3, 24):
            shown_ml = voxels[label] * grid.voxel_ml
            # A voxel is one structure or another: half a per cent more or less by chance.
            assert shown_ml == pytest.approx(body.volumes_ml[label], rel=0.015)


def test_left_stays_left(mould: Mould, bodies: tuple[Body, Body]) -> None:
    visit = draw_visit(np.random.default_rng(4), 2.0, 0.03)
    grid = scan_grid(mould, bodies[0], visit)
    labels = true_labels(mould, bodies[0], visit, grid)
    for left, right in ((12, 51), (10, 49), (3, 42)):
        x = [
            (np.argwhere(labels == i) @ grid.affine_ijk_to_ras[0, :3]).mean() for i in (left, right)
        ]
        assert x[0] + grid.affine_ijk_to_ras[0, 3] < 0 < x[1] + grid.affine_ijk_to_ras[0, 3]


def test_head_size_is_as_asked(mould: Mould) -> None:
    elastic = draw_elastic(np.random.default_rng(5), mould.lattice)
    targets = {i: mould.reference_ml[i] for i in mould.growth.ids}
    large = shape_body(mould, elastic, {i: 1.2 * v for i, v in targets.items()}, 1.2 * 1420)
    assert large.intracranial_ml == pytest.approx(1704)
    assert sum(large.volumes_ml.values()) == pytest.approx(1704, rel=2e-3)
