"""Velocities that grow one structure at the expense of its surroundings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from fibromorph.datasets.cohort.flow import Field, Lattice
from fibromorph.scans.resample import apply_along

INNER_MM, OUTER_MM = 2.5, 8.0
"""Widths of the two Gaussians: what a structure gains within the first, the second gives up."""

Fractions = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Growth:
    """One velocity a structure, and how each acts on the volumes of all.

    Attributes:
        ids: label ids, in the order of the other fields.
        velocities: (n, 3, a, b, c) mm per unit time for a divergence of about 1 in the structure.
        response: (n, n) d log(volume of row) / d (amount of column).
    """

    ids: tuple[int, ...]
    velocities: NDArray[np.float32]
    response: NDArray[np.float64]


def growth_of(labels: NDArray[np.uint8], ids: tuple[int, ...], lattice: Lattice) -> Growth:
    """The gradient fields whose divergence is a difference of Gaussians of each structure.

    div b = (G_inner - G_outer) * structure has no net growth, so that the field dies away within
    a few `OUTER_MM`; it is solved exactly in Fourier space: b^ = -i k / |k|^2 (div b)^.

    Args:
        labels: (i, j, k) ids on 1 mm voxels.
        ids: the structures.
        lattice: the nodes that the fields are wanted at.
    """
    fractions = np.stack([node_fractions(labels == i, lattice) for i in ids])
    solved = [_grow(part, lattice.step) for part in fractions]
    divergences = np.stack([divergence for _, divergence in solved])
    n = len(ids)
    gained = fractions.reshape(n, -1).astype(float) @ divergences.reshape(n, -1).T
    sizes = fractions.reshape(n, -1).sum(axis=1, dtype=float)
    return Growth(ids, np.stack([field for field, _ in solved]), gained / sizes[:, None])


def node_fractions(mask: NDArray[np.bool_], lattice: Lattice) -> Fractions:
    """How much of the neighbourhood of each node is in the mask, 0 to 1."""
    out = mask.astype(np.float32)
    for axis in range(3):
        out = apply_along(_hats(lattice.voxels[axis], lattice.shape[axis], lattice.step), out, axis)
    return out


def _hats(voxels: int, nodes: int, step: int) -> NDArray[np.float32]:
    """(nodes, voxels) weights that fall linearly to 0 at the neighbouring node."""
    distance = np.abs(np.arange(nodes)[:, None] * step - np.arange(voxels)[None, :])
    return np.asarray(np.maximum(1 - distance / step, 0) / step, dtype=np.float32)


def _grow(fraction: Fractions, step: int) -> tuple[Field, Fractions]:
    padding = round(3 * OUTER_MM / step)
    padded = np.pad(fraction, padding)
    shape = [fft.next_fast_len(n, real=True) for n in padded.shape]
    k = _wave_numbers(shape, step)
    square = sum(part**2 for part in k)
    source = fft.rfftn(padded, shape) * (
        np.exp(-0.5 * INNER_MM**2 * square) - np.exp(-0.5 * OUTER_MM**2 * square)
    )
    potential = source / np.where(square == 0, 1, square)
    inner = tuple(slice(padding, padding + n) for n in fraction.shape)
    field = [fft.irfftn(-1j * part * potential, shape)[inner] for part in k]
    return np.stack(field).astype(np.float32), fft.irfftn(source, shape)[inner].astype(np.float32)


def _wave_numbers(shape: list[int], step: int) -> list[NDArray[np.float64]]:
    """Radians per mm along each axis, ready to broadcast."""
    i, j = (2 * np.pi * fft.fftfreq(n, step) for n in shape[:2])
    last = 2 * np.pi * fft.rfftfreq(shape[2], step)
    return [i[:, None, None], j[None, :, None], last[None, None, :]]
