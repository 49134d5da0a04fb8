"""What the locator tells the network, for who loads them and for who prepares a scan.

It stands apart so that an engine can be loaded, and compile its graphs, while what reads and
samples scans is still being imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BRAIN_BLOCK = 4
"""Voxels of the network's input along each side of a voxel of the brain's shares."""

Image = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Located:
    """What the locator says of the coarse voxels of a field of view.

    Attributes:
        brain: (i, j, k) float32, probability of brain, 0 to 1.
        inside: the same shape, the share of each voxel that lies inside the skull; None from a
            locator that was not trained to tell.
    """

    brain: Image
    inside: Image | None = None

    @classmethod
    def of(cls, outputs: Sequence[NDArray[np.uint8]]) -> Located:
        """From the graph's outputs, times 255: brain, and inside the skull if it has that."""
        brain, *inside = (output.astype(np.float32) / 255.0 for output in outputs)
        return cls(brain, inside[0] if inside else None)
