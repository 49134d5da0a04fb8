"""Label images back onto the scan's own lattice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fibromorph.grid import Affine, Grid, Shape3
from fibromorph.scans.geometry import axis_map, index_map
from fibromorph.scans.resample import copy_voxels

# Target planes handled at once: bounds the memory of the coordinates.
SLAB = 8

Id = TypeVar("Id", bound=np.integer)


Votes = NDArray[np.float32]

SMALLEST_VOTE = 0.01
"""Of a voxel that was undecided, so that one among its like still has a label."""


def restore_labels(
    labels: NDArray[Id], grid_from: Grid, grid_to: Grid, confidence: Votes | None = None
) -> NDArray[Id]:
    """An integer label image on another lattice.

    Coinciding lattices are copied exactly. Otherwise each voxel takes the label whose membership,
    interpolated linearly, is the largest (background is a label too), so that borders do not
    get the steps of nearest-neighbour sampling.

    Without `confidence` each voxel's label is taken for all of it, and interpolation then smooths,
    which draws convex borders inwards: a ball of radius r on voxels of h loses about
    h^2 / (2 r^2) of its volume (0.8 % at 8 mm, 3 % at 4 mm, from 1 mm). With it a voxel votes by
    2 p - 1. Between two labels that is the difference of their posteriors, and the border lies
    where the posteriors, interpolated, are alike.

    Args:
        labels: (i, j, k) integers >= 0 on `grid_from`.
        grid_from: the lattice of `labels`.
        grid_to: the scan's own.
        confidence: (i, j, k) posterior p of each label, 0 to 1.

    Returns:
        (i, j, k) on `grid_to`, same dtype, 0 outside `grid_from`.

    Raises:
        ValueError: `labels` or `confidence` is not of the shape of `grid_from`.
    """
    for image in (labels, confidence):
        if image is not None and image.shape != grid_from.shape:
            raise ValueError(f"restore_labels: {image.shape} on {grid_from.shape}")
    axes = axis_map(grid_from, grid_to)
    if axes is not None and axes.coincides:
        return copy_voxels(labels, axes, grid_to.shape, labels.dtype.type(0))
    sure = np.ones(labels.shape, np.float32) if confidence is None else confidence
    return _vote(labels, sure, index_map(grid_from, grid_to), grid_to.shape)


def _vote(labels: NDArray[Id], sure: Votes, matrix: Affine, shape: Shape3) -> NDArray[Id]:
    out = np.zeros(shape, dtype=labels.dtype)
    box = _bounding_box(labels)
    if box is None:
        return out
    # One voxel of background all round, so that every cell has eight corners.
    cells = np.pad(labels[box], 1)
    votes = np.pad((2 * sure[box] - 1).clip(min=SMALLEST_VOTE), 1, constant_values=1.0)
    offset = matrix[:3, 3] - [s.start - 1 for s in box]
    uniform = _uniform_cells(cells)
    for slab in _slabs(matrix[:3, :3], offset, cells.shape, shape):
        coordinates = _coordinates(matrix[:3, :3], offset, slab)
        out[slab] = _vote_slab(cells, votes, uniform, coordinates)
    return out


def _bounding_box(labels: NDArray[np.integer]) -> tuple[slice, slice, slice] | None:
    if not labels.any():
        return None
    sides = []
    for axis in range(3):
        other = tuple(a for a in range(3) if a != axis)
        inside = np.flatnonzero(labels.any(axis=other))
        sides.append(slice(int(inside[0]), int(inside[-1]) + 1))
    return sides[0], sides[1], sides[2]


def _uniform_cells(cells: NDArray[np.integer]) -> NDArray[np.bool_]:
    """True at (i, j, k) where the eight corners i..i+1, j..j+1, k..k+1 carry one label."""
    same = np.ones(cells.shape, dtype=bool)
    part = same[:-1, :-1, :-1]
    first = cells[:-1, :-1, :-1]
    for corner in _corners()[1:]:
        part &= cells[_shifted(cells.shape, corner)] == first
    return same


def _corners() -> list[tuple[int, int, int]]:
    return [(i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1)]


def _shifted(shape: tuple[int, ...], corner: tuple[int, int, int]) -> tuple[slice, ...]:
    return tuple(slice(c, n - 1 + c) for c, n in zip(corner, shape, strict=True))


def _slabs(
    linear: NDArray[np.float64],
    offset: NDArray[np.float64],
    cells: tuple[int, ...],
    shape: Shape3,
) -> Iterator[tuple[slice, slice, slice]]:
    """Slabs of the target, limited to where the cells are."""
    corners = np.array(_corners()) * (np.asarray(cells) - 1)
    reach = np.linalg.solve(linear, (corners - offset).T).T
    low = np.clip(np.floor(reach.min(axis=0)), 0, shape).astype(int)
    high = np.clip(np.ceil(reach.max(axis=0)) + 1, 0, shape).astype(int)
    for begin in range(low[0], high[0], SLAB):
        end = min(begin + SLAB, int(high[0]))
        yield slice(begin, end), slice(low[1], high[1]), slice(low[2], high[2])


def _coordinates(
    linear: NDArray[np.float64], offset: NDArray[np.float64], slab: tuple[slice, slice, slice]
) -> list[NDArray[np.float32]]:
    """Cell coordinates of a slab's voxels: one array per axis, of the slab's shape."""
    index = [np.arange(s.start, s.stop, dtype=np.float32) for s in slab]
    i, j, k = index[0][:, None, None], index[1][None, :, None], index[2][None, None, :]
    rows = linear.astype(np.float32)
    return [
        (rows[a, 0] * i + np.float32(offset[a])) + rows[a, 1] * j + rows[a, 2] * k for a in range(3)
    ]


def _vote_slab(
    cells: NDArray[Id],
    votes: Votes,
    uniform: NDArray[np.bool_],
    coordinates: list[NDArray[np.float32]],
) -> NDArray[Id]:
    base, inside = _base_index(coordinates, cells.shape)
    flat = cells.reshape(-1)
    out = np.where(inside, flat[base], 0).astype(cells.dtype)
    border = np.flatnonzero(inside & ~uniform.reshape(-1)[base])
    if border.size:
        fractions = [c.reshape(-1)[border] for c in coordinates]
        fractions = [f - np.floor(f) for f in fractions]
        corner = base.reshape(-1)[border]
        out.reshape(-1)[border] = _heaviest(flat, votes, corner, fractions, cells.shape)
    return out


def _base_index(
    coordinates: list[NDArray[np.float32]], shape: tuple[int, ...]
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    base = np.zeros(coordinates[0].shape, dtype=np.int32)
    inside = np.ones(base.shape, dtype=bool)
    for c, n in zip(coordinates, shape, strict=True):
        inside &= (c >= 0) & (c < n - 1)
        base *= n
        base += np.clip(np.floor(c), 0, n - 2).astype(np.int32)
    return base, inside


def _heaviest(
    flat: NDArray[Id],
    votes: Votes,
    base: NDArray[np.int32],
    fractions: list[NDArray[np.float32]],
    shape: tuple[int, ...],
) -> NDArray[Id]:
    """The label with the most votes, weighted linearly, of the eight corners of each cell."""
    strides = (shape[1] * shape[2], shape[2], 1)
    found = []
    weights = []
    for corner in _corners():
        index = base + sum(c * s for c, s in zip(corner, strides, strict=True))
        found.append(flat[index])
        parts = [f if c else 1 - f for c, f in zip(corner, fractions, strict=True)]
        weights.append(parts[0] * parts[1] * parts[2] * votes.reshape(-1)[index])
    best = np.full(base.shape, -1, dtype=np.float32)
    winner = np.zeros(base.shape, dtype=flat.dtype)
    for candidate in found:
        score = np.zeros(base.shape, dtype=np.float32)
        for label, weight in zip(found, weights, strict=True):
            score += weight * (label == candidate)
        better = score > best
        best[better] = score[better]
        winner[better] = candidate[better]
    return winner
