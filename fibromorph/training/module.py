"""Training of the segmentation network on scans synthesised step by step."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from fibromorph.datasets.synthesis import Sample, SynthesisSettings, synthesise
from fibromorph.errors import ConfigError
from fibromorph.grid import Shape3
from fibromorph.labels import FREESURFER
from fibromorph.models.losses import StructureSideLoss, class_dice
from fibromorph.models.weights import load_weights, read_weights
from fibromorph.models.network import SUBVOXELS, SegmentationNet, split_subvoxels
from fibromorph.preprocess import SHAPE_MULTIPLE
from fibromorph.training.data import LabelMapData

VALIDATION_SEED = 20_000_000


@dataclass(frozen=True)
class Crop:
    """A sample shape and how often it is drawn, relative to the others."""

    shape: Shape3
    weight: float = 1.0


@dataclass(frozen=True)
class Recipe:
    """How the network is trained.

    Attributes:
        crops: shapes of training samples in voxels of 1 mm, multiples of 32.
        validation_shape: shape of validation samples, large enough for a brain.
        learning_rate: after warm-up, before it falls along a cosine.
        warmup_steps: over which the learning rate rises linearly.
        weight_decay: of AdamW.
        supervised_subvoxels: at how many of the eight voxels of each 2x2x2 block the loss is
            taken, drawn anew each step; fewer save time where the loss is a large part of it.
        random_contrast_end: share of samples of any contrast at the last step; it grows linearly
            from the synthesis settings' share.
        rarity_start: how much more rare structures count at first (`losses.rarity_weights`); it
            falls linearly to zero at half of the steps.
    """

    crops: tuple[Crop, ...] = (Crop((128, 128, 128)),)
    validation_shape: Shape3 = (160, 192, 160)
    learning_rate: float = 1e-3
    warmup_steps: int = 50
    weight_decay: float = 1e-4
    supervised_subvoxels: int = SUBVOXELS
    random_contrast_end: float | None = None
    rarity_start: float = 0.5

    def __post_init__(self) -> None:
        for shape in (*(c.shape for c in self.crops), self.validation_shape):
            if any(n % SHAPE_MULTIPLE for n in shape):
                raise ConfigError(
                    f"sample shapes must be multiples of {SHAPE_MULTIPLE}", value=shape
                )
        if not 1 <= self.supervised_subvoxels <= SUBVOXELS:
            raise ConfigError(
                "must be 1 to 8", value=self.supervised_subvoxels, subject="supervised_subvoxels"
            )


@dataclass(frozen=True)
class NetworkSettings:
    """See `SegmentationNet`."""

    filters: tuple[int, ...] = (32, 64, 96, 128, 160)
    head_width: int = 64


@dataclass
class _Scores:
    dice: list[Tensor] = field(default_factory=list)


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
        network: NetworkSettings = NetworkSettings(),
        recipe: Recipe = Recipe(),
        synthesis: SynthesisSettings = SynthesisSettings(),
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
        self._scores = _Scores()

    @property
    def data(self) -> LabelMapData:
        """The data module of the running fit."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, LabelMapData):
            raise ConfigError("training needs label maps", value=type(data).__name__)
        return data

    def make_sample(self, seed: int, shape: Shape3, validation: bool = False) -> Sample:
        """One synthetic scan on this module's device."""
        maps = self.data.validation_maps if validation else self.data.training_maps
        source = maps[random.Random(seed).randrange(len(maps))]
        if source.name not in self._on_device:
            self._on_device[source.name] = torch.from_numpy(source.index).to(self.device)
        # Validation is T1-weighted throughout: one sample of another contrast would drown the rest.
        settings = replace(self.synthesis, random_contrast=0.0) if validation else self._settings_now()
        return synthesise(source, self._on_device[source.name], shape, settings, seed)

    @property
    def progress(self) -> float:
        """Share of the planned steps that are done; 0 for a run without an end."""
        planned = self.trainer.max_steps
        return min(1.0, self.global_step / planned) if planned > 0 else 0.0

    def _settings_now(self) -> SynthesisSettings:
        start, end = self.synthesis.random_contrast, self.recipe.random_contrast_end
        if end is None:
            return self.synthesis
        share = start + (end - start) * self.progress
        return replace(self.synthesis, random_contrast=share)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:  # noqa: ARG002
        step_seed = hash((self.seed, self.global_step))
        dice_roll = random.Random(step_seed)
        crop = dice_roll.choices(
            self.recipe.crops, weights=[c.weight for c in self.recipe.crops]
        )[0]
        chosen = sorted(dice_roll.sample(range(SUBVOXELS), self.recipe.supervised_subvoxels))
        seeds = [
            hash((step_seed, self.global_rank, slot)) & 0x7FFF_FFFF for slot in range(len(batch))
        ]
        images, classes, sides = stack([self.make_sample(s, crop.shape) for s in seeds])
        logits = self.net.subvoxel_logits(self.net.features(images), chosen)
        parts = self.loss(
            logits,
            split_subvoxels(classes)[:, chosen],
            split_subvoxels(sides)[:, chosen],
            rarity=max(0.0, 1 - 2 * self.progress) * self.recipe.rarity_start,
        )
        self.log_dict(
            {"loss": parts.total, "loss_structure": parts.structure, "loss_side": parts.side},
            prog_bar=True,
        )
        total: Tensor = parts.total
        return total

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:  # noqa: ARG002
        sample = self.make_sample(
            VALIDATION_SEED + batch_idx, self.recipe.validation_shape, validation=True
        )
        logits = self.net(sample.image[None, None])
        predicted = logits[:, :-1].argmax(1)
        self._scores.dice.append(class_dice(predicted, sample.classes, self.classes))

    def on_validation_epoch_end(self) -> None:
        if not self._scores.dice:
            return
        dice = torch.stack(self._scores.dice).nanmean(0)
        self._scores = _Scores()
        names = [s.name for s in FREESURFER.structures]
        per_structure = {
            f"dice/{name}": value for name, value in zip(names, dice[1:], strict=True)
        }
        self.log_dict({**per_structure, "dice": dice[1:].nanmean()}, sync_dist=True)

    def configure_optimizers(self) -> dict[str, Any]:
        optimiser = torch.optim.AdamW(
            self.parameters(), self.recipe.learning_rate, weight_decay=self.recipe.weight_decay
        )
        total = int(self.trainer.estimated_stepping_batches)
        warmup = min(self.recipe.warmup_steps, max(1, total // 10))
        rise = torch.optim.lr_scheduler.LinearLR(optimiser, 0.05, total_iters=warmup)
        fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, total - warmup))
        schedule = torch.optim.lr_scheduler.SequentialLR(optimiser, [rise, fall], [warmup])
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def stack(samples: list[Sample]) -> tuple[Tensor, Tensor, Tensor]:
    """Batch of samples: images (b, 1, i, j, k), classes (b, i, j, k), sides (b, i, j, k)."""
    images = torch.stack([s.image for s in samples])[:, None]
    return images, torch.stack([s.classes for s in samples]), torch.stack([s.sides for s in samples])
