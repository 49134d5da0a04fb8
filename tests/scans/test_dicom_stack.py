from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from fibromorph.errors import ScanError
from fibromorph.scans import read_scan
from tests.scans import phantoms

GRID = phantoms.stored_as(phantoms.ras_grid((36, 40, 24), (4.0, 4.0, 5.0)), "LPS")
HEAD = phantoms.head(GRID).round()
T1: dict[str, Any] = {"SeriesDescription": "t1", **phantoms.T1_FIELDS}


def test_a_missing_slice_is_noticed_filled_and_placed(tmp_path: Path) -> None:
    scan = read_scan(phantoms.write_series(tmp_path / "s", GRID, missing=(10,), **T1))
    [finding] = [f for f in scan.findings if f.code == "missing_slices"]
    assert finding.severity == "warning"
    assert finding.value == {"missing": 1, "of": 24, "at": [11]}
    assert scan.grid.same_as(GRID)
    np.testing.assert_allclose(scan.data[:, :, 10], (HEAD[:, :, 9] + HEAD[:, :, 11]) / 2)
    np.testing.assert_array_equal(np.delete(scan.data, 10, 2), np.delete(HEAD, 10, 2))


@pytest.mark.parametrize("missing", [(10, 11), (4, 9, 14)])
def test_larger_gaps_are_refused_with_their_places(
    tmp_path: Path, missing: tuple[int, ...]
) -> None:
    folder = phantoms.write_series(tmp_path / "s", GRID, missing=missing, **T1)
    with pytest.raises(ScanError, match=f"{len(missing)} of 24 missing, at {missing[0] + 1}, "):
        read_scan(folder)


def test_a_slice_missing_at_the_start_leaves_a_gap_in_the_numbers(tmp_path: Path) -> None:
    scan = read_scan(phantoms.write_series(tmp_path / "s", GRID, missing=(0, 1), **T1))
    [finding] = [f for f in scan.findings if f.code == "missing_end_slices"]
    assert finding.value == 2


def test_a_slice_stored_twice_counts_once(tmp_path: Path) -> None:
    folder = phantoms.write_series(tmp_path / "s", GRID, **T1)
    shutil.copy(folder / "s1_003.dcm", folder / "copy.dcm")
    other = pydicom.dcmread(folder / "s1_003.dcm")
    other.ContentTime = "120000"
    other.save_as(folder / "copy.dcm")
    scan = read_scan(folder)
    assert "duplicate_slices" in phantoms.codes(scan)
    np.testing.assert_array_equal(scan.data, HEAD)


def test_a_series_exported_twice_is_one_series(tmp_path: Path) -> None:
    folder = phantoms.write_series(tmp_path / "s", GRID, **T1)
    shutil.copytree(folder, folder / "again")
    scan = read_scan(folder)
    assert "duplicate_slices" not in phantoms.codes(scan)
    np.testing.assert_array_equal(scan.data, HEAD)


def test_directions_that_differ_by_rounding_are_one_series(tmp_path: Path) -> None:
    folder = phantoms.write_series(tmp_path / "s", GRID, SeriesInstanceUID="1.2.3", **T1)
    for number, file in enumerate(sorted(folder.iterdir())):
        one = pydicom.dcmread(file)
        first = [float(v) for v in one.ImageOrientationPatient]
        first[1] = 0.005 + (-1) ** number * 1e-6
        one.ImageOrientationPatient = first
        one.save_as(file)
    assert read_scan(folder).data.shape == HEAD.shape


