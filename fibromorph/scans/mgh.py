"""FreeSurfer's MGH, gzip-compressed (MGZ) or not."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.freesurfer.mghformat import MGHHeader

from fibromorph.errors import ScanError
from fibromorph.grid import Grid
from fibromorph.scans.bounded import Stream
from fibromorph.scans.doctor import Claim, check_dtype, check_grid, check_shape, choose_affine
from fibromorph.scans.scan import Finding, ReadLimits, Volume

VERSION = (1).to_bytes(4, "big")
VOXELS_AT = 284
GOOD_RAS_AT = 28
# The flag, voxel sizes of 1 mm, axes to the left, down and to the front, centre at 0.
DEFAULT_PLACE = struct.pack(">h15f", 1, *(1, 1, 1), *(-1, 0, 0), *(0, 0, -1), *(0, 1, 0), 0, 0, 0)
DTYPES = {0: ">u1", 1: ">i4", 3: ">f4", 4: ">i2", 10: ">u2"}


def is_mgh(head: bytes) -> bool:
    """True if the first four bytes are MGH's version number."""
    return head[:4] == VERSION


def read_mgh(head: bytes, stream: Stream, limits: ReadLimits, subject: Path, sha256: str) -> Volume:
    """Header, rules, then voxels; arguments and errors as `read_nifti`'s."""
    block = head + stream.take(VOXELS_AT - 4)
    block, orientation_findings = _with_orientation(block)
    header = MGHHeader(block, check=False)
    dims = [int(d) for d in header["dims"]]
    shape, findings = check_shape(dims[:3] if dims[3] == 1 else dims, limits, subject)
    dtype = _dtype(header, subject)
    affine, place_findings = choose_affine(
        Claim("affine", np.asarray(header.get_affine(), dtype=float)),
        Claim("qform", None),
        header["delta"].astype(float),
        shape,
        subject,
    )
    findings = (*findings, *orientation_findings, *place_findings)
    findings = (*findings, *check_grid(Grid(shape, affine), limits, subject))
    raw = np.frombuffer(stream.take(int(np.prod(shape)) * dtype.itemsize), dtype)
    stream.finish()
    data = raw.reshape(shape, order="F").astype(np.float32)
    return Volume(data, affine, "MGH", sha256, findings)


def _dtype(header: Any, subject: Path) -> np.dtype[np.generic]:
    code = int(header["type"])
    if code not in DTYPES:
        rule = f"an MGH scan's voxel type must be one of {sorted(DTYPES)}"
        raise ScanError(rule, value=code, subject=subject)
    dtype = np.dtype(DTYPES[code])
    check_dtype(dtype, subject)
    return dtype


def _with_orientation(block: bytes) -> tuple[bytes, tuple[Finding, ...]]:
    if int.from_bytes(block[GOOD_RAS_AT : GOOD_RAS_AT + 2], "big"):
        return block, ()
    # Not left to nibabel: its default is the transpose of FreeSurfer's, upside down.
    end = GOOD_RAS_AT + len(DEFAULT_PLACE)
    message = (
        "The header gives no orientation: FreeSurfer's default (left, down, front; 1 mm) was "
        "taken. Which side is left is a guess."
    )
    finding = Finding("no_orientation", "warning", message, None)
    return block[:GOOD_RAS_AT] + DEFAULT_PLACE + block[end:], (finding,)
