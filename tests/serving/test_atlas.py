"""A real head divided by an atlas, from the command to its files and its page."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fibromorph.cli import main
from fibromorph.postprocessing.thickness import read_thickness
from fibromorph.postprocessing.volumes import VolumeRow, read_volumes
from fibromorph.serving.scan_table import write_scan_table
from tests.two_halves import NAMES, write_atlas

pytest.importorskip("SimpleITK")
Capture = pytest.CaptureFixture[str]
STEM = "template_seg-TwoHalves"


@pytest.fixture(scope="module")
def out(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("atlas")
    atlas = write_atlas(folder)
    call = ["segment", str(template), "--out", str(folder), "--atlas", str(atlas), "--thickness"]
    assert main(call) == 0
    return folder


def rows_of(path: Path) -> dict[str, VolumeRow]:
    return {row.name: row for row in read_volumes(path)}


def test_regions_add_up_to_the_structures_that_the_model_draws(out: Path) -> None:
    parts = rows_of(out / f"{STEM}_volumes.tsv")
    wholes = rows_of(out / "template_volumes.tsv")
    assert set(parts) == set(NAMES.values()) - {"Air"}
    left = sum(parts[name].analysed_ml or 0.0 for name in ("front_L", "back_L"))
    assert left == pytest.approx(wholes["Left-Cerebral-Cortex"].analysed_ml, abs=0.01)
    thalami = [wholes[f"{side}-Thalamus"].analysed_ml or 0.0 for side in ("Left", "Right")]
    assert parts["Thalamus_both"].analysed_ml == pytest.approx(sum(thalami), abs=0.01)
    assert all(row.sd_ml and row.sd_ml < (row.analysed_ml or 0.0) for row in parts.values())


def test_thickness_of_its_regions_of_the_cortex(out: Path) -> None:
    rows = {row.name: row for row in read_thickness(out / f"{STEM}_thickness.tsv")}
    assert list(rows) == ["front_L", "back_L", "Mean-Thickness"]
    whole = {row.name: row for row in read_thickness(out / "template_thickness.tsv")}
    left = whole["Left-Cerebral-Cortex"]
    parts = [rows[name] for name in ("front_L", "back_L")]
    assert sum(row.area_cm2 or 0.0 for row in parts) == pytest.approx(left.area_cm2, rel=0.001)
    low, high = sorted(row.thickness_mm or 0.0 for row in parts)
    assert low < (left.thickness_mm or 0.0) < high
    assert all(row.sd_mm and row.sd_mm < 0.1 for row in parts)


def test_labels_lie_on_the_scan_in_front_and_at_the_back(out: Path) -> None:
    labels = nib.load(out / f"{STEM}_dseg.nii.gz")
    own = nib.load(out / "template_dseg.nii.gz")
    assert labels.shape == own.shape
    assert np.allclose(labels.affine, own.affine)
    ids = np.asarray(labels.dataobj)
    middles = {
        n: (own.affine @ [*np.argwhere(ids == n).mean(axis=0), 1.0])[:3] for n in np.unique(ids)
    }
    assert middles[7][1] > middles[8][1] + 40  # mm to the front
    assert middles[7][0] < -20  # on the left
    assert abs(middles[300][0]) < 3
    names = (out / f"{STEM}_dseg.tsv").read_text().splitlines()
    assert names[0] == "index\tname"
    assert "300\tThalamus_both" in names


def test_the_page_and_the_provenance_tell_of_it(out: Path) -> None:
    page = (out / "template_report.html").read_text()
    assert "Regions of TwoHalves" in page
    assert "Thalamus_both" in page
    assert "Not measured, as no structure holds them: Air" in page
    facts = json.loads((out / "template.json").read_text())
    assert facts["atlases"]["sha256"].keys() == {"TwoHalves"}
    assert 0.7 < facts["atlases"]["likeness"] <= 1
    assert {f"{STEM}_dseg.nii.gz", f"{STEM}_dseg.tsv", f"{STEM}_volumes.tsv"} <= set(
        facts["outputs"]
    )


def test_the_table_of_all_scans_has_them(out: Path) -> None:
    (scan,) = csv.DictReader(write_scan_table(out).read_text().splitlines(), delimiter="\t")
    rows = rows_of(out / f"{STEM}_volumes.tsv")
    assert float(scan["TwoHalves:front_L_ml"]) == pytest.approx(
        rows["front_L"].analysed_ml, abs=1e-4
    )
    assert float(scan["TwoHalves:front_L_mm"]) > 1
    assert float(scan["Left-Cerebral-Cortex_ml"]) > float(scan["TwoHalves:front_L_ml"])


def test_an_atlas_that_is_not_there_stops_before_anything_is_written(
    template: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    assert main(["segment", str(template), "--out", str(out), "--atlas", "nowhere.nii"]) == 2
    assert "nowhere.nii" in capsys.readouterr().err
    assert not out.exists()


def test_two_atlases_of_one_name_are_refused(
    template: Path, tmp_path: Path, capsys: Capture
) -> None:
    atlas = str(write_atlas(tmp_path))
    call = ["segment", str(template), "--out", str(tmp_path), "--atlas", atlas, "--atlas", atlas]
    assert main(call) == 2
    assert "one name (found: TwoHalves)" in capsys.readouterr().err
