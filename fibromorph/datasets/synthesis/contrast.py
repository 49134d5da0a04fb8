"""Intensities of the tissues, ordered as in a T1 by default."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fibromorph.datasets import tissues
from fibromorph.datasets.synthesis.filters import field, shape3
from fibromorph.datasets.synthesis.random import Draws, chance, normal, uniform
from fibromorph.datasets.synthesis.settings import SynthesisSettings
from fibromorph.lookups import lookup


@dataclass(frozen=True)
class ContrastParams:
    """Intensity of each generation index, and how it wanders.

    Attributes:
        mean, other_mean: (g,) the tissue's intensity moves between the two...
        blend: (n, n, n) ...as this smooth field goes from 0 to 1.
        sd: (g,) inside the tissue.
    """

    mean: Tensor
    other_mean: Tensor
    blend: Tensor
    sd: Tensor


def draw_contrast(rng: Draws, settings: SynthesisSettings) -> ContrastParams:
    """Draw the intensities of all tissues, ordered as in a T1 or, at times, at random."""
    groups = lookup(tissues.intensity_groups(), rng.device)
    ranges = lookup(tissues.t1_ranges(), rng.device, torch.float32)
    outside = lookup(tissues.outside_brain(), rng.device, torch.bool)
    count = max(tissues.intensity_groups()) + 1
    low, high = ranges[:, 0], ranges[:, 1]
    if chance(rng, settings.random_contrast):
        air = torch.arange(len(groups), device=rng.device) == 0
        low, high = torch.where(air, low, 0.0), torch.where(air, high, 1.0)
    mean = low + (high - low) * uniform(rng, 0, 1, count)[groups]
    wander = mean * (1 + 0.08 * uniform(rng, -1, 1, count)[groups])
    elsewhere = low + (high - low) * uniform(rng, 0, 1, count)[groups]
    other = torch.where(outside, elsewhere, wander)
    sd = settings.tissue_sd * uniform(rng, 0.1, 1, count)[groups] * (mean > 0.05)
    return ContrastParams(mean, other, uniform(rng, 0, 1, 8, 8, 8), sd)


def apply_contrast(index: Tensor, params: ContrastParams, rng: Draws) -> Tensor:
    """Intensity of each voxel, before the scanner.

    Args:
        index: (i, j, k) int64 generation indices.
        params: see `ContrastParams`.
        rng: draws the texture.

    Returns:
        (i, j, k) float32, white matter about 1.
    """
    blend = field(params.blend, shape3(index))
    mean = params.mean[index]
    mean = mean + (params.other_mean[index] - mean) * blend
    return mean + params.sd[index] * normal(rng, *index.shape)
