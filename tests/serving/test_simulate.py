"""Simulation from the command line; benchmarks/through_scans.py goes through the bundle."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fibromorph.cli import main
from fibromorph.scans import read_scan
from tests.datasets.cohort import phantoms


@pytest.fixture
def phantom_files(tmp_path: Path) -> list[str]:
    anatomy, paths = phantoms.anatomy(), [tmp_path / "t1.nii.gz", tmp_path / "dseg.nii.gz"]
    affine = anatomy.grid.affine_ijk_to_ras
    for image, path in zip((anatomy.intensities, anatomy.labels), paths, strict=True):
        nib.save(nib.Nifti1Image(image, affine), path)
    return [str(path) for path in paths]


def test_the_command_line_simulates_from_ones_own_anatomy(
    phantom_files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "study"
    call = ["synth", "cohort", "--out", str(out), "--patients", "1", "--controls", "1"]
    call += ["--effect", "Left-Putamen=-10%", "--voxel", "3", "--anatomy", *phantom_files]
    assert main(call) == 0
    assert "2 scans" in capsys.readouterr().out
    assert len(list(out.glob("sub-*/anat/*_T1w.nii.gz"))) == 2
    assert np.isfinite(read_scan(next(out.glob("sub-01/anat/*.nii.gz"))).data).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--effect", "Putamen"], "REGION=PERCENT%"),
        (["--effect", "Nowhere=5%"], "a region must be one of"),
        (["--patients", "0"], "--patients: must be 1 or more"),
        (["--workers", "0"], "--workers: must be 1 or more"),
    ],
)
def test_wrong_options_write_nothing(
    options: list[str],
    message: str,
    phantom_files: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "study"
    call = ["synth", "cohort", "--out", str(out), "--anatomy", *phantom_files, *options]
    assert main(call) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dseg.nii.gz", "t1.nii.gz"]
