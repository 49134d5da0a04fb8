from __future__ import annotations

import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fibromorph.errors import ScanError
from fibromorph.scans import Scan, read_scan
from tests.scans import phantoms

GRID = phantoms.stored_as(phantoms.ras_grid((24, 26, 22), (5.0, 5.0, 5.0)), "LAS")
HEAD = phantoms.head(GRID)
# Byte offsets in a NIfTI-1 header.
DATATYPE, PIXDIM, VOX_OFFSET, SLOPE, UNITS, SFORM_CODE, SROW_X = 70, 76, 108, 112, 123, 254, 280


def _patched(tmp_path: Path, at: int, layout: str, *values: float) -> Path:
    path = phantoms.save(phantoms.nifti(GRID), tmp_path / "a.nii")
    return phantoms.patched(path, at, struct.pack("<" + layout, *values))


def _finding(scan: Scan, code: str) -> tuple[str, object]:
    (found,) = [f for f in scan.findings if f.code == code]
    return found.severity, found.value


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_both_versions_are_read(tmp_path: Path, name: str, version: int) -> None:
    scan = read_scan(phantoms.save(phantoms.nifti(GRID, version=version), tmp_path / name))
    assert scan.format == f"NIfTI-{version}"
    assert scan.grid.same_as(GRID)
    np.testing.assert_array_equal(scan.data, HEAD)


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "i8", "f4", "f8"])
@pytest.mark.parametrize("endian", ["<", ">"])
def test_every_ordinary_voxel_type_is_read(tmp_path: Path, dtype: str, endian: str) -> None:
    data = HEAD.round().clip(0, 255)
    header = phantoms.nifti(GRID).header.as_byteswapped(endian)
    header.set_data_dtype(dtype)
    image = nib.Nifti1Image(data.astype(dtype), GRID.affine_ijk_to_ras, header)
    scan = read_scan(phantoms.save(image, tmp_path / "a.nii"))
    np.testing.assert_array_equal(scan.data, data)


def test_intensities_are_scaled(tmp_path: Path) -> None:
    image = phantoms.nifti(GRID, HEAD.round().astype(np.int16))
    path = phantoms.save(image, tmp_path / "a.nii")
    scan = read_scan(phantoms.patched(path, SLOPE, struct.pack("<2f", 0.5, -3.0)))
    np.testing.assert_array_equal(scan.data, HEAD.round() * 0.5 - 3)
    np.testing.assert_array_equal(scan.data, nib.load(path).get_fdata())


def test_infinite_scaling_is_left_out_and_said(tmp_path: Path) -> None:
    scan = read_scan(_patched(tmp_path, SLOPE, "f", np.inf))
    assert _finding(scan, "intensity_scaling")[0] == "mended"
    np.testing.assert_array_equal(scan.data, HEAD)


@pytest.mark.parametrize("size", [0.0, -5.0, np.nan])
def test_bad_voxel_sizes_are_mended_from_the_affine(tmp_path: Path, size: float) -> None:
    scan = read_scan(_patched(tmp_path, PIXDIM + 8, "f", size))
    assert _finding(scan, "voxel_size")[0] == "mended"
    assert scan.grid.same_as(GRID)


def test_bad_voxel_sizes_without_an_affine_are_refused(tmp_path: Path) -> None:
    path = _patched(tmp_path, SFORM_CODE - 2, "hh", 0, 0)
    phantoms.patched(path, PIXDIM + 8, struct.pack("<f", 0.0))
    with pytest.raises(ScanError, match="voxel sizes must be positive"):
        read_scan(path)


def test_voxel_sizes_that_differ_from_the_affine_are_reported(tmp_path: Path) -> None:
    path = _patched(tmp_path, SFORM_CODE - 2, "hh", 0, 1)
    phantoms.patched(path, PIXDIM + 8, struct.pack("<f", 4.0))
    severity, value = _finding(read_scan(path), "voxel_size")
    assert severity == "warning"
    assert value == [5.0, 4.0, 5.0]


def test_metres_that_can_only_be_millimetres_are_mended(tmp_path: Path) -> None:
    scan = read_scan(_patched(tmp_path, UNITS, "B", 1))
    assert _finding(scan, "unit_of_length")[0] == "mended"
    assert scan.grid.same_as(GRID)


def test_micrometres_become_millimetres(tmp_path: Path) -> None:
    image = phantoms.nifti(GRID)
    in_um = np.diag([1000.0, 1000.0, 1000.0, 1.0]) @ GRID.affine_ijk_to_ras
    image.set_sform(in_um, 1)
    image.set_qform(in_um, 1)
    image.header.set_xyzt_units("micron")
    assert read_scan(phantoms.save(image, tmp_path / "a.nii")).grid.same_as(GRID)


def test_an_offset_inside_the_header_is_mended(tmp_path: Path) -> None:
    scan = read_scan(_patched(tmp_path, VOX_OFFSET, "f", 0.0))
    assert _finding(scan, "voxel_offset")[0] == "mended"
    np.testing.assert_array_equal(scan.data, HEAD)


@pytest.mark.parametrize("offset", [np.nan, np.inf, 1e9])
def test_an_absurd_offset_is_refused(tmp_path: Path, offset: float) -> None:
    with pytest.raises(ScanError, match=r"offset|begin soon after"):
        read_scan(_patched(tmp_path, VOX_OFFSET, "f", offset))


def test_a_broken_sform_gives_way_to_the_qform(tmp_path: Path) -> None:
    scan = read_scan(_patched(tmp_path, SROW_X, "4f", *[np.nan] * 4))
    assert _finding(scan, "broken_sform") == ("mended", "qform")
    assert scan.grid.same_as(GRID)


def test_a_type_that_nifti_does_not_define_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match=r"voxel type must be one that NIfTI defines .*127"):
        read_scan(_patched(tmp_path, DATATYPE, "h", 127))


def test_a_damaged_number_of_dimensions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match="1 to 7 dimensions"):
        read_scan(_patched(tmp_path, 40, "h", 12))
