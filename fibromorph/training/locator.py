"""Training of the locator, which finds the brain in a field of view before the network looks."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn import functional as F

from fibromorph.datasets.samples import Sample
from fibromorph.datasets.synthesis import SynthesisSettings, synthesise
from fibromorph.datasets.tissues import FLUID
from fibromorph.errors import require_amount
from fibromorph.grid import Shape3
from fibromorph.labels import FREESURFER
from fibromorph.models.graph import LocatorNet
from fibromorph.models.weights import load_weights, read_weights
from fibromorph.preprocess import normalise
from fibromorph.training.data import LabelMapData, data_of
from fibromorph.training.masks import redraw_brain
from fibromorph.training.pictures import Shown, ShownOutput
from fibromorph.training.recipe import keep_plain
from fibromorph.training.sampling import VALIDATION_SEED
from fibromorph.training.schedule import adopt_older_schedules, planned_steps, with_schedule
from fibromorph.training.slots import Slot

FINE_SPACING_MM = 2.0
FINE_SHAPE: Shape3 = (128, 128, 128)
COARSER = 2
"""Samples are made on finer voxels than the locator sees: those at a border hold a bit of both."""
FLUID_CLASS = FREESURFER.class_of_name(FLUID)

FIRST_LOOK = SynthesisSettings(
    rotation_deg=30.0, scaling=0.2, jitter_mm=50.0, random_contrast=0.15, cut=0.2, bias=0.4,
    gamma=0.25, noise_sd=0.1, atrophy=0.6, atrophy_most=0.08, stripped=0.25, defaced=0.2,
)  # fmt: skip
"""The locator meets scans before anything is known of them, and skulls with room to spare."""

LOOK_AGAIN = replace(FIRST_LOOK, rotation_deg=8.0, anywhere=0.0, jitter_mm=8.0, stripped=0.35)
"""Then it sees the head again, as upright and as much in the middle as it could tell."""

LOOKS = 2
"""The first one, and the one again."""

LEAST_BRAIN = 500.0
"""Coarse voxels; a head that shows less is not looked at again."""


@dataclass(frozen=True)
class CoarseSample:
    """What the locator sees and what it should say.

    Attributes:
        image: (i, j, k) float32 normalised.
        brain: (i, j, k) float32, how much of each voxel is brain, fluid around it left out.
    """

    image: Tensor
    brain: Tensor

    @classmethod
    def of(cls, fine: Sample, again: int | None = None) -> CoarseSample:
        """A sample of `FINE_SPACING_MM`, its voxels averaged.

        Args:
            fine: the sample.
            again: None: this is a first look; else the seed of what an earlier look drew, inside
                which the image is normalised.
        """
        brain = (fine.classes > 0) & (fine.classes != FLUID_CLASS)
        image, shares = F.avg_pool3d(torch.stack([fine.image, brain.float()])[None], COARSER)[0]
        drawn = None
        if again is not None and shares.sum() > LEAST_BRAIN:
            drawn = redraw_brain(shares[None, None], again)[0, 0]
        return cls(normalise(image, drawn), shares)


class LocatorModule(pl.LightningModule):
    """Brain on 4 mm voxels, at a first look and at an upright head.

    Args:
        first_look, look_again: what samples look like; every other one is of the other kind.
        learning_rate: falls along a cosine to zero.
        seed: of the samples.
        initial_weights: a checkpoint of a locator to go on from with a new schedule.
    """

    def __init__(
        self,
        first_look: SynthesisSettings = FIRST_LOOK,
        look_again: SynthesisSettings = LOOK_AGAIN,
        learning_rate: float = 3e-3,
        seed: int = 1,
        initial_weights: Path | None = None,
    ) -> None:
        super().__init__()
        require_amount(learning_rate, "learning_rate")
        self.save_hyperparameters()
        self.table = FREESURFER
        self.synthesis = first_look, look_again
        self.learning_rate = learning_rate
        self.seed = seed
        self.net = LocatorNet()
        self._scores: list[Tensor] = []
        if initial_weights is not None:
            load_weights(self.net, read_weights(initial_weights))

    @property
    def data(self) -> LabelMapData:
        """The data module of the running fit."""
        return data_of(self)

    def make_sample(self, seed: int, look: int, validation: bool = False) -> Sample:
        """One synthetic field of view of 256 mm, on voxels finer than the locator's.

        Args:
            seed: of the sample.
            look: 0 = the first one, 1 = at the upright head.
            validation: of a head that is not trained on.
        """
        maps = self.data.validation_maps if validation else self.data.training_maps
        source = maps[random.Random(seed).randrange(len(maps))]
        index = torch.from_numpy(source.index).to(self.device)
        settings = self.synthesis[look]
        return synthesise(source, index, FINE_SHAPE, settings, seed, spacing_mm=FINE_SPACING_MM)

    def look(self, seed: int, number: int, validation: bool = False) -> CoarseSample:
        """What the locator sees of a sample: a first look if its number is even."""
        again = seed if number % LOOKS else None
        return CoarseSample.of(self.make_sample(seed, number % LOOKS, validation), again)

    def examples(self, count: int) -> list[Shown]:
        """Samples to look at, not of those trained on."""
        samples = [self.make_sample(VALIDATION_SEED - 1 - n, n % LOOKS) for n in range(count)]
        return [Shown(s.image, s.classes, table=self.table, title="synthetic") for s in samples]

    def training_step(self, batch: list[Slot], batch_idx: int) -> Tensor:  # noqa: ARG002
        seeds = [hash((self.seed, self.global_step, s.number)) & 0x7FFF_FFFF for s in batch]
        samples = [self.look(seed, s.number) for seed, s in zip(seeds, batch, strict=True)]
        logits = self.net(torch.stack([s.image for s in samples])[:, None])[:, 0]
        # Of shares, this loss is lowest where the answer is their expectation: sums are unbiased.
        loss = F.binary_cross_entropy_with_logits(logits, torch.stack([s.brain for s in samples]))
        self.log("locator_loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: list[Slot], batch_idx: int) -> ShownOutput | None:  # noqa: ARG002
        number = batch[0].number
        if number >= self.data.held_out:
            # Real scans are cropped to the brain: nothing to locate. Or nobody's number.
            return None
        sample = self.look(VALIDATION_SEED + number, number, validation=True)
        answer = torch.sigmoid(self.net(sample.image[None, None])[0, 0])
        found, brain = answer > 0.5, sample.brain > 0.5
        dice = 2 * (found & brain).sum() / (found.sum() + brain.sum()).clip(min=1)
        error = (answer.sum() / sample.brain.sum().clip(min=1) - 1).abs()
        self._scores.append(torch.stack([dice.float(), error, torch.ones_like(error)]))
        title = f"synthetic: image, brain, found (Dice {float(dice):.2f})"
        return {"shown": Shown(sample.image, brain.long(), found.long(), title=title)}

    def on_validation_epoch_end(self) -> None:
        # Summed here: a device may have no sample, where Lightning's own sums wait for one another.
        own = sum(self._scores, torch.zeros(3, device=self.device))
        self._scores = []
        dice, error, count = self.trainer.strategy.reduce(own, reduce_op="sum")
        if count > 0:
            means = {"locator_dice": dice / count, "locator_volume_error": error / count}
            self.log_dict(means, sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep checkpoints to plain data."""
        keep_plain(checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from checkpoints of earlier versions, too."""
        adopt_older_schedules(checkpoint)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimiser = torch.optim.AdamW(self.parameters(), self.learning_rate)
        return with_schedule(optimiser, planned_steps(self.trainer))
