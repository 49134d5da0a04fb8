"""What is done to a scan is what its name says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fibromorph.scans import Scan, read_scan
from fibromorph.serving.engine import Engine
from fibromorph.serving.measuring.perturbations import Perturbation, bright_level, perturbations
from fibromorph.serving.pipeline import Segmented, segment_scan

BY_NAME = {p.name: p for p in perturbations()}


@pytest.fixture(scope="module")
def base(template: Path, engine: Engine) -> Segmented:
    return segment_scan(read_scan(template), engine)


def disturbed(name: str, base: Segmented, seed: int = 1) -> Scan:
    return BY_NAME[name].change(base, np.random.default_rng(seed)).scan


@pytest.mark.parametrize("one", perturbations(), ids=lambda p: p.name)
def test_every_change_leaves_a_scan_that_can_be_read(one: Perturbation, base: Segmented) -> None:
    scan = one.change(base, np.random.default_rng(1)).scan
    assert np.isfinite(scan.data).all()
    assert scan.data.shape == scan.grid.shape
    assert scan.data.min() >= 0
    again = one.change(base, np.random.default_rng(1)).scan
    assert np.array_equal(scan.data, again.data)


@pytest.mark.parametrize(
    ("name", "spacing"), [("0.7 mm", (0.7, 0.7, 0.7)), ("1 x 1 x 3 mm", (1.0, 1.0, 3.0))]
)
def test_other_voxels_show_the_same_field_of_view(
    name: str, spacing: tuple[float, float, float], base: Segmented
) -> None:
    scan = disturbed(name, base)
    assert scan.grid.spacing_mm == pytest.approx(spacing)
    before = np.asarray(base.scan.grid.shape) * base.scan.grid.spacing_mm
    assert np.asarray(scan.grid.shape) * spacing == pytest.approx(before, abs=3.5)
    assert np.abs(scan.grid.centre_ras - base.scan.grid.centre_ras).max() < 3.5


def test_turning_and_shifting_keep_the_brain(base: Segmented) -> None:
    def bright_ml(scan: Scan) -> float:
        return float((scan.data > 0.3 * bright_level(scan.data)).sum() * scan.grid.voxel_ml)

    known = bright_ml(base.scan)
    for name in ("rotated 20 deg", "shifted 0.5 voxel"):
        assert bright_ml(disturbed(name, base)) == pytest.approx(known, rel=0.03)


def test_a_scanner_does_not_know_that_a_head_was_turned(base: Segmented) -> None:
    turned = BY_NAME["rotated 20 deg"].change(base, np.random.default_rng(1))
    shift, lie = turned.scan.grid.affine_ijk_to_ras, turned.lattice.affine_ijk_to_ras
    assert np.allclose(shift[:3, :3], base.scan.grid.affine_ijk_to_ras[:3, :3])
    cosine = (np.trace(lie[:3, :3] @ np.linalg.inv(shift[:3, :3])) - 1) / 2
    assert np.rad2deg(np.arccos(cosine)) == pytest.approx(20)


def test_half_a_head_is_the_right_half(base: Segmented) -> None:
    scan = disturbed("half a head", base)
    assert scan.data.size == pytest.approx(base.scan.data.size / 2, rel=0.1)
    assert scan.grid.centre_ras[0] > base.scan.grid.centre_ras[0] + 20


def test_a_face_is_removed_and_no_brain(base: Segmented) -> None:
    grid = base.scan.grid
    full = replace(base, scan=replace(base.scan, data=np.ones_like(base.scan.data)))
    gone = disturbed("face removed", full).data == 0
    assert not (gone & (base.labels_on_scan_grid > 0)).any()
    middle = grid.affine_ijk_to_ras @ [*np.argwhere(gone).mean(axis=0), 1.0]
    assert middle[1] > grid.centre_ras[1] + 20
    assert middle[2] < grid.centre_ras[2] - 20


def test_heavy_motion_smears_along_one_axis_only(base: Segmented) -> None:
    scan = disturbed("heavy motion", base)
    sums = [image.sum(axis=1) for image in (scan.data, base.scan.data)]
    assert np.corrcoef(sums[0].ravel(), sums[1].ravel())[0, 1] > 0.8
    assert np.corrcoef(scan.data.ravel(), base.scan.data.ravel())[0, 1] < 0.98
