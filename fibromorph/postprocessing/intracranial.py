"""Intracranial volume, and whether a scan still has what lies outside the brain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fibromorph.grid import Grid
from fibromorph.postprocessing.components import Mask, fill_holes, grow

Spacing = tuple[float, float, float]

SHELL_MM = (4.0, 15.0)
# Share of the shell that must be brighter than TISSUE_LEVEL (0 = darkest, 1 = brain median) for
# a head to be there. Scalp, marrow and muscle fill a third to two thirds of it; noise fills none.
TISSUE_LEVEL = 0.2
TISSUE_SHARE = 0.10
CLOSING_MM = 4.0


def looks_stripped(
    image: NDArray[np.float32], labels: NDArray[np.uint8], spacing_mm: Spacing = (1.0, 1.0, 1.0)
) -> bool:
    """True if nothing is left around the brain, as after skull-stripping.

    Looks at the shell 4-15 mm outside the segmentation, where a head has scalp, marrow, muscle
    and eyes. False if there is no segmentation or no shell to look at.

    Args:
        image: (i, j, k) intensities.
        labels: (i, j, k) ids, 0 = background.
        spacing_mm: distance between voxels along i, j, k.
    """
    share = tissue_share_around(image, labels, spacing_mm)
    return share is not None and share < TISSUE_SHARE


def tissue_share_around(
    image: NDArray[np.float32], labels: NDArray[np.uint8], spacing_mm: Spacing = (1.0, 1.0, 1.0)
) -> float | None:
    """Share of the shell around the segmentation that is as bright as tissue, 0 to 1.

    Returns None where there is no segmentation, no shell, or no brain brighter than the floor.
    """
    # Every second voxel is plenty for a share, and eight times cheaper.
    image, labels = image[::2, ::2, ::2], labels[::2, ::2, ::2]
    brain = labels > 0
    if not brain.any():
        return None
    distance = ndimage.distance_transform_edt(~brain, sampling=[2 * s for s in spacing_mm])
    shell = image[(distance >= SHELL_MM[0]) & (distance <= SHELL_MM[1])]
    floor, bright = float(np.percentile(image, 1)), float(np.median(image[brain]))
    if shell.size == 0 or bright <= floor:
        return None
    return float(np.mean(shell > floor + TISSUE_LEVEL * (bright - floor)))


def etiv_ml(labels: NDArray[np.uint8], grid: Grid, *, stripped: bool) -> float | None:
    """Intracranial volume in ml: brain and CSF, closed over `CLOSING_MM` and filled.

    None, never a number, for a skull-stripped scan or an empty image.

    Args:
        labels: (i, j, k) ids of the working segmentation, 0 = background.
        grid: where these voxels lie.
        stripped: what `looks_stripped` says of the scan.
    """
    if stripped or not labels.any():
        return None
    mask = intracranial_mask(labels, grid.spacing_mm)
    return float(np.count_nonzero(mask)) * grid.voxel_ml


def intracranial_mask(labels: NDArray[np.uint8], spacing_mm: Spacing) -> Mask:
    """All labels as one solid: closed over `CLOSING_MM` and filled; shape as `labels`."""
    steps = max(1, round(CLOSING_MM / 2 / min(spacing_mm)))
    padded = np.pad(labels > 0, steps)
    closed = ~grow(~grow(padded, steps), steps)
    inner = (slice(steps, -steps),) * 3
    return fill_holes(closed[inner])
