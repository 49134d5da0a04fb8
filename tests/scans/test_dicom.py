from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fibromorph.errors import ScanError
from fibromorph.scans import Finding, Scan, read_scan
from tests.scans import phantoms

GRID = phantoms.stored_as(phantoms.ras_grid((36, 40, 24), (4.0, 4.0, 5.0)), "LPS")
HEAD = phantoms.head(GRID).round()
T1: dict[str, Any] = {"SeriesDescription": "t1_mprage_sag", **phantoms.T1_FIELDS}
T2: dict[str, Any] = {"SeriesDescription": "t2_tse", **phantoms.T2_FIELDS}


def _finding(scan: Scan, code: str) -> Finding:
    [finding] = [f for f in scan.findings if f.code == code]
    return finding


def _zipped(folder: Path) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"deep/er/{file.name}")
    return path


def test_a_folder_and_its_zip_are_the_same_scan(tmp_path: Path) -> None:
    folder = phantoms.write_series(tmp_path / "series", GRID, **T1)
    for scan in (first := read_scan(folder), second := read_scan(_zipped(folder))):
        np.testing.assert_array_equal(scan.data, HEAD)
        assert scan.grid.same_as(GRID)
        assert (scan.stem, scan.format) == ("series", "DICOM")
    assert first.sha256 == second.sha256


def test_the_t1_is_picked_out_of_a_mixed_folder_and_said_why(tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    phantoms.write_series(folder, GRID.box((0, 0, 0), (36, 40, 20)), number=2, **T2)
    phantoms.write_series(folder, GRID, number=7, **T1)
    phantoms.write_series(folder, GRID, number=1, SeriesDescription="localizer")
    (folder / "readme.txt").write_text("not a slice")
    scan = read_scan(folder)
    np.testing.assert_array_equal(scan.data, HEAD)
    finding = _finding(scan, "dicom_series")
    assert finding.message.startswith("The T1 was taken from series 7: 24 slices, 4.00x4.00x5.00")
    assert "TR 2300 TE 2.9 ms" in finding.message
    assert isinstance(finding.value, dict)
    assert len(finding.value["others"]) == 2


def test_without_words_the_timing_decides(tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    phantoms.write_series(folder, GRID, number=2, **phantoms.T2_FIELDS)
    phantoms.write_series(folder, GRID, number=3, InversionTime=900, **phantoms.T1_FIELDS)
    assert "series 3" in _finding(read_scan(folder), "dicom_series").message


def test_two_likely_series_are_a_warning(tmp_path: Path) -> None:
    for number in (4, 5):
        phantoms.write_series(tmp_path / "twice", GRID, number=number, **T1)
    finding = _finding(read_scan(tmp_path / "twice"), "dicom_series")
    assert finding.severity == "warning"
    assert "series 4" in finding.message
    assert "1 other series" in finding.message


def test_a_folder_without_a_t1_is_refused_and_lists_what_is_there(tmp_path: Path) -> None:
    folder = phantoms.write_series(tmp_path / "t2", GRID, number=2, **T2)
    with pytest.raises(ScanError, match=r"must hold a T1.*series 2: 24 slices"):
        read_scan(folder)


def test_nothing_that_names_a_person_comes_through(tmp_path: Path) -> None:
    folder = phantoms.write_series(
        tmp_path / "s",
        GRID,
        **{**T1, "SeriesDescription": "t1 Jane Doe 4711", "MRAcquisitionType": "JANE DOE"},
    )
    said = repr(read_scan(folder).findings)
    assert not [secret for secret in ("Doe", "Jane", "4711") if secret.lower() in said.lower()]
