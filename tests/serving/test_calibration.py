"""What a bundle learns from disturbed scans."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fibromorph.grid import Grid
from fibromorph.manifest import Manifest, open_bundle, read_manifest
from fibromorph.postprocessing.drift_picture import write_drift_picture
from fibromorph.serving.bundles import DEFAULT_BUNDLE, shipped_folder
from fibromorph.serving.measuring.calibration import (
    measured_errors,
    pooled_drift,
    summarise_reliability,
    update_reliability,
)
from fibromorph.serving.pipeline import calibration_of, repeat_shares_of

SDS = {10: 0.01, 12: 0.03}
NAMES = {10: "Left-Thalamus", 12: "Left-Putamen"}


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return read_manifest(shipped_folder() / DEFAULT_BUNDLE)


@pytest.fixture(scope="module")
def table(manifest: Manifest) -> pd.DataFrame:
    """Two scans, 200 perturbations with Gaussian drift, confidence as on the reference scans."""
    rng = np.random.default_rng(1)
    confidence = {e.id: e.reference_confidence or 0.9 for e in manifest.labels}
    rows = []
    for scan in ("a", "b"):
        for number in range(200):
            quality = rng.uniform(0.5, 1)
            for region, sd in SDS.items():
                drift = rng.normal(0, sd)
                rows.append(
                    {
                        "scan": scan,
                        "perturbation": f"rotated {number} deg",
                        "kind": "acquisition",
                        "voxel_mm": 1.0,
                        "pose_deg": 0.1,
                        "dice_27": quality - 0.1,
                        "quality": quality,
                        "verdict": "good",
                        "region_id": region,
                        "name": NAMES[region],
                        "undisturbed_ml": 5.0,
                        "soft_volume_ml": 5.0 * (1 + drift),
                        "confidence": confidence[region],
                        "drift": drift,
                    }
                )
    wrecked = rows[0] | {"perturbation": "phantom", "kind": "wrecked", "quality": 0.1}
    return pd.DataFrame([*rows, wrecked | {"dice_27": 0.05, "drift": 0.9}])


def test_the_error_is_the_spread_of_volumes_over_acquisitions(table: pd.DataFrame) -> None:
    fine, coarse = measured_errors(table)
    assert fine.regions == pytest.approx(SDS, rel=0.1)
    assert coarse.regions == {}


def test_coarse_voxels_have_errors_of_their_own(table: pd.DataFrame, manifest: Manifest) -> None:
    thick = table[table.kind == "acquisition"].assign(voxel_mm=3.0)
    thick = thick.assign(drift=3 * thick.drift)
    thick = thick.assign(soft_volume_ml=thick.undisturbed_ml * (1 + thick.drift))
    both = pd.concat([table, thick])
    fine, coarse = measured_errors(both)
    assert fine.regions == pytest.approx(SDS, rel=0.1)
    assert coarse.regions == pytest.approx({i: 3 * sd for i, sd in SDS.items()}, rel=0.1)
    scores = summarise_reliability(both, manifest).scores
    assert scores["within two sd"] == pytest.approx(0.954, abs=0.03)


def test_gaussian_errors_are_covered_as_they_should_be(
    table: pd.DataFrame, manifest: Manifest
) -> None:
    scores = summarise_reliability(table, manifest).scores
    assert scores["within two sd"] == pytest.approx(0.954, abs=0.03)
    assert scores["quality against Dice: rank correlation"] == pytest.approx(1.0)
    assert scores["wrecked scans that passed"] == 1
    assert scores["deep grey, moved: mean absolute drift"] == pytest.approx(0.016, abs=0.003)


def test_a_scan_of_thick_slices_gets_the_error_of_such_scans(manifest: Manifest) -> None:
    entries = tuple(e.model_copy(update={"coarse_sd": 0.07}) for e in manifest.labels)
    totals = {"coarse_totals": {"Total-Brain": 0.05}}
    known = manifest.model_copy(update={"labels": entries, **totals})
    for spacing, expected in (((1.0, 1.0, 1.2), manifest.labels[0].relative_sd), ((1, 1, 3), 0.07)):
        calibration = calibration_of(known, Grid((9, 9, 9), np.diag([*spacing, 1.0])))
        assert calibration.relative_sd[manifest.labels[0].id] == expected
    assert calibration.totals_sd["Total-Brain"] == 0.05
    assert calibration.totals_sd["eTIV"] == manifest.totals["eTIV"]


def test_scans_with_one_protocol_err_by_a_share_that_is_known_of_fine_voxels(
    manifest: Manifest,
) -> None:
    fine, coarse = (Grid((9, 9, 9), np.diag([1.0, 1.0, z, 1.0])) for z in (1.0, 3.0))
    entry = manifest.labels[0]
    assert entry.repeat_sd is not None
    assert entry.relative_sd is not None
    shares = repeat_shares_of(manifest, fine)
    assert shares[entry.name] == pytest.approx(entry.repeat_sd / entry.relative_sd, abs=1e-4)
    assert repeat_shares_of(manifest, coarse) == {}


@pytest.mark.parametrize(("drift", "warm"), [(0.09, True), (-0.09, False)])
def test_growth_is_red_and_shrinking_blue(
    drift: float, warm: bool, manifest: Manifest, tmp_path: Path
) -> None:
    drifts = pd.DataFrame({"turned": [drift] * 4, "noise": [drift] * 4}, index=[10, 49, 12, 51])
    write_drift_picture(tmp_path / "drift.png", drifts, manifest.table)
    assert [path.name for path in tmp_path.iterdir()] == ["drift.png"]
    red, _, blue = np.asarray(Image.open(tmp_path / "drift.png").convert("RGB"), int).T
    # The bar beside it has as much of both.
    reds, blues = (red > blue + 60).sum(), (blue > red + 60).sum()
    assert max(reds, blues) > 2 * min(reds, blues)
    assert bool(reds > blues) is warm


def test_a_bundle_keeps_what_was_found(
    table: pd.DataFrame, manifest: Manifest, tmp_path: Path
) -> None:
    folder, picture = tmp_path / "bundle", tmp_path / "reliability.png"
    shutil.copytree(shipped_folder() / DEFAULT_BUNDLE, folder)
    write_drift_picture(picture, pooled_drift(table).iloc[:, :5], manifest.table)
    found = summarise_reliability(table, manifest)
    update_reliability(open_bundle(folder), found, picture)
    entries = {e.id: e for e in open_bundle(folder).manifest.labels}
    assert entries[10].relative_sd == pytest.approx(0.01, rel=0.1)
    assert (folder / "reliability.png").read_bytes() == picture.read_bytes()
    assert "within two sd" in (folder / "card.md").read_text()
