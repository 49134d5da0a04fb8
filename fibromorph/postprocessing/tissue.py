"""How much of each voxel is grey and white matter, of labels and what a network was sure of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fibromorph.grid import Grid
from fibromorph.labels import LabelTable

OTHER, GREY, WHITE, FLUID = range(4)
CODES = {"grey": GREY, "white": WHITE, "csf": FLUID}
NEIGHBOURHOOD = 3
"""Voxels along each side in which a voxel's second tissue is looked for."""
ROUNDING = 1e-3
"""Of sums over a neighbourhood; a single voxel is 1/27 of it."""

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
    """Grey and white matter of every voxel.

    A voxel belongs to the tissue of its label by its posterior. What is left of that belongs to
    the tissue that most of its other neighbours are of: posteriors are low where tissues meet.
    Structures count as their table says: thalamus and pallidum are grey, the brain stem is white.

    Args:
        labels: (i, j, k) ids of `table`.
        confidence: (i, j, k) the posterior of each, 0 to 1.
        table: tissue of every label.
        grid: where the voxels lie.
    """
    codes = np.zeros(int(max(labels.max(), *table.ids)) + 1, np.uint8)
    for label in table.labels:
        codes[label.id] = CODES[label.tissue]
    own = codes[labels]
    tissues = [own == code for code in range(len(CODES) + 1)]
    around = np.stack(
        [ndimage.uniform_filter(t.astype(np.float32), NEIGHBOURHOOD) for t in tissues]
    )
    np.put_along_axis(around, own[None].astype(np.intp), 0.0, axis=0)
    second = around.argmax(axis=0)
    # Where all of a neighbourhood is of one tissue, there is no second one.
    sure = np.where(around.max(axis=0) > ROUNDING, confidence, np.float32(1.0))
    grey, white = (
        np.where(tissues[code], sure, np.where(second == code, 1 - sure, np.float32(0.0)))
        for code in (GREY, WHITE)
    )
    return Tissue(grey, white, grid)
