"""The maps of tissue of a real head."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fibromorph.cli import main
from fibromorph.file_names import MAP_OF
from fibromorph.labels import FREESURFER
from fibromorph.postprocessing.normalisation import average_head
from fibromorph.postprocessing.volumes import read_volumes

pytest.importorskip("SimpleITK")


def test_files_of_a_call(template: Path, tmp_path: Path) -> None:
    out, name = tmp_path / "out", template.name.removesuffix(".nii.gz")
    assert main(["segment", str(template), "--out", str(out), "--vbm"]) == 0
    rows = read_volumes(out / f"{name}_volumes.tsv")
    for tissue, end in MAP_OF.items():
        image = nib.load(out / f"{name}{end}")
        assert image.header["sform_code"] == 4
        assert np.allclose(image.affine, average_head().grid.affine_ijk_to_ras)
        inside = {label.id for label in FREESURFER if label.tissue == tissue}
        own_ml = sum(row.soft_volume_ml or 0 for row in rows if row.region_id in inside)
        voxel_ml = average_head().grid.voxel_ml
        assert image.get_fdata().sum() * voxel_ml == pytest.approx(own_ml, rel=0.02)
    facts = json.loads((out / f"{name}.json").read_text())
    assert facts["grey_map"]["likeness"] > 0.7
    assert set(facts["outputs"]) >= {f"{name}{end}" for end in MAP_OF.values()}
    assert "Grey matter in MNI coordinates" in (out / f"{name}_report.html").read_text()


def test_without_its_package_nothing_is_computed(
    template: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(
        "fibromorph.serving.beyond.find_spec",
        lambda name: None if name == "SimpleITK" else there(name),
    )
    assert main(["segment", str(template), "--out", str(tmp_path / "out"), "--vbm"]) == 2
    assert "'vbm' extra" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
