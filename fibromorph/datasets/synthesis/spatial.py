"""Where each voxel of a sample lies in its label map: affine, elastic, mirrored, cropped."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from fibromorph.datasets.labelmaps import LabelMap
from fibromorph.datasets.synthesis.random import chance, normal, uniform
from fibromorph.datasets.synthesis.settings import SynthesisSettings
from fibromorph.grid import Shape3


@dataclass(frozen=True)
class SpatialParams:
    """Where in the label map each voxel of the sample lies.

    Attributes:
        matrix: (3, 3) from sample voxels about its centre to map voxels about `centre`.
        centre: (3,) voxel of the map at the sample's centre.
        control_mm: (3, n, n, n) displacements, interpolated over the sample.
        flipped: the sample is mirrored, so left and right change names.
    """

    matrix: Tensor
    centre: Tensor
    control_mm: Tensor
    flipped: bool


def draw_spatial(
    rng: torch.Generator,
    settings: SynthesisSettings,
    source: LabelMap,
    shape: Shape3,
    spacing_mm: float = 1.0,
) -> SpatialParams:
    """Draw affine, elastic deformation, mirroring and the place of the crop."""
    matrix = spacing_mm * _draw_linear(rng, settings)
    flipped = chance(rng, settings.flip)
    if flipped:
        matrix = matrix @ torch.diag(torch.tensor([-1.0, 1.0, 1.0], device=rng.device))
    start = torch.tensor(source.brain_start, device=rng.device)
    stop = torch.tensor(source.brain_stop, device=rng.device)
    size = spacing_mm * torch.tensor(shape, device=rng.device)
    # A crop smaller than the brain may lie anywhere in it, a larger one anywhere around it.
    slack = ((stop - start - size).abs() / 2).clip(min=0) + settings.jitter_mm
    centre = (start + stop - 1) / 2 + slack * uniform(rng, -1, 1, 3)
    coarse = F.interpolate(
        normal(rng, 1, 3, 4, 4, 4), size=(9, 9, 9), mode="trilinear", align_corners=True
    )
    control = settings.elastic_mm * (coarse[0] + 0.25 * normal(rng, 3, 9, 9, 9))
    return SpatialParams(matrix, centre, control, flipped)


def apply_spatial(index: Tensor, params: SpatialParams, shape: Shape3) -> Tensor:
    """Read the label map at the deformed places, nearest neighbour.

    Args:
        index: (i, j, k) uint8 generation indices.
        params: see `SpatialParams`.
        shape: of the sample.

    Returns:
        `shape` int64; 0 outside the map.
    """
    steps = [torch.arange(n, device=index.device, dtype=torch.float32) - (n - 1) / 2 for n in shape]
    grids = (steps[0][:, None, None], steps[1][None, :, None], steps[2][None, None, :])
    moved = F.interpolate(
        params.control_mm[None], size=shape, mode="trilinear", align_corners=True
    )[0]
    flat = torch.zeros(shape, dtype=torch.int64, device=index.device)
    inside = torch.ones(shape, dtype=torch.bool, device=index.device)
    for axis in range(3):
        place = moved[axis]
        for other in range(3):
            place = place + params.matrix[axis, other] * grids[other]
        voxel = (place + params.centre[axis]).round().long()
        inside &= (voxel >= 0) & (voxel < index.shape[axis])
        flat = flat * index.shape[axis] + voxel
    flat = torch.where(inside, flat, 0)
    return index.reshape(-1)[flat].long() * inside


def _draw_linear(rng: torch.Generator, settings: SynthesisSettings) -> Tensor:
    limit = torch.pi / 180 * settings.rotation_deg
    shear = torch.eye(3, device=rng.device)
    shear = shear + uniform(rng, -settings.shear, settings.shear, 3, 3) * (1 - shear)
    scale = torch.diag(uniform(rng, 1 - settings.scaling, 1 + settings.scaling, 3))
    return _rotation(uniform(rng, -limit, limit, 3)) @ scale @ shear


def _rotation(angles: Tensor) -> Tensor:
    cos, sin = torch.cos(angles), torch.sin(angles)
    turn = torch.eye(3, device=angles.device)
    for axis in range(3):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        plane = torch.eye(3, device=angles.device)
        plane[a, a], plane[b, b] = cos[axis], cos[axis]
        plane[a, b], plane[b, a] = -sin[axis], sin[axis]
        turn = plane @ turn
    return turn
