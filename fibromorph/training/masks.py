"""The brain as it will be drawn in service, where nobody knows its true border."""

from __future__ import annotations

import random

import torch
from torch import Tensor
from torch.nn import functional as F

TRUE_SHARE = 0.3
"""Of the masks, that are the true brain's with a border somewhat wider or narrower."""
BLUR_VOXELS = 3
THRESHOLDS = (0.2, 0.85)
"""Of the blurred brain: from some 4 mm around the true border to 5 mm inside it, and sulci fill."""
THRESHOLD_SD = 0.15
"""Of the threshold from place to place; a locator errs more in some places than in others."""
PLACES = 4
STEEPNESS = (1.5, 6.0)


def redraw_brain(shares: Tensor, seed: int) -> Tensor:
    """Another drawing of the same brain: larger, smaller, smoother, with borders that stray.

    The statistics that normalise the network are taken inside such a mask. Trained with true masks
    only, its volumes follow every error of the locator's: another one in each position of a head.

    Args:
        shares: (batch, 1, i, j, k) true share of brain of each block of voxels, 0 to 1.
        seed: the same seed, the same drawing.

    Returns:
        The same shape, 0 to 1.
    """
    rng = random.Random(seed)
    if rng.random() < TRUE_SHARE:
        return shares ** (2 ** rng.uniform(-1, 1))
    generator = torch.Generator(shares.device).manual_seed(rng.getrandbits(31))
    size = (len(shares), 1, PLACES, PLACES, PLACES)
    places = torch.randn(size, generator=generator, device=shares.device)
    stray = F.interpolate(places, shares.shape[2:], mode="trilinear") * THRESHOLD_SD
    blurred = shares
    for _ in range(2):
        blurred = F.avg_pool3d(blurred, BLUR_VOXELS, 1, BLUR_VOXELS // 2, count_include_pad=False)
    above = blurred - rng.uniform(*THRESHOLDS) - stray
    return (above * rng.uniform(*STEEPNESS) + 0.5).clamp(0, 1)
