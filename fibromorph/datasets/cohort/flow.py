"""Smooth, invertible deformations as flows of a velocity on coarse nodes.

A velocity that is held still and followed for unit time is a diffeomorphism, and its negative leads
back: scaling and squaring, Arsigny et al. 2006 (MICCAI).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fibromorph.grid import Shape3

Field = NDArray[np.float32]
"""(3, a, b, c) float32: millimetres along the three axes, at the nodes of a `Lattice`."""

SQUARINGS = 4


@dataclass(frozen=True)
class Lattice:
    """Coarse nodes over an image with 1 mm voxels; node n lies at voxel n x `step`.

    Attributes:
        voxels: shape of the image.
        step: voxels from node to node.
    """

    voxels: Shape3
    step: int

    @property
    def shape(self) -> Shape3:
        """Nodes along i, j, k; the last ones may lie outside the image."""
        i, j, k = (-(-(n - 1) // self.step) + 1 for n in self.voxels)
        return i, j, k

    def smoothing(self, sigma_mm: float) -> float:
        """A Gaussian's standard deviation in nodes."""
        return sigma_mm / self.step


def flow(velocity: Field, step: int) -> Field:
    """Where each node is carried in unit time.

    Args:
        velocity: (3, a, b, c) mm per unit time.
        step: mm from node to node.

    Returns:
        (3, a, b, c) displacement in mm; of `-velocity`, its inverse.
    """
    nodes = np.indices(velocity.shape[1:], dtype=np.float32)
    moved = (velocity / (step * 2**SQUARINGS)).astype(np.float32)
    for _ in range(SQUARINGS):
        moved = moved + at_nodes(moved, nodes + moved)
    displacement: Field = moved * np.float32(step)
    return displacement


def at_nodes(field: Field, places: NDArray[np.float32]) -> Field:
    """Read a field at places in node units, linearly; beyond the border its nearest value."""
    return np.stack(
        [ndimage.map_coordinates(part, places, order=1, mode="nearest") for part in field]
    )


def on_voxels(field: Field, lattice: Lattice, start: Shape3, every: int, shape: Shape3) -> Field:
    """A field at every `every`-th voxel of a box.

    Args:
        field: (3, a, b, c) at the nodes.
        lattice: of these nodes.
        start: the box's first voxel along each axis; may lie outside the image.
        every: voxels from one sample to the next.
        shape: samples along each axis.

    Returns:
        (3, *shape) mm; beyond the border the nearest value.
    """
    for axis in range(3):
        nodes = (start[axis] + every * np.arange(shape[axis])) / lattice.step
        field = read_along(field, nodes, axis + 1)
    return field


def read_along(
    values: NDArray[np.float32], places: NDArray[np.float64], axis: int
) -> NDArray[np.float32]:
    """Linear interpolation along one axis at places in index units; nearest beyond the border."""
    last = values.shape[axis] - 1
    inside = places.clip(0, last)
    below = np.minimum(inside.astype(np.intp), max(last - 1, 0))
    shape = [1] * values.ndim
    shape[axis] = len(places)
    share = (inside - below).astype(np.float32).reshape(shape)
    lower = np.take(values, below, axis)
    upper: NDArray[np.float32] = np.take(values, np.minimum(below + 1, last), axis)
    upper -= lower
    upper *= share
    upper += lower
    return upper
