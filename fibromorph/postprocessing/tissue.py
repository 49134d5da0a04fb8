"""How much of each voxel is grey and white matter, of labels and what a network was sure of."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from fibromorph.grid import Grid
from fibromorph.labels import LabelTable
from fibromorph.labels.freesurfer import CORTEX

OTHER, GREY, WHITE, FLUID = range(4)
CODES = {"grey": GREY, "white": WHITE, "csf": FLUID}
Shares = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Tissue:
    """Shares of a head's voxels.

    Attributes:
        grey, white: (i, j, k) float32, 0 to 1.
        grid: where the voxels lie.
    """

    grey: Shares
    white: Shares
    grid: Grid

    @property
    def picture(self) -> Shares:
        """(i, j, k) as a T1-weighted scan without noise or field: grey 1, white 2, fluid 0."""
        return self.grey + 2 * self.white


def tissue_shares(
    labels: NDArray[np.uint8], confidence: NDArray[np.float32], table: LabelTable, grid: Grid
) -> Tissue:
    """Grey and white matter of every voxel, see `shares_of`; `grid` is where the voxels lie."""
    grey, white, _ = shares_of(labels, confidence, table)
    return Tissue(grey, white, grid)


def shares_of(
    labels: NDArray[np.uint8], confidence: NDArray[np.float32], table: LabelTable
) -> tuple[Shares, Shares, Shares]:
    """Grey matter, white matter and fluid of every voxel, (i, j, k) float32, 0 to 1.

    A voxel belongs to the tissue of its label by its posterior. What is left of that belongs to
    the tissue that most of its other neighbours are of: posteriors are low where tissues meet, and
    where regions of the cortex do: other ones around it count as neighbours, too.
    Structures count as their table says: thalamus and pallidum are grey, the brain stem is white.

    Args:
        labels: (i, j, k) ids of `table`.
        confidence: (i, j, k) the posterior of each, 0 to 1.
        table: tissue of every label.
    """
    codes = np.zeros(int(max(labels.max(), *table.ids)) + 1, np.uint8)
    for label in table.labels:
        codes[label.id] = CODES[label.tissue]
    own = codes[labels]
    tissues = [own == code for code in range(len(CODES) + 1)]
    siblings = _siblings_around(labels, table)
    second, most = np.zeros_like(own), np.zeros_like(own)
    for code, tissue in enumerate(tissues):
        around = np.where(tissue, siblings, _count_around(tissue))
        second[around > most] = code
        np.maximum(most, around, out=most)
    # Where all of a neighbourhood is of one tissue, there is no second one.
    sure = np.where((most > 0) & (second != own), confidence, np.float32(1.0))
    grey, white, fluid = (
        np.where(tissues[code], sure, np.where(second == code, 1 - sure, np.float32(0.0)))
        for code in (GREY, WHITE, FLUID)
    )
    return grey, white, fluid


def _siblings_around(labels: NDArray[np.uint8], table: LabelTable) -> NDArray[np.uint8]:
    """How many of the 27 voxels around each region of the cortex are of other regions of it."""
    cortex = np.isin(labels, [label.id for label in table.labels if label.parent == CORTEX])
    if not cortex.any():
        return np.zeros_like(labels)
    padded, same = np.pad(labels, 1, mode="edge"), np.zeros_like(labels)
    for corner in product(range(3), repeat=labels.ndim):
        place = tuple(slice(c, c + n) for c, n in zip(corner, labels.shape, strict=True))
        same += padded[place] == labels
    return np.where(cortex, _count_around(cortex) - same, np.uint8(0))


def _count_around(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """How many of the 27 voxels around each, itself included, are in a mask; edges go on."""
    count = np.pad(mask.view(np.uint8), 1, mode="edge")
    for axis in range(count.ndim):
        line = np.moveaxis(count, axis, 0)
        count = np.moveaxis(line[:-2] + line[1:-1] + line[2:], 0, axis)
    return count
