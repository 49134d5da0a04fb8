"""A scan laid over the average head, and its grey and white matter there, in MNI coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fibromorph.grid import Grid
from fibromorph.labels import FREESURFER
from fibromorph.postprocessing.normalisation import Normalised, normalise_head
from fibromorph.postprocessing.tissue import tissue_shares
from fibromorph.serving.ribbon import DrawnRibbon


@dataclass(frozen=True, eq=False)
class MniMaps:
    """Where a scan has how much grey and white matter, for voxel-based morphometry.

    Attributes:
        drawn_by: name and version of the bundle that drew its tissue.
        grey, white: (i, j, k) float32 on the grid of `average_head`, modulated, see `Normalised`.
        likeness: see `Normalised.likeness`.
    """

    drawn_by: str
    grey: NDArray[np.float32]
    white: NDArray[np.float32]
    likeness: float


def lay_over_average(
    drawn: DrawnRibbon, grid: Grid, threads: int, sessions: Sequence[DrawnRibbon] = ()
) -> Normalised:
    """Lay a scan's tissue over the average head.

    Args:
        drawn: ids of `FREESURFER`, and their posteriors.
        grid: where their voxels lie.
        threads: of the CPU.
        sessions: other scans of this head on that lattice, see `normalise_head`.
    """
    own, *others = (
        tissue_shares(one.ribbon.labels, one.ribbon.confidence, FREESURFER, grid)
        for one in (drawn, *sessions)
    )
    return normalise_head(own, threads, sessions=others)
