"""Intensities from one lattice to another, without interpolation where the lattices coincide."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fibromorph.grid import Affine, Grid, Shape3
from fibromorph.scans.geometry import AxisMap, axis_map, index_map

# Full width at half maximum of a Gaussian, in standard deviations.
FWHM = 2.3548
# Going coarser by less than this needs no smoothing.
COARSER = 1.02
# Linear interpolation spreads by a variance of f (1 - f), 1/6 on average: the sampled Gaussian
# of the separable path carries it too, so that both paths smooth alike.
LINEAR_SIGMA = float(np.sqrt(1.0 / 6.0))
# Planes that a thread samples at once.
SLAB = 32
THREADS = min(4, os.cpu_count() or 1)

Voxel = TypeVar("Voxel", bound=np.generic)


def resample(
    data: NDArray[np.float32],
    grid_from: Grid,
    grid_to: Grid,
    *,
    order: int = 1,
    fill: float = 0.0,
    prefiltered: Callable[[], NDArray[np.float32]] | None = None,
) -> NDArray[np.float32]:
    """An image on another lattice.

    Coinciding lattices (a flip, permutation, crop or margin apart) are copied exactly. Going
    coarser, the image is smoothed first: a Gaussian whose width turns the old voxel into the new
    one (Cardoso et al. 2015, MICCAI, scale factor image resampling).

    Args:
        data: (i, j, k) on `grid_from`.
        grid_from: the lattice of `data`.
        grid_to: any lattice, also one that reaches outside.
        order: 1 linear, 0 nearest neighbour (no smoothing); 2 is linear along the axes of
            `grid_from`, and a quadratic spline, which blurs less, across them.
        fill: value outside the field of view of `grid_from`.
        prefiltered: with order 2, hands out what `prefilter` has made of `data` for the voxels of
            `grid_to`; None = it is made here, where the lattices ask for it.

    Returns:
        (i, j, k) float32 on `grid_to`, a new contiguous array.

    Raises:
        ValueError: `data` is not of the shape of `grid_from`, or `order` is not 0 to 2.
    """
    if data.shape != grid_from.shape or order not in (0, 1, 2):
        raise ValueError(f"resample: {data.shape} on {grid_from.shape}, order {order}")
    axes = axis_map(grid_from, grid_to)
    if axes is not None and axes.coincides:
        return copy_voxels(data, axes, grid_to.shape, np.float32(fill))
    if axes is not None:
        return _separable(data, axes, grid_to.shape, min(order, 1), fill)
    matrix = index_map(grid_from, grid_to)
    if order > 1 and prefiltered is not None:
        image = prefiltered()
    else:
        image = _prepared(data, np.linalg.norm(matrix[:3, :3], axis=1), order)
    return _general(image, matrix, grid_to.shape, order, fill)


def prefilter(data: NDArray[np.float32], grid: Grid, spacing_mm: float) -> NDArray[np.float32]:
    """What splines sample on lattices of one spacing, however these are turned.

    Args:
        data: (i, j, k) on `grid`.
        grid: the lattice of `data`.
        spacing_mm: of the voxels to come, along all axes.

    Returns:
        (i, j, k) float32 coefficients of a quadratic spline on `grid`, smoothed before where voxels
        become coarser.
    """
    factors = spacing_mm * np.linalg.norm(grid.affine_ras_to_ijk[:3, :3], axis=1)
    return _prepared(data, factors, order=2)


def copy_voxels(data: NDArray[Voxel], axes: AxisMap, shape: Shape3, fill: Voxel) -> NDArray[Voxel]:
    """The voxels of a coinciding lattice, `fill` where it reaches outside; same dtype as `fill`."""
    out = np.full(shape, fill)
    source, target = [slice(0)] * 3, [slice(0)] * 3
    for a in range(3):
        b = axes.source_axis[a]
        start, step = round(axes.start[a]), round(axes.step[a])
        target[a], source[b] = _overlap(start, step, shape[a], data.shape[b])
    out[tuple(target)] = data[tuple(source)].transpose(axes.source_axis)
    return out


def _overlap(start: int, step: int, n_to: int, n_from: int) -> tuple[slice, slice]:
    """The target indices t with 0 <= start + step t < n_from, and their sources; step is +-1."""
    source = start + step * np.arange(n_to)
    inside = np.flatnonzero((source >= 0) & (source < n_from))
    if inside.size == 0:
        return slice(0), slice(0)
    first, last = int(inside[0]), int(inside[-1])
    begin, end = int(source[first]), int(source[last]) + step
    return slice(first, last + 1), slice(begin, end if end >= 0 else None, step)


def axis_weights(
    n_from: int, n_to: int, start: float, step: float, order: int = 1
) -> NDArray[np.float32]:
    """Interpolation along one axis as a matrix.

    Args:
        n_from: source voxels.
        n_to: target voxels.
        start: source index of target voxel 0.
        step: source voxels per target voxel.
        order: 1 linear with smoothing when coarser, 0 nearest.

    Returns:
        (n_to, n_from) float32; a row sums to 1, or is 0 where the target lies outside.
    """
    position = start + step * np.arange(n_to)
    distance = np.abs(position.clip(0, n_from - 1)[:, None] - np.arange(n_from)[None, :])
    if order == 0:
        weights = (np.argmin(distance, axis=1)[:, None] == np.arange(n_from)).astype(float)
    elif (sigma := smoothing_sigma(abs(step))) > 0:
        weights = np.exp(-0.5 * (distance / np.hypot(sigma, LINEAR_SIGMA)) ** 2)
    else:
        weights = np.maximum(1 - distance, 0)
    weights /= weights.sum(axis=1, keepdims=True)
    weights[(position < -0.5 - 1e-6) | (position > n_from - 0.5 + 1e-6)] = 0
    return np.asarray(weights, dtype=np.float32)


def smoothing_sigma(factor: float) -> float:
    """Standard deviation, in source voxels, that prepares for voxels `factor` times as long."""
    return float(np.sqrt(factor**2 - 1)) / FWHM if factor > COARSER else 0.0


def _separable(
    data: NDArray[np.float32], axes: AxisMap, shape: Shape3, order: int, fill: float
) -> NDArray[np.float32]:
    out = np.asarray(data, dtype=np.float32).transpose(axes.source_axis) - np.float32(fill)
    # The axis that shrinks most goes first, so that the others have less to do.
    for a in sorted(range(3), key=lambda a: shape[a] / out.shape[a]):
        weights = axis_weights(out.shape[a], shape[a], axes.start[a], axes.step[a], order)
        out = apply_along(weights, out, a)
    return np.ascontiguousarray(out + np.float32(fill))


def apply_along(
    weights: NDArray[np.float32], data: NDArray[np.float32], axis: int
) -> NDArray[np.float32]:
    """(n_to, n_from) weights applied along one axis of a 3-D image."""
    moved: NDArray[np.float32] = np.tensordot(weights, data, axes=(1, axis))
    back: NDArray[np.float32] = np.moveaxis(moved, 0, axis)
    return back


def _prepared(
    data: NDArray[np.float32], factors: NDArray[np.float64], order: int
) -> NDArray[np.float32]:
    """An image smoothed for voxels that are `factors` times as long, and filtered for splines."""
    from scipy.ndimage import gaussian_filter, spline_filter

    sigmas = [smoothing_sigma(float(factor)) for factor in factors]
    image = np.asarray(data, dtype=np.float32)
    if order and any(sigmas):
        image = gaussian_filter(image, sigmas, mode="nearest", truncate=3.0)
    return spline_filter(image, order, output=np.float32) if order > 1 else image


def _general(
    image: NDArray[np.float32], matrix: Affine, shape: Shape3, order: int, fill: float
) -> NDArray[np.float32]:
    from scipy.ndimage import affine_transform

    out = np.empty(shape, dtype=np.float32)

    def slab(begin: int) -> None:
        start = matrix[:3, 3] + begin * matrix[:3, 0]
        affine_transform(
            image, matrix[:3, :3], start, output=out[begin : begin + SLAB],
            order=order, mode="constant", cval=fill, prefilter=False,
        )  # fmt: skip

    # SciPy leaves the interpreter to others meanwhile.
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(slab, range(0, shape[0], SLAB)))
    return out
