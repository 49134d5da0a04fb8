"""Training of the segmentation network on scans synthesised step by step, and on real ones."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor

from fibromorph.datasets.labelled import whole_brain
from fibromorph.datasets.samples import Sample, stack
from fibromorph.datasets.synthesis import SynthesisSettings, synthesise
from fibromorph.grid import Shape3
from fibromorph.labels import FREESURFER
from fibromorph.models.losses import LossParts, StructureSideLoss, class_dice
from fibromorph.models.network import SUBVOXELS, SegmentationNet, split_subvoxels
from fibromorph.models.weights import load_weights, read_weights
from fibromorph.preprocess import SHAPE_MULTIPLE, normalise
from fibromorph.training.data import LabelMapData, data_of
from fibromorph.training.pictures import Shown, ShownOutput
from fibromorph.training.recipe import Crop, NetworkSettings, Recipe, keep_plain
from fibromorph.training.schedule import planned_steps, with_schedule
from fibromorph.training.scores import DiceScores
from fibromorph.training.slots import Slot

__all__ = ["Crop", "NetworkSettings", "Recipe", "SegmentationModule"]

VALIDATION_SEED = 20_000_000


class SegmentationModule(pl.LightningModule):
    """Synthesise, predict, compare; the same seed, config and label maps give the same run.

    Args:
        network: size of the network.
        recipe: how it is trained.
        synthesis: what samples look like.
        seed: of the samples; sample n of step s depends on nothing else.
        initial_weights: a checkpoint of this module or a bundle to start from; the optimiser and
            the schedule begin anew.
    """

    def __init__(
        self,
        network: NetworkSettings = NetworkSettings(),  # noqa: B008
        recipe: Recipe = Recipe(),  # noqa: B008
        synthesis: SynthesisSettings = SynthesisSettings(),  # noqa: B008
        seed: int = 1,
        initial_weights: Path | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.recipe = recipe
        self.synthesis = synthesis
        self.seed = seed
        self.classes = len(FREESURFER.structures) + 1
        self.net = SegmentationNet(self.classes, network.filters, network.head_width)
        if initial_weights is not None:
            load_weights(self.net, read_weights(initial_weights))
        self.loss = StructureSideLoss()
        self._on_device: dict[str, Tensor] = {}
        self._dice, self._real_dice = DiceScores("dice"), DiceScores("real_dice")

    @property
    def data(self) -> LabelMapData:
        """The data module of the running fit."""
        return data_of(self)

    @property
    def progress(self) -> float:
        """Share of the planned steps that are done; 0 for a run without an end."""
        planned = self.trainer.max_steps
        return min(1.0, self.global_step / planned) if planned > 0 else 0.0

    def setup(self, stage: str) -> None:
        if stage == "fit":
            self.data.mix_real_scans(self.recipe.real_share, self.recipe.largest_crop, self.seed)

    def make_sample(self, seed: int, shape: Shape3, validation: bool = False) -> Sample:
        """One synthetic scan on this module's device."""
        maps = self.data.validation_maps if validation else self.data.training_maps
        source = maps[random.Random(seed).randrange(len(maps))]
        if source.name not in self._on_device:
            self._on_device[source.name] = torch.from_numpy(source.index).to(self.device)
        # Validation is T1-weighted: one sample of another contrast would drown the rest.
        random_contrast = 0.0 if validation else self._random_contrast_now()
        settings = replace(self.synthesis, random_contrast=random_contrast)
        return synthesise(source, self._on_device[source.name], shape, settings, seed)

    def example(self, number: int) -> Sample:
        """A sample to look at, not one of those trained on."""
        return self.make_sample(VALIDATION_SEED - 1 - number, self.recipe.crops[0].shape)

    def training_step(self, batch: list[Slot], batch_idx: int) -> Tensor:  # noqa: ARG002
        step_seed = hash((self.seed, self.global_step))
        dice_roll = random.Random(step_seed)
        crops = self.recipe.crops
        crop = dice_roll.choices(crops, weights=[c.weight for c in crops])[0]
        chosen = sorted(dice_roll.sample(range(SUBVOXELS), self.recipe.supervised_subvoxels))
        seeds = [hash((step_seed, self.global_rank, n)) & 0x7FFF_FFFF for n in range(len(batch))]
        samples = [
            self.make_sample(seed, crop.shape)
            if slot.real is None
            else part_of(slot.real, crop.shape, seed)
            for slot, seed in zip(batch, seeds, strict=True)
        ]
        parts = self._loss_of(samples, chosen)
        self.log_dict(
            {"loss": parts.total, "loss_structure": parts.structure, "loss_side": parts.side},
            prog_bar=True,
        )
        return parts.total

    def validation_step(self, batch: list[Slot], batch_idx: int) -> ShownOutput:  # noqa: ARG002
        number = batch[0].number
        synthetic = number < self.data.held_out
        sample = self._synthetic_held_out(number) if synthetic else self._real_held_out(number)
        logits = self.net(sample.image[None, None])
        predicted = logits[0, :-1].argmax(0)
        dice = class_dice(predicted, sample.classes, self.classes)
        dice[list(sample.unlabelled)] = torch.nan
        (self._dice if synthetic else self._real_dice).add(dice)
        return {"shown": Shown(sample.image, sample.classes, predicted)}

    def on_validation_epoch_end(self) -> None:
        for scores in (self._dice, self._real_dice):
            # Already the same on all devices; Lightning asks for the word.
            self.log_dict(scores.take(self._sum_over_devices, self.device), sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep checkpoints to plain data."""
        keep_plain(checkpoint)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimiser = torch.optim.AdamW(
            self.parameters(), self.recipe.learning_rate, weight_decay=self.recipe.weight_decay
        )
        return with_schedule(optimiser, planned_steps(self.trainer), self.recipe.warmup_steps)

    def _loss_of(self, samples: Sequence[Sample], subvoxels: Sequence[int]) -> LossParts:
        """Loss at some of the eight voxels of each 2x2x2 block."""
        batch = stack(samples, self.classes)
        logits = self.net.subvoxel_logits(self.net.features(batch.images), subvoxels)
        parts: LossParts = self.loss(
            logits,
            split_subvoxels(batch.classes)[:, subvoxels],
            split_subvoxels(batch.sides)[:, subvoxels],
            rarity=max(0.0, 1 - 2 * self.progress) * self.recipe.rarity_start,
            unlabelled=batch.unlabelled,
        )
        return parts

    def _synthetic_held_out(self, number: int) -> Sample:
        shape = self.recipe.validation_shape
        return self.make_sample(VALIDATION_SEED + number, shape, validation=True)

    def _real_held_out(self, number: int) -> Sample:
        scan = self.data.validation_scans[number - self.data.held_out]
        return whole_brain(scan, SHAPE_MULTIPLE).to(self.device)

    def _random_contrast_now(self) -> float:
        start, end = self.synthesis.random_contrast, self.recipe.random_contrast_end
        return start if end is None else start + (end - start) * self.progress

    def _sum_over_devices(self, values: Tensor) -> Tensor:
        total: Tensor = self.trainer.strategy.reduce(values, reduce_op="sum")
        return total


def part_of(sample: Sample, shape: Shape3, seed: int) -> Sample:
    """A crop of a sample at a random place, normalised like every network input."""
    if tuple(sample.image.shape) == shape:
        return sample
    rng = random.Random(seed)
    room = [n - m for n, m in zip(sample.image.shape, shape, strict=True)]
    i, j, k = (rng.randint(0, n) for n in room)
    part = sample.box((i, j, k), shape)
    return replace(part, image=normalise(part.image))
