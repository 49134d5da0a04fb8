"""Reference labels that belong to a scan."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from fibromorph.errors import LabelError
from fibromorph.grid import Grid
from fibromorph.labels import FREESURFER, LabelTable, to_table
from fibromorph.scans.scan import Scan

GZIP_MAGIC = b"\x1f\x8b"
UNREADABLE = (
    OSError,
    EOFError,
    TypeError,
    ValueError,
    zlib.error,
    HeaderDataError,
    ImageFileError,
)
"""What nibabel, and what it reads with, raise for files that are no images or damaged ones."""
WHOLE = 0.01
"""How far from an id a value may lie: scales in headers have single precision."""

TOLERANCE_MM = 0.1
"""By which the corners of both grids may differ: headers store affines in single precision."""


def read_reference(
    path: Path,
    scan: Scan,
    protocol: str,
    table: LabelTable = FREESURFER,
    *,
    ignore_unknown: bool = False,
) -> NDArray[np.int32]:
    """Reference labels in the ids of `table`, on the scan's voxels.

    Args:
        path: an integer image of any format that nibabel reads.
        scan: that the labels belong to.
        protocol: of the labels, see `labels.to_table`.
        table: whose ids are wanted.
        ignore_unknown: treat ids that the protocol does not have as background.

    Raises:
        LabelError: see `read_ids`; another grid than the scan's, or ids that the protocol does not
            have.
    """
    ids, grid = read_ids(path)
    if not scan.grid.same_as(grid, TOLERANCE_MM):
        rule = f"labels must lie on the grid of their scan, {scan.source.name}"
        found = f"{grid.shape} voxels, not {scan.grid.shape}"
        if grid.shape == scan.grid.shape:
            found = f"corners {scan.grid.apart_mm(grid):.1f} mm apart"
        raise LabelError(rule, value=found, subject=path)
    return to_table(ids, protocol, table, str(path), ignore_unknown=ignore_unknown)


def read_ids(path: Path) -> tuple[NDArray[np.int32], Grid]:
    """A label image as it is: (i, j, k) ids, and where they lie.

    Raises:
        LabelError: not an image of three dimensions, damaged, or with values between the ids.
    """
    try:
        require_whole(path)
        image = nib.load(path)
        values = np.asanyarray(image.dataobj)
    except UNREADABLE as error:
        raise LabelError("labels must be a readable image", value=error, subject=path) from error
    i, j, k = (*image.shape[:3], 1, 1, 1)[:3]
    if len(image.shape) < 3 or values.size != i * j * k:
        raise LabelError("labels must have three dimensions", value=image.shape, subject=path)
    if values.dtype.kind not in "biuf":
        raise LabelError("labels must be numbers", value=values.dtype, subject=path)
    ids = _whole(values, path) if values.dtype.kind == "f" else values
    grid = Grid((i, j, k), np.asarray(image.affine, dtype=float))
    return ids.astype(np.int32).reshape((i, j, k)), grid


def _whole(values: NDArray[np.floating], path: Path) -> NDArray[np.floating]:
    whole: NDArray[np.floating] = np.rint(values)
    # Not a number is no whole one either.
    odd = ~(np.abs(values - whole) <= WHOLE)
    if odd.any():
        rule = "labels must be whole numbers: interpolated ones stand for nothing"
        raise LabelError(rule, value=values[odd][0], subject=path)
    return whole


def require_whole(path: Path) -> None:
    """Decompress all of a gzip file: its checksum lies at the end, where nobody else looks.

    Raises:
        OSError, EOFError, zlib.error: it is damaged, see `UNREADABLE`.
    """
    content = path.read_bytes() if path.is_file() else b""
    if content.startswith(GZIP_MAGIC):
        gzip.decompress(content)
