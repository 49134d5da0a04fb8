"""Label images and pictures as files."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from fibromorph.errors import LabelError
from fibromorph.files import write_whole
from fibromorph.grid import Grid

# Label images are mostly runs: higher levels take many times longer for a few per cent.
GZIP_LEVEL = 2
# NIfTI-1's codes of coordinate systems.
SCANNER, MNI = 1, 4


def write_labels(path: Path, labels: NDArray[np.integer], grid: Grid) -> None:
    """Write a label image as NIfTI-1, uint8 if the ids fit, else int16.

    Sform and qform both hold the grid (code 1, mm). The bytes depend on the arguments alone. The
    file appears under its name only when complete.

    Args:
        path: `.nii.gz` or `.nii`, in a folder that exists.
        labels: (i, j, k) integers, 0 to 32767.
        grid: where they lie.

    Raises:
        LabelError: ids out of range, a shape that is not the grid's, or another suffix.
    """
    _write(path, nib.Nifti1Image(_smallest(labels, grid, path), grid.affine_ijk_to_ras), grid)


def write_intensities(
    path: Path, image: NDArray[np.float32], grid: Grid, *, mni: bool = False
) -> None:
    """Write a picture as NIfTI-1, int16 with the scale that its range needs; else as labels are.

    Args:
        path: `.nii.gz` or `.nii`, in a folder that exists.
        image: (i, j, k) intensities, finite.
        grid: where its voxels lie.
        mni: its millimetres are MNI coordinates, which the header says by code 4.
    """
    nifti = nib.Nifti1Image(image, grid.affine_ijk_to_ras)
    nifti.set_data_dtype(np.int16)
    _write(path, nifti, grid, MNI if mni else SCANNER)


def write_values(path: Path, values: NDArray[np.float32] | NDArray[np.int16], grid: Grid) -> None:
    """Write numbers as NIfTI-1 in their own type, without a scale; else as labels are.

    Args:
        path: `.nii.gz` or `.nii`, in a folder that exists.
        values: (i, j, k), finite.
        grid: where their voxels lie.
    """
    _write(path, nib.Nifti1Image(values, grid.affine_ijk_to_ras), grid)


def _write(path: Path, image: nib.Nifti1Image, grid: Grid, code: int = SCANNER) -> None:
    image.header.set_xyzt_units("mm")
    image.set_sform(grid.affine_ijk_to_ras, code=code)
    image.set_qform(grid.affine_ijk_to_ras, code=code)
    content = image.to_bytes()
    if path.name.endswith(".gz"):
        content = gzip.compress(content, GZIP_LEVEL, mtime=0)
    write_whole(path, content)


def _smallest(
    labels: NDArray[np.integer], grid: Grid, path: Path
) -> NDArray[np.uint8] | NDArray[np.int16]:
    if not path.name.endswith((".nii.gz", ".nii")):
        raise LabelError("a label image is written as .nii.gz or .nii", subject=path)
    if labels.shape != grid.shape:
        found = f"{labels.shape} on a grid of {grid.shape}"
        raise LabelError("a label image must have the shape of its grid", value=found, subject=path)
    lowest, highest = int(labels.min(initial=0)), int(labels.max(initial=0))
    if lowest < 0 or highest > 32767:
        found = f"{lowest} to {highest}"
        raise LabelError("label ids must lie between 0 and 32767", value=found, subject=path)
    return labels.astype(np.uint8) if highest < 256 else labels.astype(np.int16)
