from __future__ import annotations

import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fibromorph.errors import ScanError
from fibromorph.scans import read_scan
from tests.scans import phantoms

GRID = phantoms.ras_grid((20, 24, 18), (6.0, 6.0, 6.0))
HEAD = phantoms.head(GRID)
DIM_AT = 40


def test_a_4d_file_with_one_volume_is_read_as_3d_and_says_so(tmp_path: Path) -> None:
    scan = read_scan(phantoms.save(phantoms.nifti(GRID, HEAD[..., None]), tmp_path / "a.nii"))
    np.testing.assert_array_equal(scan.data, HEAD)
    [finding] = [f for f in scan.findings if f.code == "single_volume_4d"]
    assert finding.severity == "mended"


@pytest.mark.parametrize("name", ["a.nii.gz", "a.mgz"])
def test_a_time_series_is_refused_with_its_length(tmp_path: Path, name: str) -> None:
    series = np.repeat(HEAD[..., None], 7, axis=3)
    image = phantoms.nifti(GRID, series)
    if name.endswith("mgz"):
        image = nib.MGHImage(series, GRID.affine_ijk_to_ras)
    with pytest.raises(ScanError, match=r"one volume.*7 volumes"):
        read_scan(phantoms.save(image, tmp_path / name))


@pytest.mark.parametrize("shape", [(24, 24), (24, 24, 1), (24, 5, 24)])
def test_a_picture_of_few_slices_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    image = nib.Nifti1Image(np.ones(shape, np.float32), np.eye(4))
    with pytest.raises(ScanError, match=r"three dimensions|at least 16 slices"):
        read_scan(phantoms.save(image, tmp_path / "a.nii"))


@pytest.mark.parametrize("dims", [(3, 32000, 32000, 32000), (3, 20, -24, 18), (3, 20, 0, 18)])
def test_absurd_dimensions_are_refused_before_memory_is_taken(
    tmp_path: Path, dims: tuple[int, ...]
) -> None:
    path = phantoms.save(phantoms.nifti(GRID), tmp_path / "a.nii")
    phantoms.patched(path, DIM_AT, np.array(dims, "<i2").tobytes())
    tracemalloc.start()
    with pytest.raises(ScanError, match=r"at most 134217728 voxels|all positive"):
        read_scan(path)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


def test_a_header_without_a_dimension_count_is_refused(tmp_path: Path) -> None:
    path = phantoms.save(phantoms.nifti(GRID), tmp_path / "a.nii")
    with pytest.raises(ScanError, match="1 to 7 dimensions"):
        read_scan(phantoms.patched(path, DIM_AT, b"\x00\x00"))


def test_complex_voxels_are_refused(tmp_path: Path) -> None:
    image = phantoms.nifti(GRID, HEAD.astype(np.complex64))
    with pytest.raises(ScanError, match=r"magnitude.*complex64"):
        read_scan(phantoms.save(image, tmp_path / "a.nii"))


def test_colours_are_refused(tmp_path: Path) -> None:
    rgb = np.zeros(GRID.shape, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(ScanError, match=r"not colours.*RGB"):
        read_scan(phantoms.save(phantoms.nifti(GRID, rgb), tmp_path / "a.nii"))
