"""The brain as a solid: what skull-stripping leaves of a head."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fibromorph.postprocessing.components import Mask, grow
from fibromorph.postprocessing.volumes import SULCAL_CSF

CLOSING_STEPS = 1
"""Voxels by which the solid is grown and shrunk again: gaps twice as wide are closed."""


def is_brain(labels: NDArray[np.uint8]) -> Mask:
    """Where labels are of the brain or its ventricles, not of the fluid around it."""
    brain: Mask = (labels > 0) & (labels != SULCAL_CSF)
    return brain


def brain_solid(labels: NDArray[np.uint8]) -> Mask:
    """Brain and ventricles with narrow sulci closed.

    Args:
        labels: (i, j, k) ids, 0 for `CLOSING_STEPS` voxels at the margins.
    """
    closed: Mask = ~grow(~grow(is_brain(labels), CLOSING_STEPS), CLOSING_STEPS)
    return closed
