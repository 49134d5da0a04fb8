from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fibromorph.errors import ScanError
from fibromorph.scans import Scan, read_scan
from fibromorph.scans.read import scan_stem, scans_in
from tests.scans import phantoms

GRID = phantoms.ras_grid((24, 26, 22), (5.0, 5.0, 5.0))
NIFTI_1, NIFTI_2 = (phantoms.nifti(GRID, version=v).to_bytes() for v in (1, 2))
MGH = nib.MGHImage(phantoms.head(GRID), GRID.affine_ijk_to_ras).to_bytes()


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("sub-01_T1w.nii.gz", "sub-01_T1w"),
        ("a.b.nii", "a.b"),
        ("orig.MGZ", "orig"),
        ("visit 2.zip", "visit 2"),
        ("series", "series"),
        (".nii", ".nii"),
    ],
)
def test_the_stem_is_the_name_without_its_suffix(name: str, stem: str) -> None:
    assert scan_stem(Path("folder") / name) == stem


def test_what_a_file_is_is_told_from_its_content(tmp_path: Path) -> None:
    path = phantoms.save(phantoms.nifti(GRID), tmp_path / "a.nii.gz")
    misnamed = tmp_path / "b.mgz"
    shutil.copy(path, misnamed)
    scan = read_scan(misnamed)
    assert scan.format == "NIfTI-1"
    assert scan.stem == "b"
    assert scan.source == misnamed
    assert scan.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("content", [b"\x89PNG\r\n", b"%PDF-1.7 ...", b"hello, I am text" * 40])
def test_another_kind_of_file_gets_one_clear_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "picture.nii"
    path.write_bytes(content)
    with pytest.raises(ScanError, match=r"picture\.nii: a scan must be NIfTI .* DICOM series"):
        read_scan(path)


def test_an_analyze_pair_is_told_to_be_converted(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(phantoms.head(GRID), GRID.affine_ijk_to_ras), tmp_path / "a.img")
    with pytest.raises(ScanError, match=r"convert \.hdr/\.img"):
        read_scan(tmp_path / "a.hdr")


@pytest.mark.parametrize("content", [b"", b"abc"])
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.nii").write_bytes(content)
    with pytest.raises(ScanError, match="must hold a header and voxels"):
        read_scan(tmp_path / "a.nii")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match=r"gone\.nii: a scan must be an existing file"):
        read_scan(tmp_path / "gone.nii")


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.nii")
    with pytest.raises(ScanError, match="existing file"):
        read_scan(tmp_path / "pipe.nii")


def test_a_folder_without_slices_says_what_to_give(tmp_path: Path) -> None:
    phantoms.save(phantoms.nifti(GRID), tmp_path / "a.nii")
    with pytest.raises(ScanError, match=r"must hold scans or the slices of a DICOM series"):
        read_scan(tmp_path)


def test_of_freesurfers_images_the_scan_is_taken(tmp_path: Path) -> None:
    for name in ("T1.mgz", "aseg.mgz", "brainmask.mgz", "norm.mgz", "nu.mgz", "orig.mgz"):
        (tmp_path / name).touch()
    assert scans_in(tmp_path) == [tmp_path / "orig.mgz"]


def test_a_folder_stands_for_the_scans_in_it(tmp_path: Path) -> None:
    for name in ("b.nii.gz", "a.mgz", "a.json", ".c.nii", "a_dseg.nii.gz", "a_seg-X_dseg.nii.gz"):
        (tmp_path / name).write_bytes(b"")
    assert scans_in(tmp_path) == [tmp_path / "a.mgz", tmp_path / "b.nii.gz"]
    assert scans_in(tmp_path / "a.mgz") == [tmp_path / "a.mgz"]
    for name in ("c_T1w.nii.gz", "c_T2w.nii.gz", "c_space-conformed_T1w.nii.gz", "d.1_dseg.nii.gz"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in scans_in(tmp_path)] == ["a.mgz", "b.nii.gz", "c_T1w.nii.gz"]


def test_a_series_with_a_converted_copy_stays_a_series(tmp_path: Path) -> None:
    (tmp_path / "copy.nii.gz").write_bytes(b"")
    (tmp_path / "IM0001").write_bytes(b"\0" * 128 + b"DICM")
    assert scans_in(tmp_path) == [tmp_path]


def _read_damaged(path: Path, content: bytes, edits: list[tuple[int, int]]) -> Scan | None:
    damaged = bytearray(content)
    for at, value in edits:
        damaged[at] = value
    path.write_bytes(bytes(damaged))
    try:
        return read_scan(path)
    except ScanError:
        return None


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("content", "header_bytes"), [(NIFTI_1, 352), (NIFTI_2, 544), (MGH, 90)], ids=["1", "2", "mgh"]
)
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_damage_to_a_header_is_mended_or_refused(
    tmp_path: Path, content: bytes, header_bytes: int, data: st.DataObject
) -> None:
    edit = st.tuples(st.integers(0, header_bytes - 1), st.integers(0, 255))
    edits = data.draw(st.lists(edit, min_size=1, max_size=4))
    scan = _read_damaged(tmp_path / "damaged", content, edits)
    if scan is not None:
        assert np.isfinite(scan.data).all()
        assert np.isfinite(scan.grid.affine_ijk_to_ras).all()
        assert scan.grid.voxel_ml > 0
