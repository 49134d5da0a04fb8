"""What a data loader hands out: numbers of samples, and the real scans among them.

Synthetic samples are made on the training device, so the loader only counts them. Real ones are
augmented on the CPU, by the loader's workers, while the device is busy.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from fibromorph.datasets.augment import AugmentationSettings, augment
from fibromorph.datasets.labelled import LabelledScan
from fibromorph.datasets.samples import Sample
from fibromorph.grid import Shape3


@dataclass(frozen=True)
class Slot:
    """One place in a batch.

    Attributes:
        number: of the sample, counted over the whole run and all devices.
        real: the sample if it is a real scan's; None = to be synthesised.
    """

    number: int
    real: Sample | None = None

    def to(self, device: torch.device) -> Slot:
        """The same on another device."""
        return self if self.real is None else replace(self, real=self.real.to(device))


@dataclass(frozen=True)
class RealMix:
    """Which samples are real.

    Attributes:
        share: of all samples.
        shape: of the samples, the largest that training crops.
        seed: sample n depends on it and on nothing else.
        scans: to draw from.
        settings: see `augment`.
    """

    share: float
    shape: Shape3
    seed: int
    scans: tuple[LabelledScan, ...] = field(repr=False)
    settings: AugmentationSettings

    def draw(self, number: int) -> Sample | None:
        """Sample `number` of the run if it is a real one."""
        rng = random.Random(hash((self.seed, number)))
        if rng.random() >= self.share:
            return None
        return augment(rng.choice(self.scans), self.settings, self.shape, rng.getrandbits(31))


class Slots(Dataset[Slot]):
    """Any number is a slot; `SampleNumbers` says which come next."""

    def __init__(self, count: int, mix: RealMix | None = None) -> None:
        self.count = count
        self.mix = mix

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Slot:
        return Slot(number, None if self.mix is None else self.mix.draw(number))


class SampleNumbers(DistributedSampler[int]):
    """Numbers that go on from epoch to epoch and never meet twice, on any device or in any slice.

    Args:
        count: samples an epoch and device.
        seen: tells how many samples the run has used up to now, on all devices.
        replicas: devices.
        rank: which of them this is.
    """

    def __init__(
        self, count: int, seen: Callable[[], int], replicas: int = 1, rank: int = 0
    ) -> None:
        super().__init__(Slots(count * replicas), replicas, rank, shuffle=False)
        self.seen = seen

    def __iter__(self) -> Iterator[int]:
        start = self.seen()
        return iter(range(start + self.rank, start + self.total_size, self.num_replicas))


class SlotLoader(DataLoader[Slot]):
    """A loader that can go on in the middle of an epoch: `SampleNumbers` knows where."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing: that it is there tells Lightning that going on is safe."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing to restore."""


def as_list(slots: list[Slot]) -> list[Slot]:
    """Collate nothing: samples become a batch on the device."""
    return slots
