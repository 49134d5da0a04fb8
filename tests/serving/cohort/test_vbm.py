"""A study whose grey matter is mapped, too, and whose maps are compared."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fibromorph.cli import main
from fibromorph.file_names import MAP_OF
from fibromorph.postprocessing.normalisation import average_head
from tests.serving.cohort.conftest import Finished, Run
from tests.serving.cohort.study import Study, head, scan_path, write_scan
from tests.serving.cohort.test_group import DESIGN

pytest.importorskip("SimpleITK")
VOXELWISE = "vbm: {permutations: 100, tfce: false, smoothing_mm: 12, spacing_mm: 9}\n"
Capture = pytest.CaptureFixture[str]


def test_every_scan_that_was_asked_for_has_a_map(
    participant: Run, study: Study, tmp_path: Path
) -> None:
    out, scan = tmp_path / "out", study.good[0]
    subject = scan.partition("/")[0].removeprefix("sub-")
    asked = ("--participant-label", subject, "--session-label", "01")
    assert participant(out, "--vbm", *asked).status == 0
    paths = [out / scan.replace("_T1w.nii.gz", end) for end in MAP_OF.values()]
    assert all(np.asarray(nib.load(path).dataobj).sum() > 0 for path in paths)
    assert "1 present" in participant(out, "--vbm", "--dry-run", *asked).said
    _of_a_version_with_grey_maps_alone(out)
    assert "1 again" in participant(out, "--vbm", "--dry-run", *asked).said
    assert "vbm" in participant(out, "--dry-run", *asked).said
    assert participant(out, *asked).status == 0
    assert not any(path.exists() for path in paths)


def _of_a_version_with_grey_maps_alone(out: Path) -> None:
    (record,) = (out / ".fibromorph" / "done").rglob("*.json")
    content = json.loads(record.read_text())
    (white,) = (name for name in content["files"] if "label-WM" in name)
    (out / white).unlink()
    del content["files"][white]
    record.write_text(json.dumps(content))


def test_sessions_of_one_head_have_the_same_map(
    participant: Run, study: Study, tmp_path: Path
) -> None:
    bids, out = tmp_path / "bids", tmp_path / "out"
    for session in ("01", "02"):
        write_scan(bids / scan_path(1, session), head(np.random.default_rng(1)))
    shutil.copy(study.root / "dataset_description.json", bids)
    done = participant(out, "--vbm", "--longitudinal", bids=bids)
    assert done.status == 0, done.said
    assert "half-way to 1 other" in (out / "logs/sub-01/sub-01_ses-01.log").read_text()
    one, other = (np.asarray(nib.load(path).dataobj) for path in out.rglob(f"*{MAP_OF['grey']}"))
    assert np.abs(one - other).mean() < 0.01 * one.mean()


def test_the_maps_of_a_cohort_are_compared_by_its_design(
    finished: Finished, study: Study, tmp_path: Path, capsys: Capture
) -> None:
    out, design = tmp_path / "out", tmp_path / "design.yaml"
    shutil.copytree(finished.out, out)
    design.write_text(DESIGN + VOXELWISE)
    call = ["bids", str(study.root), str(out), "group", "--vbm"]
    assert main(call) == 2
    assert "give --design too" in capsys.readouterr().err
    call += ["--design", str(design)]
    assert main(call) == 2
    assert "run it again with --vbm" in capsys.readouterr().err
    for number, scan in enumerate(study.good):
        write_map(out / scan.replace("_T1w.nii.gz", MAP_OF["grey"]), number)
    assert main(call) == 1  # some scans of this study had failed before
    assert (out / "stats_vbm" / "report.html").is_file()
    assert (out / "stats" / "report.html").is_file()
    design.write_text(DESIGN + VOXELWISE.replace("{", "{tissue: white, "))
    assert main(call) == 2
    assert "must have mapped white matter: run it again with --vbm" in capsys.readouterr().err
    for number, scan in enumerate(study.good):
        write_map(out / scan.replace("_T1w.nii.gz", MAP_OF["white"]), number)
    assert main(call) == 1
    assert "White matter, voxel by voxel" in (out / "stats_vbm_white/report.html").read_text()


def write_map(path: Path, seed: int) -> None:
    average = average_head()
    noise = np.random.default_rng(seed).normal(1.0, 0.05, average.grey.shape)
    image = (average.grey * noise).astype(np.float32)
    nib.save(nib.Nifti1Image(image, average.grid.affine_ijk_to_ras), path)
