"""Rules on the voxels themselves, and on what part of the head they cover."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fibromorph.errors import ScanError
from fibromorph.grid import Grid
from fibromorph.scans.geometry import canonical_grid
from fibromorph.scans.scan import Finding, ReadLimits

DARKEST_PERCENT = 0.5

FEW_GREY_VALUES = 24
FEWEST_PADDED = 0.01
"""Share of the voxels from which on one negative value may be padding."""
FAR, VERY_FAR, AIR_SHARE = 2.0, 4.0, 0.15
"""How many times the head's own range padding lies below it, with air in view and without; and the
lowest share of that range that is air. A brain's background lies up to 2.1 ranges below it."""
SMALLEST_LEVEL, LARGEST_LEVEL = 1e-3, 1e9
"""Between them bright tissue has the intensity that it has."""
SPIKE = 10.0
"""How many times brighter than the 99.9th percentile a voxel must be to be no tissue."""
SHORTEST_EXTENT_MM = 100.0
# Tissue is brighter than this share of the scan's 98th percentile; air and noise are not.
TISSUE_SHARE = 0.25
# A cut 5 mm below the vertex opens an area like this; a tight crop touches with much less. The
# sides may be cut through the scalp and the ears without touching the brain, and the neck always
# is cut.
OPEN_AREA_MM2 = {"upper": 2500.0, "front": 4000.0, "back": 4000.0, "left": 7000.0, "right": 7000.0}
FACES = {"left": (0, 0), "right": (0, -1), "back": (1, 0), "front": (1, -1), "upper": (2, -1)}


def check_voxels(
    data: NDArray[np.float32], limits: ReadLimits, subject: Path
) -> tuple[NDArray[np.float32], tuple[Finding, ...]]:
    """The voxels with NaN and infinity made dark, padding and spikes pulled in, and findings.

    Up to `max_nonfinite_fraction` may be NaN or infinite; more only where NaN marks the outside
    of a mask (every NaN region reaches the border of the image).

    Args:
        data: (i, j, k).
        limits: the share of non-finite voxels.
        subject: the file named in errors.

    Raises:
        ScanError: too many non-finite voxels, empty, or constant.
    """
    findings: tuple[Finding, ...] = ()
    # A sum is finite unless a voxel is not (or, in float32, when it overflows: then look closer).
    if not np.isfinite(data.sum(dtype=np.float64)):
        data, findings = _mend_nonfinite(data, limits, subject)
    lowest, highest = float(data.min()), float(data.max())
    if lowest == highest:
        kind = "empty" if highest == 0 else "constant"
        rule = f"a scan must show something: this one is {kind}"
        raise ScanError(rule, value=f"all voxels {highest:g}", subject=subject)
    data, padding = _mend_padding(data, lowest)
    data, spikes = _mend_spikes(data, highest)
    data, scale = _mend_scale(data)
    return data, (*findings, *padding, *spikes, *scale, *_check_grey_values(data))


def _mend_scale(data: NDArray[np.float32]) -> tuple[NDArray[np.float32], tuple[Finding, ...]]:
    """Squares of values this small or large leave the range of 32 bits."""
    largest = float(np.percentile(np.abs(data[::3, ::3, ::3]), 99))
    if largest == 0 or SMALLEST_LEVEL <= largest <= LARGEST_LEVEL:
        return data, ()
    factor = 10.0 ** round(2 - np.log10(largest))
    message = f"Intensities of about {largest:.0e} were multiplied by {factor:.0e}."
    scaled = (data.astype(np.float64) * factor).astype(np.float32)
    return scaled, (Finding("scale", "mended", message, factor),)


def _mend_padding(
    data: NDArray[np.float32], lowest: float
) -> tuple[NDArray[np.float32], tuple[Finding, ...]]:
    """What lies outside a field of view may be marked by a value far below all others.

    Left as it is, the head would be all but uniform beside it. Not far below, only where there is
    air to be as dark as: around a brain whose mean was taken off lies its background.
    """
    if lowest >= 0:
        return data, ()
    sample = data[::3, ::3, ::3]
    others = sample[sample > lowest]
    if not 0 < others.size < (1 - FEWEST_PADDED) * sample.size:
        return data, ()
    darkest = float(others.min())
    dark, bright = (float(p) for p in np.percentile(others, (10, 99)))
    span, gap = bright - darkest, darkest - lowest
    airless = dark - darkest >= AIR_SHARE * span
    if gap <= FAR * span or (airless and gap <= VERY_FAR * span):
        return data, ()
    message = f"Voxels of {lowest:g}, far below all others, were taken for padding."
    return np.maximum(data, np.float32(darkest)), (Finding("padding", "mended", message, lowest),)


