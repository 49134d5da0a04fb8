"""Synthesis of T1-weighted training scans from label maps, on the training device.

Draw, then apply: `draw_*` turns a generator into frozen parameters, `apply_*` is a pure function of
image and parameters, so that any sample can be made again from its parameters.
The generative model (deform, Gaussian per tissue, blur, bias, noise) follows Billot et al. 2023,
"SynthSeg", Medical Image Analysis 86:102789, with intensities ordered as in a T1 by default.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional as F

from fibromorph.datasets import tissues
from fibromorph.datasets.labelmaps import LabelMap
from fibromorph.errors import ConfigError
from fibromorph.grid import Shape3
from fibromorph.preprocess import normalise


@dataclass(frozen=True)
class SynthesisSettings:
    """How far samples may stray from the label map. Shares and amplitudes; 0 turns a part off.

    Attributes:
        rotation_deg: largest rotation about each axis.
        scaling: largest relative change of size along each axis.
        shear: largest shear.
        elastic_mm: standard deviation of the smooth displacement.
        flip: share of samples mirrored left-right, sides swapped with it.
        jitter_mm: how far the crop's centre may lie from the brain's, beyond what fits.
        random_contrast: share of samples with any contrast at all instead of a T1's.
        tissue_sd: largest standard deviation inside a tissue, white matter being 1.
        noise_sd: largest standard deviation of the scanner's noise.
        bias: largest standard deviation of the log bias field.
        gamma: standard deviation of the log exponent.
        blur_mm: largest standard deviation of the point spread, on top of 0.3 mm.
        thick: share of samples acquired with thicker voxels.
        thickest_mm: the thickest of them.
        stripped: share of samples with everything outside the brain removed.
        cut: share of samples whose field of view ends inside the crop.
    """

    rotation_deg: float = 15.0
    scaling: float = 0.12
    shear: float = 0.03
    elastic_mm: float = 2.5
    flip: float = 0.5
    jitter_mm: float = 8.0
    random_contrast: float = 0.05
    tissue_sd: float = 0.06
    noise_sd: float = 0.06
    bias: float = 0.25
    gamma: float = 0.15
    blur_mm: float = 0.6
    thick: float = 0.2
    thickest_mm: float = 3.0
    stripped: float = 0.4
    cut: float = 0.1

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value >= 0:
                raise ConfigError("must be 0 or more", value=value, subject=field.name)
        for name in ("flip", "random_contrast", "thick", "stripped", "cut"):
            if getattr(self, name) > 1:
                raise ConfigError("is a share, 0 to 1", value=getattr(self, name), subject=name)


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
    """

    blur_sd: tuple[float, float, float]
    thickness: tuple[float, float, float]
    log_bias: Tensor
    gamma: float
    noise_sd: float
    strip_margin: int | None
    cut: tuple[int, int, int] | None


def _uniform(rng: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=rng, device=rng.device)


def _number(rng: torch.Generator, low: float, high: float) -> float:
    return float(_uniform(rng, low, high))


def _chance(rng: torch.Generator, share: float) -> bool:
    return _number(rng, 0.0, 1.0) < share


def _normal(rng: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=rng, device=rng.device)


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


def draw_spatial(
    rng: torch.Generator,
    settings: SynthesisSettings,
    source: LabelMap,
    shape: Shape3,
    spacing_mm: float = 1.0,
) -> SpatialParams:
    """Draw affine, elastic deformation, mirroring and the place of the crop."""
    limit = torch.pi / 180 * settings.rotation_deg
    shear = torch.eye(3, device=rng.device)
    shear = shear + _uniform(rng, -settings.shear, settings.shear, 3, 3) * (1 - shear)
    scale = torch.diag(_uniform(rng, 1 - settings.scaling, 1 + settings.scaling, 3))
    matrix = spacing_mm * _rotation(_uniform(rng, -limit, limit, 3)) @ scale @ shear
    flipped = _chance(rng, settings.flip)
    if flipped:
        matrix = matrix @ torch.diag(torch.tensor([-1.0, 1.0, 1.0], device=rng.device))
    start = torch.tensor(source.brain_start, device=rng.device)
    stop = torch.tensor(source.brain_stop, device=rng.device)
    size = spacing_mm * torch.tensor(shape, device=rng.device)
    slack = ((stop - start - size).abs() / 2).clip(min=0) + settings.jitter_mm
    centre = (start + stop - 1) / 2 + slack * _uniform(rng, -1, 1, 3)
    coarse = F.interpolate(
        _normal(rng, 1, 3, 4, 4, 4), size=(9, 9, 9), mode="trilinear", align_corners=True
    )
    control = settings.elastic_mm * (coarse[0] + 0.25 * _normal(rng, 3, 9, 9, 9))
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
    steps = [
        torch.arange(n, device=index.device, dtype=torch.float32) - (n - 1) / 2 for n in shape
    ]
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


