"""What a scan is once it has been read, and what was found on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fibromorph.grid import Affine, Grid

Severity = Literal["note", "mended", "warning"]
JsonValue = str | int | float | bool | Sequence["JsonValue"] | Mapping[str, "JsonValue"] | None


@dataclass(frozen=True)
class Finding:
    """One thing the header doctor noticed and did not refuse.

    Attributes:
        code: stable name of the rule, such as 'sform_qform'.
        severity: 'note' (nothing wrong), 'mended' (put right), 'warning' (the reader should know).
        message: a sentence for the report; never holds names, dates or identifiers of a person.
        value: the number or numbers behind the sentence, plain JSON.
    """

    code: str
    severity: Severity
    message: str
    value: JsonValue = None


@dataclass(frozen=True)
class ReadLimits:
    """What a scan may be; each rule is checked before the memory for the voxels is taken.

    Attributes:
        max_voxels: of one volume.
        max_bytes: of a file or archive member set, before and after decompression.
        max_trailing_bytes: what may follow (or precede) the voxels that the header promises.
        max_files: in a DICOM folder or zip.
        min_slices: voxels along the shortest axis.
        min_spacing_mm: finest voxel side.
        max_spacing_mm: coarsest voxel side.
        max_nonfinite_fraction: share of NaN or infinite voxels that is set to 0.
        max_missing_run: neighbouring DICOM slices that are interpolated when missing.
        max_missing_fraction: share of all DICOM slices that are interpolated when missing.
    """

    max_voxels: int = 512**3
    max_bytes: int = 2 * 1024**3
    max_trailing_bytes: int = 16 * 1024**2
    max_files: int = 20_000
    min_slices: int = 16
    min_spacing_mm: float = 0.1
    max_spacing_mm: float = 8.0
    max_nonfinite_fraction: float = 0.01
    max_missing_run: int = 1
    max_missing_fraction: float = 0.05


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels and their place, as a format's reader hands them over.

    Attributes:
        data: (i, j, k) float32, scaled, possibly still with NaN.
        affine_ijk_to_ras: (4, 4), voxel centres to RAS mm.
        format: 'NIfTI-1', 'NIfTI-2', 'MGH' or 'DICOM'.
        sha256: of what was read.
        findings: of the format's own header.
    """

    data: NDArray[np.float32]
    affine_ijk_to_ras: Affine
    format: str
    sha256: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, eq=False)
class Scan:
    """A scan that passed the header doctor.

    Attributes:
        data: (i, j, k) float32, finite.
        grid: where its voxels lie.
        stem: NAME of the outputs: the file's or folder's name without its scan suffix.
        source: the path it was read from.
        format: 'NIfTI-1', 'NIfTI-2', 'MGH' or 'DICOM'.
        sha256: of the file's bytes; for DICOM, of the sorted sha256 of the slices that were used,
            so that a folder and a zip of the same series have the same one.
        findings: what was noticed or mended, in the order it was met.
    """

    data: NDArray[np.float32]
    grid: Grid
    stem: str
    source: Path
    format: str
    sha256: str
    findings: tuple[Finding, ...]
