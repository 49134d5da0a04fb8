"""Spots of white matter that are dark in a T1: small vessel disease, inflammation, age.

A network that never saw any calls them cortex, or lets the grey matter beside them grow. They lie
around the ventricles and deep in the white matter, and stay white matter in the labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from fibromorph.datasets.synthesis.filters import blur, dilate, shape3
from fibromorph.datasets.synthesis.random import Draws, chance, normal, number
from fibromorph.datasets.synthesis.settings import SynthesisSettings
from fibromorph.grid import Shape3
from fibromorph.lookups import lookup

VENTRICLE, WHITE_MATTER = "Lateral-Ventricle", "Cerebral-White-Matter"
"""Structures beside and in which lesions lie."""

WIDTH_VOXELS = (4.0, 10.0)
"""Distance of the points that a sample's lesions may lie around."""
RARITY = (0.7, 1.6)
"""Height of the noise above which there is a lesion, in standard deviations at those points."""
EDGE = 0.5
"""Over this much of its height a lesion comes to its full depth."""
BESIDE_VENTRICLES, REACH_VOXELS = (0.0, 1.2), (2.0, 5.0)
"""By how much the noise is higher there; the standard deviation by which ventricles are blurred to
tell where that is."""
FULL_REACH = 0.1
"""So much ventricle in the blurred picture is right beside one."""
DEPTH = (0.15, 0.6)
"""Share of the intensity that a lesion takes away: of a T1's white matter, down to fluid."""


@dataclass(frozen=True)
class LesionParams:
    """Where lesions lie, and how dark they are.

    Attributes:
        control: (n, n, n) noise, interpolated over the sample.
        rarity: height of it above which there is a lesion.
        beside_ventricles: added to it beside the ventricles...
        reach: ...fading with this standard deviation, in voxels.
        depth: share of the intensity that is gone in the middle of a lesion.
    """

    control: Tensor
    rarity: float
    beside_ventricles: float
    reach: float
    depth: float


def draw_lesions(rng: Draws, settings: SynthesisSettings, shape: Shape3) -> LesionParams | None:
    """Draw the lesions of a sample; None = it has none."""
    # Without the option no number is drawn: samples stay those of runs that did not know it.
    if not settings.lesions or not chance(rng, settings.lesions):
        return None
    width = number(rng, *WIDTH_VOXELS)
    return LesionParams(
        control=normal(rng, *(max(2, round(n / width)) for n in shape)),
        rarity=number(rng, *RARITY),
        beside_ventricles=number(rng, *BESIDE_VENTRICLES),
        reach=number(rng, *REACH_VOXELS),
        depth=number(rng, *DEPTH),
    )


def apply_lesions(
    image: Tensor, index: Tensor, names: tuple[str, ...], params: LesionParams
) -> Tensor:
    """Darken the white matter where lesions lie.

    Args:
        image: (i, j, k) float32, before the scanner.
        index: (i, j, k) int64, below the length of `names`.
        names: of the structure that each index is part of.
        params: see `LesionParams`.

    Returns:
        (i, j, k) float32.
    """
    white, ventricles = (
        lookup(tuple(name == wanted for name in names), index.device, torch.bool)[index]
        for wanted in (WHITE_MATTER, VENTRICLE)
    )
    height = F.interpolate(params.control[None, None], size=shape3(image), mode="trilinear")[0, 0]
    near = blur(ventricles.float(), (params.reach,) * 3) / FULL_REACH
    height = height + params.beside_ventricles * near.clamp(max=1)
    # A ribbon of white matter stays under the cortex: without it nobody could tell the two apart.
    inside = white & ~dilate(~(white | ventricles), 1)
    share = ((height - params.rarity) / EDGE).clamp(0, 1) * inside
    return image * (1 - params.depth * share)
