"""What scanner, skull removal and field of view do to the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fibromorph.datasets import tissues
from fibromorph.datasets.synthesis.filters import blur, dilate, field, shape3, thicken
from fibromorph.datasets.synthesis.random import (
    Draws,
    Numbers,
    chance,
    normal,
    normal_number,
    number,
    numbers,
)
from fibromorph.datasets.synthesis.settings import SynthesisSettings
from fibromorph.grid import Shape3
from fibromorph.lookups import lookup

POINT_SPREAD_VOXELS = 0.3
"""Standard deviation of the sharpest point spread."""

FACE_DOWN = (0.4, 1.6)
"""How far down the way to a face leads, relative to how far it leads to the front."""
FACE_SIDEWAYS_SD = 0.1
FACE_MARGIN = 8.0
"""Most voxels between the brain and what is cut away with a face."""


@dataclass(frozen=True)
class AcquisitionParams:
    """What the scanner does to the picture.

    Attributes:
        blur_sd: three standard deviations of the point spread, in voxels.
        thickness: three factors by which voxels were thicker than the sample's.
        log_bias: (n, n, n) control points.
        gamma: exponent.
        noise_sd: of the added noise.
        strip_margin: None: whole head; -1: brain and all fluid inside the skull; n: brain and
            everything within n voxels of it.
        cut: None, or (axis, first kept voxel, one past the last).
        face: None, or which way the face lies (a direction along i, j and k, length 1) and how many
            voxels that way from the brain the picture ends.
    """

    blur_sd: tuple[float, float, float]
    thickness: tuple[float, float, float]
    log_bias: Tensor
    gamma: float
    noise_sd: float
    strip_margin: int | None
    cut: tuple[int, int, int] | None
    face: tuple[Numbers, float] | None = None


def draw_acquisition(
    rng: Draws, settings: SynthesisSettings, shape: Shape3, matrix: Numbers | None = None
) -> AcquisitionParams:
    """Draw what scanner and sharing did to a picture.

    Args:
        rng: the numbers of the sample.
        settings: see `SynthesisSettings`.
        shape: of the sample.
        matrix: `SpatialParams.matrix`, which tells where the face is; without it, it stays.
    """
    i, j, k = (POINT_SPREAD_VOXELS + settings.blur_mm * numbers(rng, 0, 1, 3)).tolist()
    # Keyword arguments are evaluated in this order, and so is the stream of numbers.
    return AcquisitionParams(
        blur_sd=(i, j, k),
        thickness=_draw_thickness(rng, settings),
        strip_margin=_draw_strip_margin(rng, settings),
        cut=_draw_cut(rng, settings, shape),
        log_bias=number(rng, 0, settings.bias) * normal(rng, 4, 4, 4),
        gamma=math.exp(settings.gamma * normal_number(rng)),
        noise_sd=number(rng, 0.0, settings.noise_sd),
        face=None if matrix is None else _draw_face(rng, settings, matrix),
    )


def keep_mask(index: Tensor, params: AcquisitionParams) -> Tensor:
    """True where skull removal, defacing and field of view leave the picture.

    Args:
        index: (i, j, k) int64 generation indices.
        params: see `AcquisitionParams`.
    """
    shape = index.shape[0], index.shape[1], index.shape[2]
    keep = _not_stripped(index, params.strip_margin) & cut_mask(shape, params, index.device)
    return keep if params.face is None else keep & _without_face(index, *params.face)


def cut_mask(shape: Shape3, params: AcquisitionParams, device: torch.device) -> Tensor:
    """True inside the field of view; `shape` bool."""
    keep = torch.ones(shape, dtype=torch.bool, device=device)
    if params.cut is not None:
        axis, first, last = params.cut
        position = torch.arange(shape[axis], device=device)
        along = [1, 1, 1]
        along[axis] = -1
        keep = keep & ((position >= first) & (position < last)).reshape(along)
    return keep


def apply_acquisition(image: Tensor, params: AcquisitionParams, rng: Draws) -> Tensor:
    """Blur, thicken, shade and add noise.

    Args:
        image: (i, j, k) float32, white matter about 1.
        params: see `AcquisitionParams`; skull removal and field of view are `keep_mask`'s.
        rng: draws the noise.

    Returns:
        (i, j, k) float32, not negative.
    """
    shape = shape3(image)
    image = blur(image, params.blur_sd)
    image = thicken(image, params.thickness)
    image = image * torch.exp(field(params.log_bias, shape))
    image = image + params.noise_sd * normal(rng, *shape)
    return image.abs() ** params.gamma


def _draw_thickness(rng: Draws, settings: SynthesisSettings) -> tuple[float, float, float]:
    """Thick along one axis (2-D acquisitions) or along all three (low resolution)."""
    if not chance(rng, settings.thick):
        return 1.0, 1.0, 1.0
    if chance(rng, 0.5):
        factors = [1.0, 1.0, 1.0]
        factors[int(number(rng, 0, 2.999))] = number(rng, 1, max(1.0, settings.thickest_mm))
        return factors[0], factors[1], factors[2]
    factor = number(rng, 1, max(1.0, settings.thickest_mm * 0.6))
    return factor, factor, factor


def _draw_strip_margin(rng: Draws, settings: SynthesisSettings) -> int | None:
    if not chance(rng, settings.stripped):
        return None
    return int(number(rng, -1, 4.999)) if chance(rng, 0.8) else -1


def _draw_cut(
    rng: Draws, settings: SynthesisSettings, shape: Shape3
) -> tuple[int, int, int] | None:
    if not chance(rng, settings.cut):
        return None
    axis, depth = int(number(rng, 0, 2.999)), number(rng, 0.02, 0.25)
    length = shape[axis]
    first = int(length * depth)
    return (axis, first, length) if chance(rng, 0.5) else (axis, 0, length - first)


def _draw_face(
    rng: Draws, settings: SynthesisSettings, matrix: Numbers
) -> tuple[Numbers, float] | None:
    if not chance(rng, settings.defaced):
        return None
    in_head = np.array([FACE_SIDEWAYS_SD * normal_number(rng), 1.0, -number(rng, *FACE_DOWN)])
    way = np.linalg.solve(matrix, in_head)
    return way / np.linalg.norm(way), number(rng, 0.0, FACE_MARGIN)


def _without_face(index: Tensor, way: Numbers, margin: float) -> Tensor:
    steps = [
        w * torch.arange(n, device=index.device)
        for w, n in zip(way.tolist(), index.shape, strict=True)
    ]
    place = steps[0][:, None, None] + steps[1][:, None] + steps[2]
    brain = place[~lookup(tissues.outside_brain(), index.device, torch.bool)[index]]
    return place <= brain.max() + margin if len(brain) else torch.ones_like(index, dtype=torch.bool)


def _not_stripped(index: Tensor, margin: int | None) -> Tensor:
    if margin is None:
        return torch.ones(index.shape, dtype=torch.bool, device=index.device)
    outside = lookup(tissues.outside_brain(), index.device, torch.bool)[index]
    if margin < 0:
        return ~outside
    fluid = index == tissues.GENERATION_IDS.index(tissues.FLUID_ID)
    return dilate(~outside & ~fluid, margin)
