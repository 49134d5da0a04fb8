"""Scan to network input: the single copy of it, for training and for serving.

`normalise` uses only what numpy arrays and torch tensors both offer, so that the same lines run in
synthesis on a GPU and in the service, which has no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fibromorph.errors import ScanError
from fibromorph.grid import Grid, shape3
from fibromorph.located import BRAIN_BLOCK
from fibromorph.manifest import GraphFile
from fibromorph.pose import Pose, pose_of
from fibromorph.scans import Scan, resample, working_grid
from fibromorph.scans.resample import prefilter

SHAPE_MULTIPLE = 32
"""Input lengths are multiples of this: four halvings inside the network, after its stem's."""

CLIP_SD = 6.0
"""Voxels further than this from the mean, in standard deviations, are pulled in."""

MARGIN_MM = 6.0
"""Kept around the located brain, for the locator's error and the fluid inside the skull."""

DARKEST_PERCENT, SPARSE = 0.5, 4
"""What counts as air: this percentile of every fourth voxel along each axis."""

SMALLEST_BRAIN_ML = 250.0
"""What is smaller than this is not taken for a brain."""

SPLINE = 2
"""Order of the interpolation of what networks see: linear would blur every head by its tilt."""

Image = NDArray[np.float32]


A = TypeVar("A", bound=Any)
"""A numpy array or a torch tensor: this module must not import torch, so it cannot name both."""


def normalise(image: A, weights: A | None = None) -> A:
    """Zero mean, unit variance, outliers clipped at `CLIP_SD` standard deviations.

    Args:
        image: intensities in any unit, any shape, numpy array or torch tensor of floats.
        weights: the same shape; of each voxel in mean and variance, not all 0. None = all alike.

    Returns:
        The same type and shape; a constant image becomes all zero.
    """

    def mean(values: A) -> Any:
        return values.mean() if weights is None else (values * weights).sum() / weights.sum()

    centred = image - mean(image)
    sd = mean(centred * centred) ** 0.5
    normalised: A = (centred / (sd + 1e-8)).clip(-CLIP_SD, CLIP_SD)
    return normalised


