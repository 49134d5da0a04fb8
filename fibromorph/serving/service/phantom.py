"""A head of ellipsoids, to warm an engine up with when there is no real one at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fibromorph.grid import Grid
from fibromorph.scans import Scan

LENGTH = 64
SPACING_MM = 2.4
SEMI_AXES = (20.0, 25.0, 19.0)
# Outer radius of each shell, in semi-axes, and its brightness: scalp, fluid, grey, white, fluid.
SHELLS = ((1.25, 100.0), (1.1, 20.0), (1.0, 70.0), (0.85, 110.0), (0.15, 20.0))
NOISE = 3.0
SEED = 0


def phantom_scan() -> Scan:
    """The phantom: (64, 64, 64) float32 on voxels of 2.4 mm, RAS, always the same."""
    axes = np.indices((LENGTH, LENGTH, LENGTH), dtype=np.float32) - LENGTH / 2
    semi_axes = np.array(SEMI_AXES, np.float32).reshape(3, 1, 1, 1)
    radius = np.sqrt(((axes / semi_axes) ** 2).sum(axis=0))
    data = np.zeros((LENGTH, LENGTH, LENGTH), np.float32)
    for outer, brightness in SHELLS:
        data[radius < outer] = brightness
    data += np.random.default_rng(SEED).normal(0.0, NOISE, data.shape).astype(np.float32)
    affine = np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0])
    affine[:3, 3] = -SPACING_MM * LENGTH / 2
    grid = Grid((LENGTH, LENGTH, LENGTH), affine)
    return Scan(data, grid, "phantom", Path("phantom"), "phantom", "", ())
