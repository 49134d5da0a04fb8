"""FreeSurfer's MGH, gzip-compressed (MGZ) or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from fibromorph.errors import ScanError
from fibromorph.grid import Grid
from fibromorph.scans.bounded import Stream
from fibromorph.scans.doctor import Claim, check_dtype, check_grid, check_shape, choose_affine
from fibromorph.scans.scan import Finding, ReadLimits, Volume

VERSION = (1).to_bytes(4, "big")
VOXELS_AT = 284
GOOD_RAS_AT = 28
DTYPES = {0: ">u1", 1: ">i4", 3: ">f4", 4: ">i2", 10: ">u2"}


def is_mgh(head: bytes) -> bool:
    """True if the first four bytes are MGH's version number."""
    return head[:4] == VERSION


def read_mgh(head: bytes, stream: Stream, limits: ReadLimits, subject: Path, sha256: str) -> Volume:
    """Header, rules, then voxels; arguments and errors as `read_nifti`'s."""
    block = head + stream.take(VOXELS_AT - 4)
    header = nib.freesurfer.MGHHeader(block, check=False)
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
    findings = (*findings, *_check_orientation(block), *place_findings)
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


def _check_orientation(block: bytes) -> tuple[Finding, ...]:
    # nibabel fills in FreeSurfer's default where the flag is unset, and sets the flag.
    if int.from_bytes(block[GOOD_RAS_AT : GOOD_RAS_AT + 2], "big"):
        return ()
    message = (
        "The header gives no orientation: FreeSurfer's default (left, down, front) was taken. "
        "Which side is left is a guess."
    )
    return (Finding("no_orientation", "warning", message, None),)