def draw_contrast(rng: torch.Generator, settings: SynthesisSettings) -> ContrastParams:
    """Draw the intensities of all tissues, ordered as in a T1 or, at times, at random."""
    groups = torch.tensor(tissues.intensity_groups(), device=rng.device)
    ranges = torch.tensor(tissues.t1_ranges(), device=rng.device)
    outside = torch.tensor(tissues.outside_brain(), device=rng.device)
    count = int(groups.max()) + 1
    low, high = ranges[:, 0], ranges[:, 1]
    if _chance(rng, settings.random_contrast):
        air = torch.arange(len(groups), device=rng.device) == 0
        low, high = torch.where(air, low, 0.0), torch.where(air, high, 1.0)
    mean = low + (high - low) * _uniform(rng, 0, 1, count)[groups]
    wander = mean * (1 + 0.08 * _uniform(rng, -1, 1, count)[groups])
    elsewhere = low + (high - low) * _uniform(rng, 0, 1, count)[groups]
    other = torch.where(outside, elsewhere, wander)
    sd = settings.tissue_sd * _uniform(rng, 0.1, 1, count)[groups] * (mean > 0.05)
    return ContrastParams(mean, other, _uniform(rng, 0, 1, 8, 8, 8), sd)


def apply_contrast(index: Tensor, params: ContrastParams, rng: torch.Generator) -> Tensor:
    """Intensity of each voxel, before the scanner.

    Args:
        index: (i, j, k) int64 generation indices.
        params: see `ContrastParams`.
        rng: draws the texture.

    Returns:
        (i, j, k) float32, white matter about 1.
    """
    blend = _field(params.blend, _shape3(index))
    mean = params.mean[index]
    mean = mean + (params.other_mean[index] - mean) * blend
    return mean + params.sd[index] * _normal(rng, *index.shape)


def draw_acquisition(
    rng: torch.Generator, settings: SynthesisSettings, shape: Shape3
) -> AcquisitionParams:
    """Draw point spread, voxel thickness, bias, gamma, noise, skull removal and field of view."""
    blur = tuple((0.3 + settings.blur_mm * _uniform(rng, 0, 1, 3)).tolist())
    thickness = [1.0, 1.0, 1.0]
    if _chance(rng, settings.thick):
        if _chance(rng, 0.5):
            thickness[int(_number(rng, 0, 2.999))] = _number(rng, 1, settings.thickest_mm)
        else:
            thickness = [_number(rng, 1, max(1.0, settings.thickest_mm * 0.6))] * 3
    margin = None
    if _chance(rng, settings.stripped):
        margin = int(_number(rng, -1, 4.999)) if _chance(rng, 0.8) else -1
    cut = None
    if _chance(rng, settings.cut):
        axis, depth = int(_number(rng, 0, 2.999)), _number(rng, 0.02, 0.25)
        length = shape[axis]
        first = int(length * depth)
        cut = (axis, first, length) if _chance(rng, 0.5) else (axis, 0, length - first)
    return AcquisitionParams(
        blur_sd=(blur[0], blur[1], blur[2]),
        thickness=(thickness[0], thickness[1], thickness[2]),
        log_bias=_number(rng, 0, settings.bias) * _normal(rng, 4, 4, 4),
        gamma=float(torch.exp(settings.gamma * _normal(rng, 1))),
        noise_sd=_number(rng, 0.0, settings.noise_sd),
        strip_margin=margin,
        cut=cut,
    )


def keep_mask(index: Tensor, params: AcquisitionParams) -> Tensor:
    """True where skull removal and field of view leave the picture.

    Args:
        index: (i, j, k) int64 generation indices.
        params: see `AcquisitionParams`.
    """
    keep = torch.ones(index.shape, dtype=torch.bool, device=index.device)
    if params.strip_margin is not None:
        outside = torch.tensor(tissues.outside_brain(), device=index.device)[index]
        if params.strip_margin < 0:
            keep = ~outside
        else:
            fluid = index == tissues.GENERATION_IDS.index(24)
            keep = _dilate(~outside & ~fluid, params.strip_margin)
    if params.cut is not None:
        axis, first, last = params.cut
        position = torch.arange(index.shape[axis], device=index.device)
        shape = [1, 1, 1]
        shape[axis] = -1
        keep = keep & ((position >= first) & (position < last)).reshape(shape)
    return keep


