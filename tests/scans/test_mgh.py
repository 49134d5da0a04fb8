from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fibromorph.errors import ScanError
from fibromorph.scans import read_scan
from tests.scans import phantoms

GRID = phantoms.stored_as(phantoms.ras_grid((24, 26, 22), (5.0, 5.0, 5.0)), "LIA")
FRAMES_AT, TYPE_AT, GOOD_RAS_AT, DELTA_AT = 16, 20, 28, 30


def _save(path: Path, dtype: type[np.generic] = np.float32) -> Path:
    data = phantoms.head(GRID).round().clip(0, 255).astype(dtype)
    return phantoms.save(nib.MGHImage(data, GRID.affine_ijk_to_ras), path)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32])
@pytest.mark.parametrize("name", ["a.mgh", "a.mgz"])
def test_voxels_and_place_are_read(tmp_path: Path, name: str, dtype: type[np.generic]) -> None:
    scan = read_scan(_save(tmp_path / name, dtype))
    assert scan.format == "MGH"
    assert scan.stem == "a"
    assert scan.grid.same_as(GRID)
    np.testing.assert_array_equal(scan.data, phantoms.head(GRID).round().clip(0, 255))


def test_an_unset_orientation_is_said_to_be_a_guess(tmp_path: Path) -> None:
    path = phantoms.patched(_save(tmp_path / "a.mgh"), GOOD_RAS_AT, b"\0\0")
    scan = read_scan(path)
    assert "no_orientation" in phantoms.codes(scan)
    assert nib.aff2axcodes(scan.grid.affine_ijk_to_ras) == ("L", "I", "A")


@pytest.mark.parametrize(
    ("at", "content", "message"),
    [
        (FRAMES_AT, b"\0\0\0\x05", "one volume, not a series.*5 volumes"),
        (TYPE_AT, b"\0\0\0\x02", "voxel type must be one of"),
        (DELTA_AT, b"\x7f\xc0\0\0", "finite and invertible"),
        (DELTA_AT, b"\0\0\0\0", "finite and invertible"),
    ],
)
def test_broken_headers_are_refused(tmp_path: Path, at: int, content: bytes, message: str) -> None:
    with pytest.raises(ScanError, match=message):
        read_scan(phantoms.patched(_save(tmp_path / "a.mgh"), at, content))


def test_a_truncated_mgz_is_named_as_such(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.mgz")
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ScanError, match="truncated"):
        read_scan(path)
