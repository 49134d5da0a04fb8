"""What the network is trained to lower."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from monai.losses import DiceLoss
from torch import Tensor, nn
from torch.nn import functional as F

from fibromorph.lookups import lookup

IMPOSSIBLE = -1e4
"""A logit whose probability is zero in float32; infinity would turn gradients into NaN."""


@dataclass(frozen=True)
class LossParts:
    """The terms of the loss, scalars; the outline's is 0 until it is known."""

    structure: Tensor
    side: Tensor
    outline: Tensor | float = 0.0

    @property
    def total(self) -> Tensor:
        return self.structure + self.side + self.outline


class StructureSideLoss(nn.Module):
    """Dice + cross-entropy over structures, binary cross-entropy over the side.

    Dice after Milletari et al. 2016 (V-Net), soft, over all classes and the whole batch. The side
    counts only where the reference has one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.dice = DiceLoss(to_onehot_y=True, softmax=True, batch=True)

    def forward(
        self,
        logits: Tensor,
        classes: Tensor,
        sides: Tensor,
        rarity: float = 0.0,
        groups: Sequence[tuple[int, ...]] | None = None,
        unsure: Tensor | None = None,
    ) -> LossParts:
        """Compare logits with the reference.

        Args:
            logits: (batch, classes + 1, ...) float, the last channel is the side's.
            classes: (batch, ...) int64.
            sides: (batch, ...) int64, 1 = left, 2 = right, 0 = neither.
            rarity: how much more a voxel of a rare class counts in the cross-entropy, 0 to 1; see
                `rarity_weights`.
            groups: what each sample's reference does not tell apart; see `merge_groups`.
            unsure: (batch, ...) bool, where a reference does not count; None = nowhere.
        """
        logits = logits.float()
        structures, left = logits[:, :-1], logits[:, -1]
        if groups is not None:
            structures, classes = merge_groups(structures, classes, groups)
        if unsure is not None:
            structures, classes = leave_out(structures, classes, unsure)
        weights = rarity_weights(classes, structures.shape[1], rarity) if rarity > 0 else None
        structure = self.dice(structures, classes[:, None]) + F.cross_entropy(
            structures, classes, weight=weights
        )
        return LossParts(structure, _side_loss(left, sides))


def merge_groups(
    logits: Tensor, classes: Tensor, groups: Sequence[tuple[int, ...]]
) -> tuple[Tensor, Tensor]:
    """Compare classes that a reference does not tell apart by their summed probability.

    Where a reference says 'cortex' and the network knows its regions, the network may say any of
    them; where it says 'background' because nobody drew the fluid, the network may say fluid
    (marginal loss, Shi et al. 2021, Medical Image Analysis 70:101979). No class is punished for a
    truth that was never drawn.

    Args:
        logits: (batch, classes, ...) float32, background first.
        classes: (batch, ...) int64.
        groups: for each sample and class the class that stands for it; it stands for itself too.

    Returns:
        Logits and classes of the same shapes, in which only classes that stand for something occur.
    """
    merged = torch.stack([_merged(row, group) for row, group in zip(logits, groups, strict=True)])
    standing = [
        lookup(group, classes.device)[row] for row, group in zip(classes, groups, strict=True)
    ]
    return merged, torch.stack(standing)


def leave_out(logits: Tensor, classes: Tensor, unsure: Tensor) -> tuple[Tensor, Tensor]:
    """Where the reference may be wrong, let both say background: no answer is punished there.

    Args:
        logits: (batch, classes, ...) float32, background first.
        classes: (batch, ...) int64.
        unsure: (batch, ...) bool.
    """
    hidden = logits.masked_fill(unsure[:, None], IMPOSSIBLE)
    hidden[:, 0].masked_fill_(unsure, 0.0)
    return hidden, classes.masked_fill(unsure, 0)


def _merged(logits: Tensor, group: tuple[int, ...]) -> Tensor:
    moved = tuple(rep != n for n, rep in enumerate(group))
    gone = lookup(moved, logits.device, torch.bool)
    merged = logits.masked_fill(gone.reshape(-1, *[1] * (logits.ndim - 1)), IMPOSSIBLE)
    for rep in sorted({rep for n, rep in enumerate(group) if rep != n}):
        members = lookup(tuple(n for n, other in enumerate(group) if other == rep), logits.device)
        whole = logits.index_select(0, members).logsumexp(dim=0, keepdim=True)
        merged = merged.index_copy(0, lookup((rep,), logits.device), whole)
    return merged


def _side_loss(left: Tensor, sides: Tensor) -> Tensor:
    sided = (sides > 0).float()
    truth = (sides == 1).float()
    loss = F.binary_cross_entropy_with_logits(left, truth, weight=sided)
    return loss / sided.mean().clip(min=1e-3)


def outline_loss(logits: Tensor, shares: Tensor) -> Tensor:
    """Binary cross-entropy of the outline with the true shares of brain, (batch, 1, ...) both."""
    return F.binary_cross_entropy_with_logits(logits.float(), shares)


def rarity_weights(classes: Tensor, count: int, exponent: float) -> Tensor:
    """Weight of each class: (its share of the voxels) ** -exponent.

    With weights a network finds small structures hundreds of steps earlier, but it also draws them
    too large: for unbiased volumes training has to end without (exponent 0).

    Args:
        classes: int64 class image.
        count: number of classes.
        exponent: 0 = all alike, 1 = every class counts the same however small.

    Returns:
        (count,) float, largest 1 where a class is absent too.
    """
    share = torch.bincount(classes.flatten(), minlength=count).float() / classes.numel()
    weights = share.clip(min=1e-5) ** -exponent
    return weights / weights.max()


@torch.no_grad()
def class_dice(predicted: Tensor, reference: Tensor, classes: int) -> Tensor:
    """Dice of each class over a whole batch.

    Args:
        predicted, reference: int64 class images of the same shape.
        classes: how many classes there are, background included.

    Returns:
        (classes,) float; NaN where the reference does not have the class.
    """
    joint = torch.bincount(
        reference.flatten() * classes + predicted.flatten(), minlength=classes**2
    )
    joint = joint.reshape(classes, classes).double()
    overlap, in_reference, in_predicted = joint.diagonal(), joint.sum(1), joint.sum(0)
    dice = 2 * overlap / (in_reference + in_predicted)
    return torch.where(in_reference > 0, dice, torch.nan)