def _mend_spikes(
    data: NDArray[np.float32], highest: float
) -> tuple[NDArray[np.float32], tuple[Finding, ...]]:
    """A few voxels far above all others would make the head dark beside them."""
    dark, bright = np.percentile(data[::3, ::3, ::3], (DARKEST_PERCENT, 99.9))
    limit = dark + SPIKE * (bright - dark)
    if bright <= dark or highest <= limit:
        return data, ()
    count = int((data > limit).sum())
    message = f"{count} voxels far above all others were pulled in to {limit:g}."
    return np.minimum(data, np.float32(limit)), (Finding("spikes", "mended", message, count),)


def _mend_nonfinite(
    data: NDArray[np.float32], limits: ReadLimits, subject: Path
) -> tuple[NDArray[np.float32], tuple[Finding, ...]]:
    broken = ~np.isfinite(data)
    count = int(broken.sum())
    share = count / data.size
    outside = share > limits.max_nonfinite_fraction and _is_outside(broken)
    if share > limits.max_nonfinite_fraction and not outside:
        rule = f"at most {limits.max_nonfinite_fraction:.0%} of the voxels may be NaN or infinite"
        raise ScanError(rule, value=f"{share:.1%}", subject=subject)
    where = " outside the head" if outside else ""
    # Dark, also where zero is the mean of the brain.
    known = data[~broken]
    dark = min(0.0, float(np.percentile(known, DARKEST_PERCENT))) if known.size else 0.0
    message = f"{count} NaN or infinite voxels{where} were set to {dark:g}."
    mended = np.where(broken, np.float32(dark), data)
    return mended, (Finding("nonfinite_voxels", "mended", message, count),)


def _is_outside(broken: NDArray[np.bool_]) -> bool:
    """True if nearly all broken voxels form one region with the border, and a tenth is left."""
    from scipy.ndimage import label

    regions, _ = label(broken)
    border = np.zeros(int(regions.max()) + 1, dtype=bool)
    for axis in range(3):
        for side in (0, -1):
            border[np.moveaxis(regions, axis, 0)[side]] = True
    border[0] = False
    enclosed = broken & ~border[regions]
    return bool(broken.mean() < 0.9 and enclosed.mean() < 1e-4)


def _check_grey_values(data: NDArray[np.float32]) -> tuple[Finding, ...]:
    sample = data[::3, ::3, ::3]
    levels = np.unique(sample).size
    if levels >= FEW_GREY_VALUES:
        return ()
    message = f"Only {levels} different grey values: this may be a mask or a segmentation."
    return (Finding("few_grey_values", "warning", message, levels),)


def check_field_of_view(data: NDArray[np.float32], grid: Grid) -> tuple[Finding, ...]:
    """Warnings where the field of view is too short for a brain or opens it at a face.

    Args:
        data: (i, j, k), finite.
        grid: of the scan.
    """
    canonical = canonical_grid(grid)
    extents = np.asarray(canonical.shape) * canonical.spacing_mm
    findings = []
    if extents.min() < SHORTEST_EXTENT_MM:
        message = f"The field of view is only {extents.min():.0f} mm long along one axis."
        value = [round(float(e), 1) for e in extents]
        findings.append(Finding("short_field_of_view", "warning", message, value))
    opened = _opened_faces(data, grid)
    if len(opened) == len(FACES):
        message = (
            "The image is as bright as tissue at all of its faces: noise around the head, as in an"
            " MP2RAGE image (UNI), may be taken for fluid, or the field of view lies inside it."
        )
        return (*findings, Finding("bright_all_around", "warning", message, len(opened)))
    for face, area_mm2 in opened.items():
        message = f"Tissue touches the {face} face of the image ({area_mm2 / 100:.0f} cm2)"
        message += ": the brain may be cut."
        findings.append(Finding("cut_" + face, "warning", message, round(area_mm2)))
    return tuple(findings)


def _opened_faces(data: NDArray[np.float32], grid: Grid) -> dict[str, float]:
    threshold = TISSUE_SHARE * float(np.percentile(data[::3, ::3, ::3], 98))
    opened = {}
    for face, (world_axis, side) in FACES.items():
        plane, area_mm2 = _face(data, grid, world_axis, side)
        touching_mm2 = float((plane > threshold).sum()) * area_mm2
        if threshold > 0 and touching_mm2 > OPEN_AREA_MM2[face]:
            opened[face] = touching_mm2
    return opened


def _face(
    data: NDArray[np.float32], grid: Grid, world_axis: int, side: int
) -> tuple[NDArray[np.float32], float]:
    """The outermost plane towards one side of the head, and the area of its pixels in mm2."""
    from nibabel.orientations import io_orientation

    orientation = io_orientation(grid.affine_ijk_to_ras)
    axis = int(np.flatnonzero(orientation[:, 0] == world_axis)[0])
    if orientation[axis, 1] < 0:
        side = -1 - side
    others = [grid.spacing_mm[a] for a in range(3) if a != axis]
    plane: NDArray[np.float32] = np.moveaxis(data, axis, 0)[side]
    return plane, others[0] * others[1]