def test_slices_of_another_pixel_size_are_another_series(tmp_path: Path) -> None:
    folder = phantoms.write_series(tmp_path / "s", GRID, SeriesInstanceUID="1.2.3", **T1)
    files = sorted(folder.iterdir())
    for file in files[: len(files) // 4]:
        one = pydicom.dcmread(file)
        one.PixelSpacing = [2 * float(mm) for mm in one.PixelSpacing]
        one.save_as(file)
    assert read_scan(folder).data.shape[2] == HEAD.shape[2] - len(files) // 4


def test_a_series_of_dark_for_bright_is_inverted(tmp_path: Path) -> None:
    folder = phantoms.write_series(
        tmp_path / "s", GRID, PhotometricInterpretation="MONOCHROME1", **T1
    )
    scan = read_scan(folder)
    assert "monochrome1" in phantoms.codes(scan)
    np.testing.assert_array_equal(scan.data, HEAD.max() - HEAD)


def test_files_without_a_preamble_are_dicom(tmp_path: Path) -> None:
    folder = phantoms.write_series(tmp_path / "s", GRID, **T1)
    for file in folder.iterdir():
        one = pydicom.dcmread(file)
        bare = pydicom.Dataset()
        for element in one:
            bare.add(element)
        pydicom.dcmwrite(
            file, bare, implicit_vr=True, little_endian=True, enforce_file_format=False
        )
    assert (sorted(folder.iterdir())[0]).read_bytes()[128:132] != b"DICM"
    np.testing.assert_array_equal(read_scan(folder).data, HEAD)
    with pytest.raises(ScanError, match="series"):  # one slice is no volume, but it is DICOM
        read_scan(sorted(folder.iterdir())[0])


def test_a_time_series_is_refused(tmp_path: Path) -> None:
    folder = phantoms.write_series(tmp_path / "s", GRID, SeriesInstanceUID="1.2.3", **T1)
    for file in list(folder.iterdir()):
        later = pydicom.dcmread(file)
        later.ContentTime = "120000"
        later.save_as(folder / f"again_{file.name}")
    with pytest.raises(ScanError, match=r"one volume.*48 slices at 24 places"):
        read_scan(folder)


def test_uneven_slices_are_refused(tmp_path: Path) -> None:
    folder = phantoms.write_series(tmp_path / "s", GRID, **T1)
    dataset = pydicom.dcmread(folder / "s1_007.dcm")
    dataset.ImagePositionPatient[2] += 2.0
    dataset.save_as(folder / "s1_007.dcm")
    with pytest.raises(ScanError, match="evenly spaced"):
        read_scan(folder)


def test_an_oblique_series_lies_where_it_was_taken(tmp_path: Path) -> None:
    grid = phantoms.turned(GRID, 15.0)
    scan = read_scan(phantoms.write_series(tmp_path / "s", grid, **T1))
    assert scan.grid.same_as(grid, 0.01)
    np.testing.assert_array_equal(scan.data, phantoms.head(grid).round())


def test_grey_values_are_rescaled(tmp_path: Path) -> None:
    fields = {**T1, "RescaleSlope": 2, "RescaleIntercept": -5}
    scan = read_scan(phantoms.write_series(tmp_path / "s", GRID, **fields))
    np.testing.assert_array_equal(scan.data, 2 * HEAD - 5)


def test_one_multi_frame_file(tmp_path: Path) -> None:
    scan = read_scan(phantoms.write_multiframe(tmp_path / "a.dcm", GRID))
    np.testing.assert_array_equal(scan.data, HEAD)
    assert scan.grid.same_as(GRID, 0.01)


def test_pixels_that_are_cut_off_are_refused(tmp_path: Path) -> None:
    folder = phantoms.write_series(tmp_path / "s", GRID, **T1)
    file = folder / "s1_005.dcm"
    file.write_bytes(file.read_bytes()[:-500])
    with pytest.raises(ScanError, match=r"pixels of every slice.*s1_005"):
        read_scan(folder)


def test_a_damaged_field_costs_one_slice(tmp_path: Path) -> None:
    folder = phantoms.write_series(tmp_path / "s", GRID, **T1)
    dataset = pydicom.dcmread(folder / "s1_007.dcm")
    del dataset.ImagePositionPatient
    dataset.save_as(folder / "s1_007.dcm")
    assert "missing_slices" in phantoms.codes(read_scan(folder))


def test_absurd_rows_are_refused_before_decoding(tmp_path: Path) -> None:
    fields = {**T1, "Rows": 65535, "Columns": 65535}
    folder = phantoms.write_series(tmp_path / "s", GRID, **fields)
    with pytest.raises(ScanError, match="at most 134217728 voxels"):
        read_scan(folder)
