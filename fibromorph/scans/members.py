"""The files of a DICOM folder or zip, read one at a time and never written anywhere."""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from fibromorph.errors import ScanError
from fibromorph.scans.scan import ReadLimits

ZIP_MAGIC = b"PK"
ENCRYPTED = 0x1


@dataclass(frozen=True)
class Member:
    """One file: its name inside the folder or zip, and how to get its bytes."""

    name: str
    read: Callable[[], bytes]


def folder_members(folder: Path, limits: ReadLimits) -> list[Member]:
    """The ordinary files below a folder, sorted by name.

    Raises:
        ScanError: more files, or more bytes, than the limits allow; or unreadable.
    """
    paths: list[Path] = []
    n_bytes = 0
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        found = [Path(root, n) for n in sorted(names) if not n.startswith(".")]
        found = [p for p in found if p.is_file()]
        paths += found
        n_bytes += sum(p.stat().st_size for p in found)
        _check_totals(len(paths), n_bytes, limits, folder)
    return [Member(str(p.relative_to(folder)), _file_reader(p)) for p in paths]


def _file_reader(path: Path) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise ScanError(
                "a slice must be readable", value=error.strerror, subject=path
            ) from error

    return read


@contextmanager
def zip_members(path: Path, limits: ReadLimits) -> Iterator[list[Member]]:
    """The files of a zip, sorted by name, read in memory and only as far as the zip declares.

    Raises:
        ScanError: damaged, encrypted, hostile (names that leave the zip, links), or over a limit.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise ScanError("a zip must be intact", value=str(error), subject=path) from error
    with archive:
        infos = archive.infolist()
        _check_totals(len(infos), sum(i.file_size for i in infos), limits, path)
        for info in infos:
            _check_member(info, path)
        files = sorted((i for i in infos if _is_content(i)), key=lambda i: i.filename)
        yield [Member(i.filename, _zip_reader(archive, i, path)) for i in files]


def _check_totals(n_files: int, n_bytes: int, limits: ReadLimits, subject: Path) -> None:
    if n_files > limits.max_files:
        rule = f"a DICOM folder or zip may hold at most {limits.max_files} files"
        raise ScanError(rule, value=n_files, subject=subject)
    if n_bytes > limits.max_bytes:
        rule = f"a DICOM folder or zip may hold at most {limits.max_bytes} bytes, unpacked"
        raise ScanError(rule, value=n_bytes, subject=subject)


def _check_member(info: zipfile.ZipInfo, subject: Path) -> None:
    parts = PurePosixPath(info.filename.replace("\\", "/"))
    drive = PureWindowsPath(info.filename).drive
    if parts.is_absolute() or ".." in parts.parts or drive:
        rule = "the names in a zip must stay inside it"
        raise ScanError(rule, value=info.filename[:80], subject=subject)
    if stat.S_ISLNK(info.external_attr >> 16):
        raise ScanError("a zip must not hold links", value=info.filename[:80], subject=subject)
    if info.flag_bits & ENCRYPTED:
        raise ScanError("a zip must not be encrypted: unpack it first", subject=subject)


def _is_content(info: zipfile.ZipInfo) -> bool:
    name = PurePosixPath(info.filename).name
    return not info.is_dir() and not name.startswith(".") and "__MACOSX" not in info.filename


def _zip_reader(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            # ZipFile.read stops at the declared size, whatever the stream would still give.
            return archive.read(info)
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
            rule = "every file in a zip must be intact"
            value = f"{info.filename[:80]}: {error}"
            raise ScanError(rule, value=value, subject=path) from error

    return read
