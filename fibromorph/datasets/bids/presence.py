"""Whether a scan is really there: annexed files that were not fetched, stubs, broken headers."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np

from fibromorph.scans.scan import ReadLimits

HEADER_BYTES = 544
"""Enough for NIfTI-2; NIfTI-1 needs 348."""

NOT_HERE = "annexed, its content is not here (git annex get, datalad get)"


def why_not_readable(path: Path) -> str | None:
    """Why a NIfTI file cannot be segmented, as far as its first bytes tell; None if it may be.

    Opens the file once and reads less than a kilobyte of it.
    """
    if path.is_symlink() and not path.exists():
        target = os.readlink(path)
        return NOT_HERE if "annex/objects" in target else f"a link to nowhere ({target})"
    try:
        head = _first_bytes(path)
    except (OSError, EOFError, zlib.error) as error:
        return f"cannot be read ({error})"
    if b"annex/objects" in head[:200]:
        return NOT_HERE
    return "empty file" if not head else _why_not_a_head(head)


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as stream:
        start = stream.read(HEADER_BYTES)
    if start[:2] != b"\x1f\x8b":
        return start
    with gzip.open(path) as stream:
        return stream.read(HEADER_BYTES)


def _why_not_a_head(head: bytes) -> str | None:
    shape = _shape(head)
    if shape is None:
        return "not NIfTI"
    space = [n for n in shape[:3] if n > 0]
    smallest = ReadLimits().min_slices
    if len(space) < 3 or min(space) < smallest:
        return f"{' x '.join(map(str, shape))} voxels: fewer than {smallest} slices"
    if np.prod(shape[3:]) > 1:
        return f"{' x '.join(map(str, shape))} voxels: several volumes in one file"
    return None


def _shape(head: bytes) -> tuple[int, ...] | None:
    """The image's shape by a NIfTI-1 or NIfTI-2 header of either byte order."""
    for kind in (nib.Nifti1Header, nib.Nifti2Header):
        size = kind.sizeof_hdr
        if len(head) >= size and head[:4] in (struct.pack("<i", size), struct.pack(">i", size)):
            try:
                return tuple(int(n) for n in kind(head[:size], check=False).get_data_shape())
            except (ValueError, nib.spatialimages.HeaderDataError):
                return None
    return None
