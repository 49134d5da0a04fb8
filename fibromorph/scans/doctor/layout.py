"""Rules on dimensions and voxel type, checked before any voxel is read."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path

import numpy as np

from fibromorph.errors import ScanError
from fibromorph.grid import Shape3
from fibromorph.scans.scan import Finding, ReadLimits


def check_shape(
    dims: Sequence[int], limits: ReadLimits, subject: Path
) -> tuple[Shape3, tuple[Finding, ...]]:
    """The three spatial dimensions; further ones of length 1 are dropped, with a finding.

    Raises:
        ScanError: not three dimensions, a time series, too few slices, or absurdly large.
    """
    dims = [int(d) for d in dims]
    if len(dims) < 3 or min(dims) < 1:
        raise ScanError(
            "a scan must have three dimensions, all positive", value=dims, subject=subject
        )
    if prod(dims[3:]) > 1:
        rule = (
            "a scan must be one volume, not a series: extract the T1 volume "
            "(for example 'fslroi IN OUT 0 1' or 'mri_convert --frame 0 IN OUT')"
        )
        raise ScanError(rule, value=f"{dims}, {prod(dims[3:])} volumes", subject=subject)
    shape = (dims[0], dims[1], dims[2])
    _check_size(shape, limits, subject)
    if len(dims) == 3:
        return shape, ()
    message = f"The file is {len(dims)}-dimensional with one volume; it was read as 3-D."
    return shape, (Finding("single_volume_4d", "mended", message, list(dims)),)


def _check_size(shape: Shape3, limits: ReadLimits, subject: Path) -> None:
    found = list(shape)
    if prod(shape) > limits.max_voxels:
        rule = f"a scan may have at most {limits.max_voxels} voxels"
        raise ScanError(rule, value=found, subject=subject)
    if min(shape) < limits.min_slices:
        rule = f"a scan must have at least {limits.min_slices} slices along every axis"
        raise ScanError(rule, value=found, subject=subject)


def check_dtype(dtype: np.dtype[np.generic], subject: Path) -> None:
    """Refuse anything but one ordinary number a voxel.

    Raises:
        ScanError: complex, colour, or a type that is not a 1 to 8 byte integer or float.
    """
    if dtype.kind == "c":
        rule = "a scan must be real-valued: save the magnitude image"
        raise ScanError(rule, value=dtype.name, subject=subject)
    if dtype.fields is not None:
        rule = "a scan must have one grey value a voxel, not colours: save it as a grey image"
        raise ScanError(rule, value="RGB", subject=subject)
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        rule = "voxels must be integers or floats of at most 8 bytes"
        raise ScanError(rule, value=dtype.name, subject=subject)
