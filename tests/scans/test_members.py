from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from fibromorph.errors import ScanError
from fibromorph.scans import ReadLimits, read_scan


@pytest.mark.parametrize("name", ["../evil.dcm", "/etc/evil.dcm", "a/../../evil.dcm", "C:\\e.dcm"])
def test_names_that_leave_the_zip_are_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(ScanError, match="must stay inside it"):
        read_scan(tmp_path / "a.zip")
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link.dcm")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, b"/etc/passwd")
    with pytest.raises(ScanError, match="must not hold links"):
        read_scan(tmp_path / "a.zip")


def test_a_zip_bomb_is_refused_by_what_it_declares(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("big.dcm", bytes(5_000_000))
    with pytest.raises(ScanError, match="at most 1000000 bytes, unpacked"):
        read_scan(tmp_path / "a.zip", limits=ReadLimits(max_bytes=1_000_000))


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"{number}.dcm").write_bytes(b"x")
    with pytest.raises(ScanError, match=r"at most 3 files.*4"):
        read_scan(tmp_path, limits=ReadLimits(max_files=3))


def test_a_damaged_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04" + bytes(50))
    with pytest.raises(ScanError, match="zip must be intact"):
        read_scan(tmp_path / "a.zip")