def padded_length(length: int, multiple: int = SHAPE_MULTIPLE) -> int:
    """The smallest multiple of `multiple` that holds `length` voxels."""
    return -(-length // multiple) * multiple


Locate = Callable[[Image], Image]


@dataclass(frozen=True, eq=False)
class Conformed:
    """The part of a scan that the network sees.

    Attributes:
        intensities: (i, j, k) float32 in the scan's own unit, lengths multiples of the network's.
        brain: (i/4, j/4, k/4) float32, the share of each block of voxels that is brain, 0 to 1.
        grid: where its voxels lie: at the network's spacing, around the brain, to the right, to the
            front and up in the head itself; in RAS where its pose is not known.
        tilt_deg: by how much the head was tilted in the scan; None = its pose is not known.
    """

    intensities: Image
    brain: Image
    grid: Grid
    tilt_deg: float | None = None

    @property
    def network_input(self) -> Image:
        """(i, j, k) float32, normalised."""
        return normalise(self.intensities)


def conform(scan: Scan, network: GraphFile, locator: GraphFile, locate: Locate) -> Conformed:
    """Find the brain on coarse voxels, then sample the scan around it on the network's.

    Heads are turned upright, however they lay: networks answer a little otherwise for every
    position, and people in pain may not lie as others do.

    Args:
        scan: as it was read.
        network: spacing and length multiple of the network's input.
        locator: of the locator's.
        locate: runs the locator on a normalised (i, j, k) image.

    Raises:
        ScanError: no brain was found.
    """
    field = working_grid(scan.grid, network.spacing_mm)
    air = air_of(scan.data)
    with ThreadPoolExecutor(1) as beside:
        # It depends on no pose, and so can be made while the brain is looked for.
        splines = beside.submit(prefilter, scan.data, scan.grid, network.spacing_mm)
        seen = _look_twice(scan, locator, locate, air)
        pose = seen.pose
        if pose:
            field = field.around(pose.middle_ras, pose.axes)
        grid = _box_around(seen, field, network.shape_multiple)
        brain = resample(seen.shares, seen.grid, grid.blocks(BRAIN_BLOCK))
        intensities = resample(
            scan.data, scan.grid, grid, order=SPLINE, fill=air, prefiltered=splines.result
        )
    tilt_deg = pose.tilt_deg if pose else None
    return Conformed(intensities, brain, grid, tilt_deg)


@dataclass(frozen=True, eq=False)
class _Seen:
    """What the locator saw.

    Attributes:
        grid: of its voxels.
        brain: (i, j, k) its answer, share of each voxel that is brain.
    """

    grid: Grid
    brain: Image

    @cached_property
    def found(self) -> NDArray[np.bool_]:
        """(i, j, k) the voxels of the brain."""
        return largest_part(self.brain > 0.5)

    @cached_property
    def shares(self) -> Image:
        """(i, j, k) the share of each voxel that is this brain."""
        # Around what was found lie its own edges; what is further away is not this brain.
        shares: Image = self.brain * ndimage.binary_dilation(self.found)
        return shares

    @cached_property
    def pose(self) -> Pose | None:
        """How the head lies, if that can be told."""
        return pose_of(self.shares, self.grid)


def _look_twice(scan: Scan, locator: GraphFile, locate: Locate, air: float) -> _Seen:
    """What the locator sees of the upright head; of the field of view, where that tells no pose.

    Raises:
        ScanError: no brain was found.
    """

    def look(grid: Grid, brain: Image | None = None) -> _Seen:
        image = resample(scan.data, scan.grid, grid, fill=air)
        return _Seen(grid, locate(normalise(image, brain)))

    coarse = working_grid(scan.grid, locator.spacing_mm)
    seen = look(_padded(coarse, locator))
    _require_brain(seen, scan)
    if seen.pose is None:
        return seen
    # The first answer depends on how the head lies, and on what else is in the picture.
    grid = _upright(coarse, seen.pose, locator)
    by_brain = locator.normalised_by == "brain"
    again = look(grid, resample(seen.shares, seen.grid, grid) if by_brain else None)
    return again if again.pose else seen


def air_of(data: Image) -> float:
    """Intensity of what lies outside the field of view: that of its darkest voxels.

    Zero would be tissue in a scan with an offset or of zero mean. One dark voxel is no rule.
    """
    return float(np.percentile(data[::SPARSE, ::SPARSE, ::SPARSE], DARKEST_PERCENT))


def _require_brain(seen: _Seen, scan: Scan) -> None:
    """See that a brain was found.

    Raises:
        ScanError: nothing in the field of view is both brain and of a brain's size.
    """
    found_ml = float(np.count_nonzero(seen.found)) * seen.grid.voxel_ml
    if found_ml < SMALLEST_BRAIN_ML:
        raise ScanError(
            f"a head scan must show a brain of at least {SMALLEST_BRAIN_ML:.0f} ml",
            value=f"{found_ml:.0f} ml",
            subject=scan.source,
        )


def _padded(grid: Grid, locator: GraphFile) -> Grid:
    """The field of view, as large as the locator needs it."""
    lengths = (max(n, locator.smallest_length) for n in grid.shape)
    shape = np.array([padded_length(n, locator.shape_multiple) for n in lengths])
    return grid.box(shape3(-((shape - grid.shape) // 2)), shape3(shape))


def _upright(grid: Grid, pose: Pose, locator: GraphFile) -> Grid:
    """The locator's smallest field of view, around the brain and along the head's own axes."""
    length = padded_length(locator.smallest_length, locator.shape_multiple)
    field = grid.around(pose.middle_ras, pose.axes)
    return field.box((-(length // 2),) * 3, (length,) * 3)


def _box_around(seen: _Seen, field: Grid, multiple: int) -> Grid:
    """The box of `field`'s lattice, centred on the brain, with the margin and allowed lengths."""
    spacing = np.asarray(field.spacing_mm)
    to_field = field.affine_ras_to_ijk @ seen.grid.affine_ijk_to_ras
    voxels = np.argwhere(seen.found) @ to_field[:3, :3].T + to_field[:3, 3]
    first, last = voxels.min(axis=0), voxels.max(axis=0)
    extent_mm = (last - first) * spacing + seen.grid.spacing_mm + 2 * MARGIN_MM
    shape = np.array([padded_length(int(n), multiple) for n in np.ceil(extent_mm / spacing - 1e-6)])
    # In whole blocks, so that what networks pool falls on the same parts of a head in every scan.
    start = BRAIN_BLOCK * np.rint((first + last - shape + 1) / 2 / BRAIN_BLOCK)
    return field.box(shape3(start), shape3(shape))


def largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest of the parts of a mask whose voxels share faces."""
    parts, count = ndimage.label(mask)
    if count < 2:
        return mask
    return np.asarray(parts == np.bincount(parts[mask]).argmax())
