"""Filters on one image, written for any device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fibromorph.grid import Shape3

SLICE_PROFILE_SD = 0.42
"""Of a voxel: the Gaussian whose full width at half maximum is one voxel."""


def shape3(image: Tensor) -> Shape3:
    """The shape of a 3-D image."""
    return image.shape[0], image.shape[1], image.shape[2]


def field(control: Tensor, shape: Shape3) -> Tensor:
    """A smooth field: control points (n, n, n) interpolated linearly over `shape`."""
    grown = F.interpolate(control[None, None], size=shape, mode="trilinear", align_corners=True)
    return grown[0, 0]


def blur(image: Tensor, sd: tuple[float, float, float]) -> Tensor:
    """Gaussian smoothing of an (i, j, k) image; `sd` in voxels along each axis, air outside."""
    out = image[None, None]
    for axis, width in enumerate(sd):
        radius = max(1, round(3 * width))
        steps = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype)
        kernel = torch.exp(-0.5 * (steps / max(width, 1e-3)) ** 2)
        shape, padding = [1, 1, 1, 1, 1], [0, 0, 0]
        shape[2 + axis], padding[axis] = -1, radius
        out = F.conv3d(out, (kernel / kernel.sum()).reshape(shape), padding=padding)
    return out[0, 0]


def thicken(image: Tensor, thickness: tuple[float, float, float]) -> Tensor:
    """An (i, j, k) image as if acquired with voxels `thickness` times as long, on its own grid."""
    if max(thickness) <= 1.0:
        return image
    shape = shape3(image)
    i, j, k = (SLICE_PROFILE_SD * max(t - 1, 0.0) for t in thickness)
    image = blur(image, (i, j, k))
    coarse = [max(2, round(n / t)) for n, t in zip(shape, thickness, strict=True)]
    small = F.interpolate(image[None, None], size=coarse, mode="trilinear")
    return F.interpolate(small, size=shape, mode="trilinear")[0, 0]


def dilate(mask: Tensor, voxels: int) -> Tensor:
    """An (i, j, k) bool mask grown by a cube of `voxels` to each side."""
    out = mask[None, None].float()
    for axis in range(3):
        size, padding = [1, 1, 1], [0, 0, 0]
        size[axis], padding[axis] = 2 * voxels + 1, voxels
        out = F.max_pool3d(out, kernel_size=size, stride=1, padding=padding)
    return out[0, 0] > 0.5
