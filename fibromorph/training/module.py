"""Training of the segmentation network on scans synthesised step by step, and on real ones."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_warn
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from fibromorph.datasets.samples import Sample, stack
from fibromorph.datasets.synthesis import SynthesisSettings
from fibromorph.datasets.tissues import FLUID
from fibromorph.grid import Shape3
from fibromorph.labels import FREESURFER, table_of
from fibromorph.lookups import lookup
from fibromorph.models.losses import LossParts, StructureSideLoss, class_dice, outline_loss
from fibromorph.models.network import (
    SUBVOXELS,
    SegmentationNet,
    brain_shares,
    pick,
    split_subvoxels,
)
from fibromorph.models.weights import (
    is_smooth,
    learnt_from,
    load_weights,
    merged_hashes,
    read_weights,
    with_head_for,
)
from fibromorph.training.data import LabelMapData, data_of
from fibromorph.training.masks import redraw_brain
from fibromorph.training.optimiser import make_optimiser
from fibromorph.training.pictures import Shown, ShownOutput
from fibromorph.training.recipe import Crop, NetworkSettings, Recipe, keep_plain
from fibromorph.training.sampling import Sampler
from fibromorph.training.schedule import adopt_older_schedules, planned_steps, with_schedule
from fibromorph.training.scores import DiceScores, MeanScore
from fibromorph.training.slots import Slot

__all__ = ["Crop", "NetworkSettings", "Recipe", "SegmentationModule"]

OTHERWISE_SMOOTH = "its layers are not as `network.smooth` says: they adapt, in some hundred steps"
WARPING = SynthesisSettings(
    elastic_mm=1.5, jitter_mm=6.0, random_contrast=0.0, noise_sd=0.03, bias=0.2, blur_mm=0.2,
    thick=0.1, thickest_mm=2.0, stripped=0.0, cut=0.05,
)  # fmt: skip
"""A real scan has noise, bias and a point spread already: less is added than to a synthetic one."""


class SegmentationModule(pl.LightningModule):
    """Synthesise, predict, compare; the same seed, config and label maps give the same run.

    Args:
        protocol: the table of structures to predict, see `labels.TABLES`.
        network: size of the network.
        recipe: how it is trained.
        synthesis: what synthetic samples look like.
        warping: how far real scans are changed where `recipe.warped_share` says so.
        seed: of the samples; sample n of step s depends on nothing else.
        initial_weights: a checkpoint of this module or a bundle to start from; the optimiser and
            the schedule begin anew. Of another protocol, structures start as what they are part of.
    """

    def __init__(
        self,
        *,
        protocol: str = FREESURFER.protocol,
        network: NetworkSettings = NetworkSettings(),  # noqa: B008
        recipe: Recipe = Recipe(),  # noqa: B008
        synthesis: SynthesisSettings = SynthesisSettings(),  # noqa: B008
        warping: SynthesisSettings = WARPING,
        seed: int = 1,
        initial_weights: Path | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.recipe = recipe
        self.synthesis = synthesis
        self.warping = warping
        self.seed = seed
        self.table = table_of(protocol)
        self.classes = len(self.table.structures) + 1
        net = SegmentationNet(self.classes, **vars(network))
        # A tenth faster on the CPU, and what tensor cores want.
        self.net = net.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        if recipe.compiled:
            self.net.compile_norms()
        self._learnt_before: dict[str, str] = {}
        if initial_weights is not None:
            state = read_weights(initial_weights)
            if is_smooth(state) != network.smooth:
                rank_zero_warn(f"{initial_weights}: {OTHERWISE_SMOOTH}")
            load_weights(self.net, with_head_for(self.table, state))
            self._learnt_before = learnt_from(initial_weights)
        self.fluid_class = self.table.class_of_name(FLUID)
        self.loss = StructureSideLoss()
        self._planned = 1
        self._sampler: Sampler | None = None
        self._dice, self._real_dice = (
            DiceScores(name, self.table.names) for name in ("dice", "real_dice")
        )
        self._side_accuracy = MeanScore("side_accuracy")

    @property
    def data(self) -> LabelMapData:
        """The data module of the running fit."""
        return data_of(self)

    @property
    def progress(self) -> float:
        """Share of the planned steps that are done."""
        return min(1.0, self.global_step / self._planned)

    def setup(self, stage: str) -> None:
        if stage == "fit":
            recipe, self._sampler = self.recipe, None
            self.data.require_real_scans(recipe.real_share + recipe.warped_share)
            self.data.mix_real_scans(recipe.real_share, recipe.largest_crop, self.seed)

    def on_train_start(self) -> None:
        if self.trainer.enable_validation:
            self.data.warn_of_learnt(self._learnt_before)

    @property
    def sampler(self) -> Sampler:
        """Makes samples of the running fit, on this module's device."""
        if self._sampler is None:
            self._sampler = Sampler(
                self.data, self.device, self.table, self.recipe, self.synthesis, self.warping
            )
        return self._sampler

    def draw_sample(self, slot: Slot, seed: int, shape: Shape3) -> Sample:
        """A training sample, see `Sampler.draw`."""
        return self.sampler.draw(slot, seed, shape, self.progress)

    def examples(self, count: int) -> list[Shown]:
        """See `Sampler.examples`."""
        return self.sampler.examples(count)

    def training_step(self, batch: list[Slot], batch_idx: int) -> Tensor:  # noqa: ARG002
        # Numbered through the run, alike on all devices: batches whose gradients are summed differ.
        number = batch[0].number // (len(batch) * self.trainer.world_size)
        step_seed = hash((self.seed, number))
        dice_roll = random.Random(step_seed)
        crops = self.recipe.crops
        crop = dice_roll.choices(crops, weights=[c.weight for c in crops])[0]
        chosen = sorted(dice_roll.sample(range(SUBVOXELS), self.recipe.supervised_subvoxels))
        seeds = [hash((step_seed, self.global_rank, n)) & 0x7FFF_FFFF for n in range(len(batch))]
        samples = [
            self.draw_sample(slot, seed, crop.shape)
            for slot, seed in zip(batch, seeds, strict=True)
        ]
        parts = self._loss_of(samples, chosen, mask_seed=dice_roll.getrandbits(31))
        self.log_dict(
            {"loss": parts.total} | {f"loss_{name}": part for name, part in vars(parts).items()},
            prog_bar=True,
        )
        return parts.total

    def on_after_backward(self) -> None:
        # The scaler of float16 looks for such gradients itself, and learns from them.
        if getattr(self.trainer.precision_plugin, "scaler", None) is None:
            finite = drop_unusable(self.net)
            self.log("unusable", (~finite).float(), on_step=False, on_epoch=True, reduce_fx="sum")

    def validation_step(self, batch: list[Slot], batch_idx: int) -> ShownOutput | None:  # noqa: ARG002
        number = batch[0].number
        if number >= self.data.validation_count:
            return None
        synthetic = number < self.data.held_out
        sample, name = self.sampler.held_out(number)
        logits = self.net(sample.image[None, None], self._brain_of(sample.classes[None]))
        predicted = logits[0, :-1].argmax(0)
        dice = self._dice_of(predicted, sample)
        (self._dice if synthetic else self._real_dice).add(dice)
        self._side_accuracy.add(side_accuracy(logits[0, -1], sample.sides))
        title = f"{name}: image, labels, prediction (Dice {float(dice[1:].nanmean()):.2f})"
        kind = "synthetic" if synthetic else "real"
        return {"shown": self.sampler.show(sample, title, predicted, kind)}

    def on_validation_epoch_end(self) -> None:
        for scores in (self._dice, self._real_dice, self._side_accuracy):
            # Already the same on all devices; Lightning asks for the word.
            self.log_dict(scores.take(self._sum_over_devices, self.device), sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep checkpoints to plain data, and what they have learnt from with them."""
        keep_plain(checkpoint)
        own = self.data.training_hashes()
        checkpoint["learnt_from"] = merged_hashes(self._learnt_before, own)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Earlier slices may have learnt from other files."""
        self._learnt_before = dict(checkpoint.get("learnt_from", {}))
        adopt_older_schedules(checkpoint)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        recipe = self.recipe
        optimiser = make_optimiser(
            self.net, recipe.optimiser, recipe.learning_rate, recipe.weight_decay
        )
        self._planned = planned_steps(self.trainer)
        return with_schedule(optimiser, self._planned, recipe.warmup_steps)

    def _brain_of(self, classes: Tensor) -> Tensor:
        return brain_shares((classes > 0) & (classes != self.fluid_class))

    def _loss_of(
        self, samples: Sequence[Sample], subvoxels: Sequence[int], mask_seed: int
    ) -> LossParts:
        """Loss at some of the eight voxels of each 2x2x2 block."""
        batch = stack(samples, self.classes)
        brain = self._brain_of(batch.classes)
        drawn = redraw_brain(brain, mask_seed)
        features, outline = self.net.features_and_outline(batch.images, drawn)
        logits = self.net.subvoxel_logits(features, subvoxels)
        parts: LossParts = self.loss(
            logits,
            pick(split_subvoxels(batch.classes), subvoxels),
            pick(split_subvoxels(batch.sides), subvoxels),
            rarity=max(0.0, 1 - 2 * self.progress) * self.recipe.rarity_start,
            groups=batch.groups,
            unsure=None if batch.unsure is None else pick(split_subvoxels(batch.unsure), subvoxels),
        )
        return replace(parts, outline=outline_loss(outline, brain))

    def _dice_of(self, predicted: Tensor, sample: Sample) -> Tensor:
        """Of every class, NaN for those that another stands for."""
        own = torch.arange(self.classes, device=predicted.device)
        groups = lookup(sample.groups, predicted.device) if sample.groups else own
        dice = class_dice(groups[predicted], groups[sample.classes], self.classes)
        return dice.masked_fill((groups != own).to(dice.device), torch.nan)

    def _sum_over_devices(self, values: Tensor) -> Tensor:
        total: Tensor = self.trainer.strategy.reduce(values, reduce_op="sum")
        return total


def side_accuracy(left: Tensor, sides: Tensor) -> Tensor:
    """Share of the voxels with a side whose side is found, a scalar; NaN if none has one.

    Args:
        left: (i, j, k) logits, above 0 where left is more likely.
        sides: (i, j, k) int64, 1 = left, 2 = right, 0 = neither.
    """
    return ((left > 0) == (sides == 1))[sides > 0].float().mean()


def drop_unusable(net: nn.Module) -> Tensor:
    """Set the gradients to zero if any of them is not finite; returns a bool tensor, all finite.

    It happens where hardly a voxel of a crop is brain, whose variance is then nearly zero. Instead
    of turning all weights into NaN, the step goes on by the optimiser's momentum.
    """
    gradients = [p.grad for p in net.parameters() if p.grad is not None]
    finite = nn.utils.get_total_norm(gradients).isfinite()
    for gradient in gradients:
        gradient.copy_(torch.where(finite, gradient, 0.0))
    return finite