def apply_acquisition(image: Tensor, params: AcquisitionParams, rng: torch.Generator) -> Tensor:
    """Blur, thicken, shade and add noise.

    Args:
        image: (i, j, k) float32, white matter about 1.
        params: see `AcquisitionParams`; skull removal and field of view are `keep_mask`'s.
        rng: draws the noise.

    Returns:
        (i, j, k) float32, not negative.
    """
    shape = _shape3(image)
    image = _blur(image, params.blur_sd)
    image = _thicken(image, params.thickness)
    image = image * torch.exp(_field(params.log_bias, shape))
    image = image + params.noise_sd * _normal(rng, *shape)
    return image.abs() ** params.gamma


@dataclass(frozen=True)
class Sample:
    """One training sample.

    Attributes:
        image: (i, j, k) float32 normalised intensities.
        classes: (i, j, k) int64 network class, 0 = background.
        sides: (i, j, k) int64, 1 = left, 2 = right, 0 = neither.
    """

    image: Tensor
    classes: Tensor
    sides: Tensor


def synthesise(
    source: LabelMap,
    index: Tensor,
    shape: Shape3,
    settings: SynthesisSettings,
    seed: int,
    spacing_mm: float = 1.0,
) -> Sample:
    """Make one sample on the device where `index` lies; the same seed gives the same sample.

    Args:
        source: names and box of the label map.
        index: its voxels as a tensor on the training device.
        shape: of the sample.
        settings: see `SynthesisSettings`.
        seed: of this sample's own generator.
        spacing_mm: of the sample's voxels.
    """
    rng = torch.Generator(index.device).manual_seed(seed)
    spatial = draw_spatial(rng, settings, source, shape, spacing_mm)
    anatomy = apply_spatial(index, spatial, shape)
    image = apply_contrast(anatomy, draw_contrast(rng, settings), rng)
    acquisition = draw_acquisition(rng, settings, shape)
    keep = keep_mask(anatomy, acquisition)
    image = apply_acquisition(image, acquisition, rng) * keep
    anatomy = anatomy * keep
    classes = torch.tensor(tissues.target_classes(), device=index.device)[anatomy]
    sides = torch.tensor(tissues.target_sides(), device=index.device)[anatomy]
    if spatial.flipped:
        sides = torch.tensor([0, 2, 1], device=index.device)[sides]
    return Sample(normalise(image), classes, sides)


def _shape3(image: Tensor) -> Shape3:
    return image.shape[0], image.shape[1], image.shape[2]


def _field(control: Tensor, shape: Shape3) -> Tensor:
    return F.interpolate(control[None, None], size=shape, mode="trilinear", align_corners=True)[
        0, 0
    ]


def _blur(image: Tensor, sd: tuple[float, float, float]) -> Tensor:
    out = image[None, None]
    for axis, width in enumerate(sd):
        radius = max(1, round(3 * width))
        steps = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype)
        kernel = torch.exp(-0.5 * (steps / max(width, 1e-3)) ** 2)
        shape = [1, 1, 1, 1, 1]
        shape[2 + axis] = -1
        padding = [0, 0, 0]
        padding[axis] = radius
        out = F.conv3d(out, (kernel / kernel.sum()).reshape(shape), padding=tuple(padding))
    return out[0, 0]


def _thicken(image: Tensor, thickness: tuple[float, float, float]) -> Tensor:
    if max(thickness) <= 1.0:
        return image
    shape = _shape3(image)
    # 0.42 voxel: the Gaussian whose full width at half maximum is one thick voxel.
    image = _blur(image, tuple(0.42 * max(t - 1, 0.0) for t in thickness))  # type: ignore[arg-type]
    coarse = [max(2, round(n / t)) for n, t in zip(shape, thickness, strict=True)]
    small = F.interpolate(image[None, None], size=coarse, mode="trilinear")
    return F.interpolate(small, size=shape, mode="trilinear")[0, 0]


def _dilate(mask: Tensor, voxels: int) -> Tensor:
    out = mask[None, None].float()
    for axis in range(3):
        size, padding = [1, 1, 1], [0, 0, 0]
        size[axis], padding[axis] = 2 * voxels + 1, voxels
        out = F.max_pool3d(out, kernel_size=size, stride=1, padding=padding)
    return out[0, 0] > 0.5
