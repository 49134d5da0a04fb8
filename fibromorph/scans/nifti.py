"""NIfTI-1 and NIfTI-2, one file, gzip-compressed or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from fibromorph.errors import ScanError
from fibromorph.grid import Affine, Grid
from fibromorph.scans.bounded import Stream
from fibromorph.scans.doctor import Claim, check_dtype, check_grid, check_shape, choose_affine
from fibromorph.scans.scan import Finding, ReadLimits, Volume

Endian = Literal["<", ">"]
MAGIC: dict[bytes, tuple[type[Any], Endian, str]] = {
    (348).to_bytes(4, "little"): (nib.Nifti1Header, "<", "NIfTI-1"),
    (348).to_bytes(4, "big"): (nib.Nifti1Header, ">", "NIfTI-1"),
    (540).to_bytes(4, "little"): (nib.Nifti2Header, "<", "NIfTI-2"),
    (540).to_bytes(4, "big"): (nib.Nifti2Header, ">", "NIfTI-2"),
}
UNITS_IN_MM = {1: 1000.0, 2: 1.0, 3: 0.001}
PLAUSIBLE_MM = (0.1, 8.0)


def is_nifti(head: bytes) -> bool:
    """True if the first four bytes are a NIfTI header's size."""
    return head[:4] in MAGIC


def read_nifti(
    head: bytes, stream: Stream, limits: ReadLimits, subject: Path, sha256: str
) -> Volume:
    """Header, rules, then voxels.

    Args:
        head: the first four bytes, already taken from `stream`.
        stream: positioned after them.
        limits: what the scan may be.
        subject: the file named in errors.
        sha256: of the file.

    Raises:
        ScanError: any rule of the header doctor, or a truncated file.
    """
    header_type, endian, name = MAGIC[head]
    size = header_type.sizeof_hdr
    block = head + stream.take(size - 4)
    header = header_type(block, endianness=endian, check=False)
    _check_single_file(header, subject)
    shape, shape_findings = check_shape(_dims(header, subject), limits, subject)
    dtype = _dtype(header, subject)
    affine, place_findings = _affine(header, shape, subject)
    grid_findings = check_grid(Grid(shape, affine), limits, subject)
    offset, offset_findings = _voxel_offset(header, size, subject)
    stream.skip(offset - size)
    raw = np.frombuffer(stream.take(int(np.prod(shape)) * dtype.itemsize), dtype)
    stream.finish()
    data, scale_findings = _scale(header, raw.reshape(shape, order="F"))
    findings = (*shape_findings, *place_findings, *grid_findings, *offset_findings)
    return Volume(data, affine, name, sha256, (*findings, *scale_findings))


def _check_single_file(header: Any, subject: Path) -> None:
    magic = bytes(header["magic"].item())
    if magic != header.single_magic:
        rule = "a NIfTI scan must be one .nii or .nii.gz file: convert .hdr/.img pairs and Analyze"
        raise ScanError(rule, value=f"magic {magic!r}", subject=subject)


def _dims(header: Any, subject: Path) -> list[int]:
    dim = [int(d) for d in header["dim"]]
    if not 1 <= dim[0] <= 7:
        rule = "a NIfTI header must state 1 to 7 dimensions: it is damaged"
        raise ScanError(rule, value=dim[0], subject=subject)
    return dim[1 : dim[0] + 1]


def _dtype(header: Any, subject: Path) -> np.dtype[np.generic]:
    try:
        dtype: np.dtype[np.generic] = np.dtype(header.get_data_dtype())
    except (HeaderDataError, KeyError) as error:
        rule = "the header's voxel type must be one that NIfTI defines"
        raise ScanError(rule, value=int(header["datatype"]), subject=subject) from error
    check_dtype(dtype, subject)
    return dtype


