"""Bytes from files that may be damaged, lying about their size, or hostile."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import BinaryIO

from fibromorph.errors import ScanError
from fibromorph.scans.scan import ReadLimits

GZIP_MAGIC = b"\x1f\x8b"
CHUNK = 1 << 22


def read_file(path: Path, limits: ReadLimits) -> bytes:
    """All bytes of an ordinary file.

    Raises:
        ScanError: missing, unreadable, empty, not an ordinary file, or too large.
    """
    return first_bytes(path, limits, -1)


def first_bytes(path: Path, limits: ReadLimits, n_bytes: int) -> bytes:
    """The first `n_bytes` of an ordinary file (-1: all); errors as `read_file`'s."""
    try:
        # A pipe or device would never end.
        if not path.is_file():
            raise ScanError("a scan must be an existing file or folder", subject=path)
        _check_file_size(path.stat().st_size, limits, path)
        with path.open("rb") as file:
            return file.read(n_bytes)
    except OSError as error:
        raise ScanError("a scan must be readable", value=error.strerror, subject=path) from error


def _check_file_size(size: int, limits: ReadLimits, path: Path) -> None:
    if size > limits.max_bytes:
        rule = f"a scan file may have at most {limits.max_bytes} bytes"
        raise ScanError(rule, value=size, subject=path)
    if size < 4:
        rule = "a scan file must hold a header and voxels"
        raise ScanError(rule, value=f"{size} bytes", subject=path)


class Stream:
    """A file's content, decompressed as far as it is asked for and no further.

    Args:
        content: the file's bytes, gzip-compressed or not.
        limits: what may come out of it.
        subject: the file named in errors.
    """

    def __init__(self, content: bytes, limits: ReadLimits, subject: Path) -> None:
        self.compressed = content[:2] == GZIP_MAGIC
        self._limits = limits
        self._subject = subject
        raw = io.BytesIO(content)
        self._file: BinaryIO = gzip.GzipFile(fileobj=raw) if self.compressed else raw  # type: ignore[assignment]

    def take(self, n_bytes: int) -> bytes:
        """The next `n_bytes`.

        Raises:
            ScanError: fewer are there, more than the limit were asked for, or they are damaged.
        """
        if n_bytes > self._limits.max_bytes:
            rule = f"a scan may have at most {self._limits.max_bytes} bytes once decompressed"
            raise ScanError(rule, value=n_bytes, subject=self._subject)
        found = self._read(n_bytes)
        if len(found) < n_bytes:
            rule = "the file must hold all the voxels its header promises: it is truncated"
            missing = f"{n_bytes - len(found)} of {n_bytes} bytes missing"
            raise ScanError(rule, value=missing, subject=self._subject)
        return found

    def skip(self, n_bytes: int) -> None:
        """Pass over what lies before the voxels, within the limit for such extras."""
        if n_bytes > self._limits.max_trailing_bytes:
            rule = "the voxels must begin soon after the header"
            raise ScanError(rule, value=f"at byte {n_bytes}", subject=self._subject)
        self.take(n_bytes)

    def finish(self) -> bytes:
        """What follows the voxels, read to the end so that a gzip checksum is verified.

        Raises:
            ScanError: much more follows than a header's trailer, or the checksum is wrong.
        """
        limit = self._limits.max_trailing_bytes
        rest = self._read(limit + 1)
        if len(rest) > limit:
            rule = "the file must not hold far more than its header promises"
            value = f"over {limit} bytes after the voxels"
            raise ScanError(rule, value=value, subject=self._subject)
        return rest

    def _read(self, n_bytes: int) -> bytes:
        try:
            return _read_up_to(self._file, n_bytes)
        except EOFError as error:
            rule = "the gzip stream must be complete: it is truncated, copy the file again"
            raise ScanError(rule, subject=self._subject) from error
        except (OSError, zlib.error) as error:
            rule = "the gzip stream must be intact: it is damaged, copy the file again"
            raise ScanError(rule, value=str(error), subject=self._subject) from error


def _read_up_to(file: BinaryIO, n_bytes: int) -> bytes:
    # In pieces: a header's promise is not worth its memory until the bytes are there.
    pieces = []
    while n_bytes > 0 and (piece := file.read(min(n_bytes, CHUNK))):
        pieces.append(piece)
        n_bytes -= len(piece)
    return b"".join(pieces)
