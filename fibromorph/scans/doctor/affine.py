"""Rules on where a header says that the voxels lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fibromorph.errors import ScanError
from fibromorph.grid import Affine, Grid, Shape3
from fibromorph.scans.geometry import obliqueness_degrees
from fibromorph.scans.scan import Finding, ReadLimits

AGREE_MM = 0.1
SAME_VOXEL_VOLUME = 0.01
SHEAR_NOTED_DEGREES = 0.5
SHEAR_REFUSED_DEGREES = 30.0
OBLIQUE_NOTED_DEGREES = 1.0
COARSE_MM = 2.0
ANISOTROPIC_RATIO = 1.5


@dataclass(frozen=True, eq=False)
class Claim:
    """What one header field says about space; `affine` is None where the header marks it unset."""

    name: str
    affine: Affine | None

    @property
    def usable(self) -> bool:
        """True if stated, finite and not singular."""
        return self.affine is not None and is_usable(self.affine)


def is_usable(affine: Affine) -> bool:
    """True if the matrix is finite and its axes are three different directions."""
    if not np.isfinite(affine).all():
        return False
    norms = np.linalg.norm(affine[:3, :3], axis=0)
    return bool(norms.min() > 0 and abs(np.linalg.det(affine[:3, :3] / norms)) > 1e-3)


def choose_affine(
    sform: Claim, qform: Claim, sizes_mm: NDArray[np.float64], shape: Shape3, subject: Path
) -> tuple[Affine, tuple[Finding, ...]]:
    """The affine to believe.

    One usable claim: that one. Two that agree: sform. Two that differ: sform, unless its voxels
    have another volume than the qform's (then it maps into a template's space, and volumes in ml
    would be the template's): qform. None stated: voxel sizes, with left and right guessed as in
    Analyze files (first axis runs to the left).

    Args:
        sform: from the header's matrix.
        qform: from the header's quaternion and voxel sizes.
        sizes_mm: (3,) the header's voxel sizes.
        shape: of the volume.
        subject: the file named in errors.

    Raises:
        ScanError: what is stated is NaN or singular and nothing else is usable.
    """
    match sform.usable, qform.usable:
        case True, True:
            return _settle(sform, qform, shape)
        case True, False:
            return _one_left(sform, qform)
        case False, True:
            return _one_left(qform, sform)
    if sform.affine is not None or qform.affine is not None:
        stated = sform.affine if sform.affine is not None else qform.affine
        rule = "the header's affine must be finite and invertible: convert the scan again"
        value = np.round(np.asarray(stated)[:3], 3).tolist()
        raise ScanError(rule, value=value, subject=subject)
    return _guess(sizes_mm, shape, subject)


def _one_left(kept: Claim, other: Claim) -> tuple[Affine, tuple[Finding, ...]]:
    assert kept.affine is not None
    if other.affine is None:
        return kept.affine, ()
    message = f"The {other.name} is NaN or singular; the {kept.name} was used."
    return kept.affine, (Finding("broken_" + other.name, "mended", message, kept.name),)


def _settle(sform: Claim, qform: Claim, shape: Shape3) -> tuple[Affine, tuple[Finding, ...]]:
    s, q = sform.affine, qform.affine
    assert s is not None
    assert q is not None
    distance_mm = corner_distance_mm(s, q, shape)
    if distance_mm <= AGREE_MM:
        return s, ()
    volumes = abs(np.linalg.det(s[:3, :3])), abs(np.linalg.det(q[:3, :3]))
    keep_sform = abs(volumes[0] / volumes[1] - 1) <= SAME_VOXEL_VOLUME
    kept = sform.name if keep_sform else qform.name
    reason = "" if keep_sform else ", because the sform changes the size of the voxels"
    message = f"Sform and qform differ by up to {distance_mm:.1f} mm; the {kept} was used{reason}."
    if np.linalg.det(s[:3, :3]) * np.linalg.det(q[:3, :3]) < 0:
        message += " They also swap left and right: check the side on a picture."
    finding = Finding("sform_qform", "warning", message, round(distance_mm, 2))
    return (s if keep_sform else q), (finding,)


def corner_distance_mm(a: Affine, b: Affine, shape: Shape3) -> float:
    """How far apart two affines place the corner of a lattice, at most."""
    corners = np.array([[i, j, k, 1.0] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    corners[:, :3] *= np.asarray(shape) - 1
    return float(np.linalg.norm((corners @ (a - b).T)[:, :3], axis=1).max())


def _guess(
    sizes_mm: NDArray[np.float64], shape: Shape3, subject: Path
) -> tuple[Affine, tuple[Finding, ...]]:
    if not (np.isfinite(sizes_mm).all() and (sizes_mm > 0).all()):
        rule = "voxel sizes must be positive where the header gives no orientation"
        raise ScanError(rule, value=sizes_mm.tolist(), subject=subject)
    affine = np.diag([-sizes_mm[0], sizes_mm[1], sizes_mm[2], 1.0])
    affine[:3, 3] = -affine[:3, :3] @ ((np.asarray(shape) - 1) / 2.0)
    message = (
        "The header gives no orientation: the axes were taken to run left, front, up. "
        "Which side is left is a guess."
    )
    return affine, (Finding("no_orientation", "warning", message, sizes_mm.tolist()),)


def check_grid(grid: Grid, limits: ReadLimits, subject: Path) -> tuple[Finding, ...]:
    """Findings on voxel size, shear and obliqueness.

    Raises:
        ScanError: singular, sheared by over 30 degrees, or voxels finer or coarser than allowed.
    """
    if not is_usable(grid.affine_ijk_to_ras):
        rule = "the affine must be finite and invertible: convert the scan again"
        value = np.round(grid.affine_ijk_to_ras[:3], 3).tolist()
        raise ScanError(rule, value=value, subject=subject)
    return (*_check_spacing(grid, limits, subject), *_check_axes(grid, subject))


def _check_spacing(grid: Grid, limits: ReadLimits, subject: Path) -> tuple[Finding, ...]:
    spacing = [round(s, 3) for s in grid.spacing_mm]
    finest, coarsest = min(grid.spacing_mm), max(grid.spacing_mm)
    if finest < limits.min_spacing_mm or coarsest > limits.max_spacing_mm:
        rule = f"voxels must measure {limits.min_spacing_mm} to {limits.max_spacing_mm} mm a side"
        raise ScanError(rule, value=spacing, subject=subject)
    findings = []
    if coarsest > COARSE_MM:
        message = f"Voxels are coarse ({coarsest:.2f} mm): small structures are not reliable."
        findings.append(Finding("coarse_voxels", "warning", message, spacing))
    if coarsest / finest > ANISOTROPIC_RATIO:
        message = f"Voxels are {coarsest / finest:.1f} times as long as they are wide."
        findings.append(Finding("anisotropic_voxels", "warning", message, spacing))
    return tuple(findings)


def _check_axes(grid: Grid, subject: Path) -> tuple[Finding, ...]:
    shear, oblique = shear_degrees(grid), obliqueness_degrees(grid)
    if shear > SHEAR_REFUSED_DEGREES:
        rule = f"axes may deviate from right angles by at most {SHEAR_REFUSED_DEGREES:.0f} degrees"
        raise ScanError(rule, value=round(shear, 1), subject=subject)
    findings = []
    if shear > SHEAR_NOTED_DEGREES:
        message = f"The axes are {shear:.1f} degrees off right angles; resampled as they stand."
        findings.append(Finding("sheared_axes", "warning", message, round(shear, 2)))
    if oblique > OBLIQUE_NOTED_DEGREES:
        message = f"The scan is oblique by {oblique:.1f} degrees; it was turned for segmentation."
        findings.append(Finding("oblique_axes", "note", message, round(oblique, 2)))
    return tuple(findings)


def shear_degrees(grid: Grid) -> float:
    """Largest deviation of the angle between two axes from 90 degrees."""
    unit = grid.axes
    cosines = (unit.T @ unit)[np.triu_indices(3, 1)]
    return float(np.degrees(np.arcsin(np.clip(np.abs(cosines), 0, 1))).max())
