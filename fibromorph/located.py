"""What the locator tells the network, for who loads them and for who prepares a scan.

It stands apart so that an engine can be loaded, and compile its graphs, while what reads and
samples scans is still being imported.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BRAIN_BLOCK = 4
"""Voxels of the network's input along each side of a voxel of the brain's shares."""

Image = NDArray[np.float32]


def brain_of(outputs: Sequence[NDArray[np.uint8]]) -> Image:
    """Share of each coarse voxel that is brain, (i, j, k) float32, 0 to 1.

    Args:
        outputs: the locator's; the first is what this returns, times 255.
    """
    return outputs[0].astype(np.float32) / 255.0