def _affine(
    header: Any, shape: tuple[int, int, int], subject: Path
) -> tuple[Affine, tuple[Finding, ...]]:
    scale = UNITS_IN_MM.get(int(header["xyzt_units"]) & 7, 1.0)
    sizes = header["pixdim"][1:4].astype(float)
    findings = []
    if scale != 1.0 and _all_plausible(sizes):
        message = "The header's unit of length cannot be right; millimetres were assumed."
        findings.append(Finding("unit_of_length", "mended", message, sizes.tolist()))
        scale = 1.0
    to_mm = np.diag([scale, scale, scale, 1.0])
    sform = Claim("sform", _in_mm(to_mm, _sform(header)))
    qform = Claim("qform", _in_mm(to_mm, _qform(header, sizes)))
    affine, chosen = choose_affine(sform, qform, _mended(sizes) * scale, shape, subject)
    return affine, (*findings, *_check_sizes(sizes * scale, affine), *chosen)


def _all_plausible(sizes: NDArray[np.float64]) -> bool:
    return bool(((sizes >= PLAUSIBLE_MM[0]) & (sizes <= PLAUSIBLE_MM[1])).all())


def _in_mm(to_mm: Affine, affine: Affine | None) -> Affine | None:
    # Infinity times 0: the rule on broken affines speaks, not a warning.
    with np.errstate(invalid="ignore", over="ignore"):
        return None if affine is None else np.asarray(to_mm @ affine)


def _sform(header: Any) -> Affine | None:
    if int(header["sform_code"]) == 0:
        return None
    return np.asarray(header.get_sform(), dtype=float)


def _qform(header: Any, sizes: NDArray[np.float64]) -> Affine | None:
    if int(header["qform_code"]) == 0:
        return None
    copy = header.copy()
    copy["pixdim"][1:4] = np.abs(sizes)
    # 0 and NaN stand for 1 in files older than the rule.
    copy["pixdim"][0] = -1 if header["pixdim"][0] < 0 else 1
    try:
        return np.asarray(copy.get_qform(), dtype=float)
    except (HeaderDataError, ValueError):
        return np.full((4, 4), np.nan)


def _mended(sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.abs(sizes)


def _check_sizes(sizes_mm: NDArray[np.float64], affine: Affine) -> tuple[Finding, ...]:
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if np.isfinite(sizes_mm).all() and np.allclose(sizes_mm, spacing, rtol=0.01, atol=1e-3):
        return ()
    value = [None if not np.isfinite(s) else round(float(s), 4) for s in sizes_mm]
    if np.isfinite(sizes_mm).all() and (sizes_mm > 0).all():
        message = "The header's voxel sizes are not those of its affine; the affine was used."
        return (Finding("voxel_size", "warning", message, list(value)),)
    message = "Zero, negative or NaN voxel sizes in the header were replaced by the affine's."
    return (Finding("voxel_size", "mended", message, list(value)),)


def _voxel_offset(header: Any, size: int, subject: Path) -> tuple[int, tuple[Finding, ...]]:
    offset = float(header["vox_offset"])
    if not np.isfinite(offset) or offset > 2**40:
        rule = "the header's voxel offset must be a number"
        raise ScanError(rule, value=offset, subject=subject)
    least = size + 4
    if offset >= least:
        return int(offset), ()
    message = f"The header's voxel offset {offset:g} lies inside the header; {least} was used."
    return least, (Finding("voxel_offset", "mended", message, offset),)


def _scale(header: Any, raw: NDArray[Any]) -> tuple[NDArray[np.float32], tuple[Finding, ...]]:
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    # A float64 too large for float32 becomes infinite; the rule on such voxels decides.
    with np.errstate(over="ignore", invalid="ignore"):
        data = raw.astype(np.float32)
    if slope == 0 or np.isnan(slope):
        return data, ()
    if not np.isfinite([slope, intercept]).all():
        message = "The header's intensity scaling is not finite; it was left out."
        return data, (Finding("intensity_scaling", "mended", message, None),)
    if (slope, intercept) != (1.0, 0.0):
        data *= np.float32(slope)
        data += np.float32(intercept)
    return data, ()
