from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import pytest

from fibromorph.errors import ScanError
from fibromorph.scans import ReadLimits, read_scan
from fibromorph.scans.bounded import Stream
from tests.scans import phantoms

GRID = phantoms.ras_grid((24, 26, 22), (5.0, 5.0, 5.0))
MEGABYTE = 2**20


def _peak_while_refused(path: Path, message: str) -> int:
    tracemalloc.start()
    try:
        with pytest.raises(ScanError, match=message):
            read_scan(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_a_truncated_gzip_is_named_as_such(tmp_path: Path, share: float) -> None:
    path = phantoms.save(phantoms.nifti(GRID), tmp_path / "a.nii.gz")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ScanError, match=r"a\.nii\.gz: .*truncated"):
        read_scan(path)


def test_a_damaged_gzip_is_named_as_such(tmp_path: Path) -> None:
    path = phantoms.save(phantoms.nifti(GRID), tmp_path / "a.nii.gz")
    size = path.stat().st_size
    phantoms.patched(path, size - 8, b"\0\0\0\0")
    with pytest.raises(ScanError, match="damaged"):
        read_scan(path)


def test_a_truncated_uncompressed_file_says_how_much_is_missing(tmp_path: Path) -> None:
    path = phantoms.save(phantoms.nifti(GRID), tmp_path / "a.nii")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ScanError, match=r"100 of .* bytes missing"):
        read_scan(path)


def test_a_bomb_behind_the_voxels_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    content = phantoms.nifti(GRID).to_bytes() + bytes(256 * MEGABYTE)
    path = tmp_path / "bomb.nii.gz"
    path.write_bytes(gzip.compress(content, 1))
    del content
    assert _peak_while_refused(path, "far more than its header promises") < 64 * MEGABYTE


def test_a_promise_of_voxels_that_are_not_there_takes_no_memory(tmp_path: Path) -> None:
    path = phantoms.save(phantoms.nifti(GRID), tmp_path / "a.nii")
    dims = (3, 500, 500, 500, 1)
    phantoms.patched(path, 40, b"".join(d.to_bytes(2, "little") for d in dims))
    path.with_suffix(".nii.gz").write_bytes(gzip.compress(path.read_bytes()))
    peak = _peak_while_refused(path.with_suffix(".nii.gz"), "truncated")
    assert peak < 16 * MEGABYTE


def test_absurd_dimensions_are_refused_before_the_memory_is_taken(tmp_path: Path) -> None:
    path = phantoms.save(phantoms.nifti(GRID), tmp_path / "a.nii")
    phantoms.patched(path, 40, b"\x03\0" + b"\xff\x7f" * 3)
    assert _peak_while_refused(path, "at most 134217728 voxels.*32767, 32767, 32767") < MEGABYTE


def test_a_file_over_the_limit_is_refused_unread(tmp_path: Path) -> None:
    path = phantoms.save(phantoms.nifti(GRID), tmp_path / "a.nii")
    with pytest.raises(ScanError, match="at most 1000 bytes"):
        read_scan(path, limits=ReadLimits(max_bytes=1000))


def test_a_stream_gives_what_is_asked_for_and_no_more() -> None:
    stream = Stream(gzip.compress(b"abcdefgh"), ReadLimits(), Path("a"))
    assert stream.take(3) == b"abc"
    stream.skip(2)
    assert stream.finish() == b"fgh"
