"""Training of the locator: the cheap first look that finds the brain in a field of view."""

from __future__ import annotations

import random
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional as F

from fibromorph.datasets.synthesis import Sample, SynthesisSettings, synthesise
from fibromorph.grid import Shape3
from fibromorph.labels import FREESURFER
from fibromorph.models.graph import LocatorNet
from fibromorph.training.data import LabelMapData
from fibromorph.training.module import stack

LOCATOR_SPACING_MM = 4.0
LOCATOR_SHAPE: Shape3 = (64, 64, 64)

WIDE_SYNTHESIS = SynthesisSettings(
    rotation_deg=30.0, scaling=0.2, jitter_mm=50.0, random_contrast=0.3, cut=0.3, bias=0.4
)
"""The locator meets scans before anything is known of them."""


class LocatorModule(pl.LightningModule):
    """Brain (fluid outside it left out) against everything else, on 4 mm voxels.

    Args:
        synthesis: what samples look like.
        learning_rate: falls along a cosine to zero.
        seed: of the samples.
    """

    def __init__(
        self,
        synthesis: SynthesisSettings = WIDE_SYNTHESIS,
        learning_rate: float = 3e-3,
        seed: int = 1,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.synthesis = synthesis
        self.learning_rate = learning_rate
        self.seed = seed
        self.net = LocatorNet()
        fluid = [s.name for s in FREESURFER.structures].index("CSF") + 1
        self.fluid_class = fluid

    @property
    def data(self) -> LabelMapData:
        """The data module of the running fit."""
        data: LabelMapData = self.trainer.datamodule  # type: ignore[attr-defined]
        return data

    def make_sample(self, seed: int, validation: bool = False) -> Sample:
        """One synthetic field of view of 256 mm."""
        maps = self.data.validation_maps if validation else self.data.training_maps
        source = maps[random.Random(seed).randrange(len(maps))]
        index = torch.from_numpy(source.index).to(self.device)
        return synthesise(
            source, index, LOCATOR_SHAPE, self.synthesis, seed, spacing_mm=LOCATOR_SPACING_MM
        )

    def _brain(self, classes: Tensor) -> Tensor:
        return (classes > 0) & (classes != self.fluid_class)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:  # noqa: ARG002
        seeds = [hash((self.seed, self.global_step, int(n))) & 0x7FFF_FFFF for n in batch]
        images, classes, _ = stack([self.make_sample(s) for s in seeds])
        logits = self.net(images)[:, 0]
        loss = F.binary_cross_entropy_with_logits(logits, self._brain(classes).float())
        self.log("locator_loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:  # noqa: ARG002
        sample = self.make_sample(20_000_000 + batch_idx, validation=True)
        found, brain = self.net(sample.image[None, None])[0, 0] > 0, self._brain(sample.classes)
        dice = 2 * (found & brain).sum() / (found.sum() + brain.sum()).clip(min=1)
        self.log("locator_dice", dice.float())

    def configure_optimizers(self) -> dict[str, Any]:
        optimiser = torch.optim.AdamW(self.parameters(), self.learning_rate)
        total = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, total)
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }
