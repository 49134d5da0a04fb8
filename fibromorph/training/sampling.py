"""Where samples come from: synthesised from label maps, or real scans, warped, on one device.

A sample depends on its seed and on nothing else, so that a run can be repeated and gone on with.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from fibromorph.datasets.augment import augment
from fibromorph.datasets.labelled import LabelledScan, whole_brain
from fibromorph.datasets.labelmaps import LabelMap
from fibromorph.datasets.samples import Sample
from fibromorph.datasets.synthesis import SynthesisSettings, synthesise
from fibromorph.datasets.warped import Head, ScanOnDevice, warp
from fibromorph.grid import Shape3
from fibromorph.labels import LabelTable
from fibromorph.preprocess import SHAPE_MULTIPLE, normalise
from fibromorph.training.data import LabelMapData
from fibromorph.training.pictures import Shown
from fibromorph.training.recipe import Recipe
from fibromorph.training.slots import Slot

VALIDATION_SEED = 20_000_000


@dataclass(frozen=True)
class Sampler:
    """Makes the samples of a run where its network is.

    Attributes:
        data: label maps and scans, read.
        device: of the network; voxels are copied there when first used.
        table: of the structures to predict.
        recipe: shares of what is real, shapes.
        synthesis: what synthetic samples look like.
        warping: how far real scans are changed.
    """

    data: LabelMapData
    device: torch.device
    table: LabelTable
    recipe: Recipe
    synthesis: SynthesisSettings
    warping: SynthesisSettings
    _maps: dict[str, Tensor] = field(default_factory=dict, repr=False)
    _scans: dict[str, ScanOnDevice] = field(default_factory=dict, repr=False)

    def draw(self, slot: Slot, seed: int, shape: Shape3, progress: float) -> Sample:
        """A training sample.

        Args:
            slot: real, or to be made here.
            seed: of this sample's own numbers, 0 or more.
            shape: one of the recipe's crops.
            progress: share of the planned steps that are done.
        """
        if slot.real is not None:
            return part_of(slot.real, shape, seed)
        if random.Random(~seed).random() < self.recipe.warped_share:
            return self.warp(seed, shape)
        start, end = self.synthesis.random_contrast, self.recipe.random_contrast_end
        other = start if end is None else start + (end - start) * progress
        return self.synthesise(seed, shape, self.data.training_maps, other)

    def synthesise(
        self, seed: int, shape: Shape3, maps: tuple[LabelMap, ...], random_contrast: float
    ) -> Sample:
        """One synthetic scan, from one of the label maps."""
        source = _one_of(maps, seed)
        settings = replace(self.synthesis, random_contrast=random_contrast)
        return synthesise(source, self._index_of(source), shape, settings, seed, table=self.table)

    def warp(self, seed: int, shape: Shape3) -> Sample:
        """One real scan, warped, at times in another head."""
        rng = random.Random(seed)
        scan, source = self._draw_scan(rng), rng.choice(self.data.training_maps)
        if scan.name not in self._scans:
            self._scans[scan.name] = ScanOnDevice.of(scan, self.device)
        dressed = rng.random() < self.recipe.dressed_share
        head = Head(source, self._index_of(source)) if dressed else None
        return warp(self._scans[scan.name], shape, self.warping, seed, head)

    def held_out(self, number: int) -> tuple[Sample, str]:
        """Sample `number` of a validation, and what it is: first synthetic ones, then scans."""
        if number < self.data.held_out:
            seed, shape = VALIDATION_SEED + number, self.recipe.validation_shape
            maps = self.data.validation_maps
            # T1-weighted: one sample of another contrast would drown the rest.
            sample = self.synthesise(seed, shape, maps, random_contrast=0.0)
            return sample, f"synthetic, from {_one_of(maps, seed).name}"
        scan = self.data.validation_scans[number - self.data.held_out]
        return whole_brain(scan, SHAPE_MULTIPLE).to(self.device), f"scan {scan.name}"

    def examples(self, count: int) -> list[Shown]:
        """Samples to look at, not of those trained on: `count` synthetic ones, and a real one."""
        shape, maps = self.recipe.crops[0].shape, self.data.training_maps
        shown = []
        for seed in range(VALIDATION_SEED - 1, VALIDATION_SEED - 1 - count, -1):
            sample = self.synthesise(seed, shape, maps, self.synthesis.random_contrast)
            shown.append(self.show(sample, f"synthetic, from {_one_of(maps, seed).name}"))
        if self.data.labelled_scans:
            shown.append(self._real_example(VALIDATION_SEED - 1, shape))
        return shown

    def show(
        self, sample: Sample, title: str, predicted: Tensor | None = None, kind: str = "synthetic"
    ) -> Shown:
        """The sample as a picture will show it."""
        return Shown(sample.image, sample.classes, predicted, self.table, kind, title)

    def _real_example(self, seed: int, shape: Shape3) -> Shown:
        """As it is changed for training."""
        scan = self._draw_scan(random.Random(seed))
        if self.recipe.warped_share > 0:
            sample, how = self.warp(seed, shape), "warped"
        else:
            sample = augment(scan, self.data.augmentation, shape, seed).to(self.device)
            how = "augmented"
        return self.show(sample, f"scan {scan.name}, {how}", kind="real")

    def _draw_scan(self, rng: random.Random) -> LabelledScan:
        return rng.choice(self.data.labelled_scans)

    def _index_of(self, source: LabelMap) -> Tensor:
        if source.name not in self._maps:
            self._maps[source.name] = torch.from_numpy(source.index).to(self.device)
        return self._maps[source.name]


def part_of(sample: Sample, shape: Shape3, seed: int) -> Sample:
    """A crop of a sample at a random place, normalised like every network input."""
    if tuple(sample.image.shape) == shape:
        return sample
    rng = random.Random(seed)
    room = [n - m for n, m in zip(sample.image.shape, shape, strict=True)]
    i, j, k = (rng.randint(0, n) for n in room)
    part = sample.box((i, j, k), shape)
    return replace(part, image=normalise(part.image))


def _one_of(maps: tuple[LabelMap, ...], seed: int) -> LabelMap:
    """The label map that a synthetic sample is made from."""
    return maps[random.Random(seed).randrange(len(maps))]
