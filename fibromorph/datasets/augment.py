"""Augmentation of real labelled scans with TorchIO, which is imported only when one is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fibromorph.datasets.labelled import LabelledScan, make_sample, take_box
from fibromorph.datasets.samples import Sample
from fibromorph.errors import ConfigError, require_amount
from fibromorph.grid import Shape3

ROOM_VOXELS = 16
"""Taken along around a crop, so that a turned scan has no empty corners."""

SWAPPED = (0, 2, 1)
"""What the sides are called in a mirror."""


@dataclass(frozen=True)
class AugmentationSettings:
    """How far a real scan may be changed. Amplitudes; 0 turns a part off.

    Attributes:
        rotation_deg: largest rotation about each axis.
        scaling: largest relative change of size along each axis.
        elastic: share of samples deformed elastically; it costs ten times what the rest does.
        elastic_mm: largest displacement of a control point.
        flip: share of samples mirrored left-right, sides swapped with it.
        jitter_mm: how far the crop's centre may lie from the brain's, beyond what fits.
        bias: largest coefficient of the polynomial bias field.
        log_gamma: largest log exponent of the intensities.
        noise_sd: largest standard deviation of added noise, white matter being about 1.
    """

    rotation_deg: float = 12.0
    scaling: float = 0.1
    elastic: float = 0.3
    elastic_mm: float = 4.0
    flip: float = 0.5
    jitter_mm: float = 8.0
    bias: float = 0.3
    log_gamma: float = 0.25
    noise_sd: float = 0.05

    def __post_init__(self) -> None:
        for setting in fields(self):
            require_amount(getattr(self, setting.name), setting.name)
        if self.scaling >= 1:
            raise ConfigError("must be below 1", value=self.scaling, subject="scaling")
        for name in ("flip", "elastic"):
            if getattr(self, name) > 1:
                raise ConfigError("is a share, 0 to 1", value=getattr(self, name), subject=name)


@dataclass(frozen=True)
class PlaceParams:
    """What is drawn here; TorchIO draws the rest from `seed`.

    Attributes:
        start: first voxel of the crop; it may lie outside the scan.
        flipped: mirrored left-right, so that the sides change names.
        seed: of TorchIO's random numbers.
    """

    start: Shape3
    flipped: bool
    seed: int


def draw_place(
    rng: np.random.Generator, settings: AugmentationSettings, scan: LabelledScan, shape: Shape3
) -> PlaceParams:
    """Draw where the crop lies and whether it is mirrored."""
    begin, end = np.asarray(scan.brain_start), np.asarray(scan.brain_stop)
    slack = np.abs(end - begin - shape) / 2 + settings.jitter_mm
    centre = (begin + end - 1) / 2 + slack * rng.uniform(-1, 1, 3)
    i, j, k = np.rint(centre - (np.asarray(shape) - 1) / 2).astype(int).tolist()
    return PlaceParams((i, j, k), bool(rng.random() < settings.flip), int(rng.integers(2**31)))


def augment(scan: LabelledScan, settings: AugmentationSettings, shape: Shape3, seed: int) -> Sample:
    """One sample of a real scan, on the CPU; the same seed gives the same sample.

    Args:
        scan: see `LabelledScan`.
        settings: see `AugmentationSettings`.
        shape: of the sample.
        seed: of this sample.
    """
    place = draw_place(np.random.default_rng(seed), settings, scan, shape)
    first = _add(place.start, -ROOM_VOXELS)
    roomy = _add(shape, 2 * ROOM_VOXELS)
    image = torch.from_numpy(take_box(scan.image, first, roomy))
    ids = torch.from_numpy(take_box(scan.ids, first, roomy))
    image, ids = _transformed(image, ids, settings, place)
    inside = tuple(slice(ROOM_VOXELS, ROOM_VOXELS + n) for n in shape)
    sample = make_sample(image[inside], ids[inside], scan)
    if not place.flipped:
        return sample
    sides = torch.tensor(SWAPPED)[sample.sides]
    return Sample(sample.image, sample.classes, sides, sample.groups)


def _transformed(
    image: Tensor, ids: Tensor, settings: AugmentationSettings, place: PlaceParams
) -> tuple[Tensor, Tensor]:
    import torchio as tio

    subject = tio.Subject(
        image=tio.ScalarImage(tensor=image[None]), ids=tio.LabelMap(tensor=ids[None])
    )
    # TorchIO draws from torch's global generator: fork it, so that nothing else notices.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(place.seed)
        for make in _spatial(settings):
            subject = make(subject)
        if place.flipped:
            subject = tio.Flip(axes=(0,))(subject)
        # Where a scan is exactly zero its skull or margin was removed: no noise there.
        kept = subject.image.data > 0
        for make in _intensity(settings):
            subject = make(subject)
    return (subject.image.data.abs() * kept)[0].float(), subject.ids.data[0]


def _spatial(settings: AugmentationSettings) -> list[Callable[[Any], Any]]:
    import torchio as tio

    affine = tio.RandomAffine(
        scales=settings.scaling, degrees=settings.rotation_deg, default_pad_value=0
    )
    if settings.elastic == 0 or settings.elastic_mm == 0:
        return [affine]
    return [affine, tio.RandomElasticDeformation(7, settings.elastic_mm, p=settings.elastic)]


def _intensity(settings: AugmentationSettings) -> list[Callable[[Any], Any]]:
    import torchio as tio

    return [
        tio.RandomBiasField(coefficients=settings.bias),
        tio.RandomGamma(log_gamma=(-settings.log_gamma, settings.log_gamma)),
        tio.RandomNoise(std=(0, settings.noise_sd)),
    ]


def _add(values: Shape3, amount: int) -> Shape3:
    i, j, k = values
    return i + amount, j + amount, k + amount
