"""One real head through the whole chain, stored in every way a scanner may store it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from fibromorph.located import BRAIN_BLOCK
from fibromorph.postprocessing.volumes import VolumeRow, read_volumes
from fibromorph.preprocess import SPLINE
from fibromorph.scans import read_scan, resample
from fibromorph.serving.engine import Engine
from fibromorph.serving.outputs.writing import write_outputs
from fibromorph.serving.pipeline import Segmented, segment_scan

LARGE_ML = 3.0


@pytest.fixture(scope="module")
def upright(template: Path, engine: Engine) -> Segmented:
    return segment_scan(read_scan(template), engine)


def soft(rows: tuple[VolumeRow, ...]) -> dict[str, float]:
    return {
        r.name: r.soft_volume_ml for r in rows if not r.is_total and r.soft_volume_ml is not None
    }


def test_a_template_has_the_volumes_of_a_brain(upright: Segmented) -> None:
    rows = {row.name: row for row in upright.rows}
    brain, left, right = (
        rows[name].volume_ml
        for name in ("Total-Brain", "Left-Cerebral-Cortex", "Right-Cerebral-Cortex")
    )
    assert brain is not None
    assert left is not None
    assert right is not None
    # The template is larger than most heads: an average of linearly scaled ones.
    assert 1100 < brain < 2000
    assert left == pytest.approx(right, rel=0.1)
    assert upright.stripped
    assert rows["eTIV"].volume_ml is None


def test_left_is_left(upright: Segmented) -> None:
    grid, labels = upright.scan.grid, upright.labels_on_scan_grid
    for left, right in ((2, 41), (3, 42), (10, 49), (12, 51), (17, 53)):
        x_left, x_right = (
            (grid.affine_ijk_to_ras @ [*np.argwhere(labels == i).mean(axis=0), 1])[0]
            for i in (left, right)
        )
        assert x_left < -5 < 5 < x_right


@pytest.mark.parametrize("axes", ["LAS", "LPI", "PIR"])
def test_storage_order_changes_nothing(
    axes: str, template: Path, engine: Engine, upright: Segmented, tmp_path: Path
) -> None:
    image = nib.load(template)
    turn = ornt_transform(io_orientation(image.affine), axcodes2ornt(axes))
    path = tmp_path / f"{axes}.nii.gz"
    nib.save(image.as_reoriented(turn), path)
    result = segment_scan(read_scan(path), engine)
    assert result.labels_on_scan_grid.shape == nib.load(path).shape
    assert soft(result.rows) == pytest.approx(soft(upright.rows), rel=0.01)


def test_an_oblique_scan_gives_the_same_volumes(
    template: Path, engine: Engine, upright: Segmented, tmp_path: Path
) -> None:
    image = nib.load(template)
    angle = np.deg2rad(12)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    path = tmp_path / "oblique.nii.gz"
    # The same voxels with a turned affine: the head lies tilted in the scanner.
    nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj), turn @ image.affine), path)
    result = segment_scan(read_scan(path), engine)
    assert result.labels_on_scan_grid.shape == image.shape
    expected, found = soft(upright.rows), soft(result.rows)
    drift = [found[name] / ml - 1 for name, ml in expected.items() if ml > LARGE_ML]
    assert np.abs(drift).max() < 0.03


def test_what_the_box_holds_beside_the_brain_changes_no_volume(
    template: Path, engine: Engine, upright: Segmented
) -> None:
    scan, seen = read_scan(template), upright.conformed
    i, j, k = seen.grid.shape
    wide = seen.grid.box((-16, -16, -16), (i + 32, j + 32, k + 32))
    brain = np.pad(seen.brain, 16 // BRAIN_BLOCK)
    wider = replace(
        seen, intensities=resample(scan.data, scan.grid, wide, order=SPLINE), brain=brain, grid=wide
    )
    expected, found = soft(upright.rows), soft(segment_scan(scan, engine, conformed=wider).rows)
    drift = [found[name] / ml - 1 for name, ml in expected.items() if ml > LARGE_ML]
    assert np.abs(drift).max() < 0.025
    assert np.abs(drift).mean() < 0.01


def test_all_files_come_out(upright: Segmented, template: Path, tmp_path: Path) -> None:
    paths = write_outputs(upright, tmp_path, conformed=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "template.json",
        "template_dseg.nii.gz",
        "template_report.html",
        "template_space-conformed_T1w.nii.gz",
        "template_space-conformed_dseg.nii.gz",
        "template_volumes.tsv",
    ]
    source, labels = nib.load(template), nib.load(paths["dseg"])
    assert labels.shape == source.shape
    assert np.allclose(labels.affine, source.affine)
    assert read_volumes(paths["volumes"])[-1].name == "eTIV"
    provenance = json.loads(paths["provenance"].read_text())
    assert 0 < provenance["input"]["tilt_deg"] < 30
    assert provenance["model"]["sha256"] == upright.bundle.manifest.network.sha256
    assert provenance["input"]["sha256"] == upright.scan.sha256
    page = paths["report"].read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "Thalamus" in page
    upright_scan, upright_labels = (nib.load(paths[f"conformed{x}"]) for x in ("_scan", ""))
    assert np.array_equal(upright_scan.affine, upright_labels.affine)
    seen = upright.conformed.intensities
    assert upright_scan.shape == upright_labels.shape == seen.shape
    assert np.abs(upright_scan.get_fdata() - seen).max() < 1e-4 * np.ptp(seen)


def test_corrected_labels_are_set_aside(upright: Segmented, tmp_path: Path) -> None:
    labels = write_outputs(upright, tmp_path)["dseg"]
    first = labels.read_bytes()
    write_outputs(upright, tmp_path)
    assert not list(tmp_path.glob("*.edited*"))
    labels.write_bytes(b"corrected by hand")
    write_outputs(upright, tmp_path)
    [kept] = tmp_path.glob("*.edited*")
    assert kept.read_bytes() == b"corrected by hand"
    assert labels.read_bytes() == first


def test_labels_of_an_earlier_call_do_not_stay_beside_others(
    upright: Segmented, tmp_path: Path
) -> None:
    other = write_outputs(upright, tmp_path, conformed=True)["conformed"]
    write_outputs(upright, tmp_path)
    assert not other.exists()
    write_outputs(upright, tmp_path, conformed=True)
    other.write_bytes(b"corrected by hand")
    write_outputs(upright, tmp_path)
    assert [path.read_bytes() for path in tmp_path.glob("*.edited*")] == [b"corrected by hand"]


def test_a_call_that_is_broken_off_leaves_what_was_there(
    upright: Segmented, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_outputs(upright, tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fibromorph.serving.outputs.writing.write_report", stop)
    with pytest.raises(KeyboardInterrupt):
        write_outputs(upright, tmp_path)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_engines_agree(upright: Segmented, engine: Engine, template: Path) -> None:
    if engine.device == "cpu":
        pytest.skip("only one engine is installed")
    other = segment_scan(read_scan(template), Engine(engine.bundle, "cpu"))
    assert np.mean(other.labels != upright.labels) < 1e-3


def test_a_whole_head_has_a_plausible_brain(data_root: Path, engine: Engine) -> None:
    result = segment_scan(read_scan(data_root / "scans" / "chris_t1.nii.gz"), engine)
    rows = {row.name: row for row in result.rows}
    assert not result.stripped
    assert 900 < (rows["Total-Brain"].volume_ml or 0) < 1700
    assert rows["eTIV"].volume_ml is not None
