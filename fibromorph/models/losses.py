"""What the network is trained to lower."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from monai.losses import DiceLoss
from torch import Tensor, nn
from torch.nn import functional as F

IMPOSSIBLE = -1e4
"""A logit whose probability is zero in float32; infinity would turn gradients into NaN."""


@dataclass(frozen=True)
class LossParts:
    """The two terms of the loss, scalars."""

    structure: Tensor
    side: Tensor

    @property
    def total(self) -> Tensor:
        return self.structure + self.side


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
        groups: Tensor | None = None,
    ) -> LossParts:
        """Compare logits with the reference.

        Args:
            logits: (batch, classes + 1, ...) float, the last channel is the side's.
            classes: (batch, ...) int64.
            sides: (batch, ...) int64, 1 = left, 2 = right, 0 = neither.
            rarity: how much more a voxel of a rare class counts in the cross-entropy, 0 to 1; see
                `rarity_weights`.
            groups: (batch, classes) int64, what a reference does not tell apart; see
                `merge_groups`.
        """
        logits = logits.float()
        structures, left = logits[:, :-1], logits[:, -1]
        if groups is not None:
            structures, classes = merge_groups(structures, classes, groups)
        weights = rarity_weights(classes, structures.shape[1], rarity) if rarity > 0 else None
        structure = self.dice(structures, classes[:, None]) + F.cross_entropy(
            structures, classes, weight=weights
        )
        return LossParts(structure, _side_loss(left, sides))


def merge_groups(logits: Tensor, classes: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    """Compare classes that a reference does not tell apart by their summed probability.

    Where a reference says 'cortex' and the network knows its regions, the network may say any of
    them; where it says 'background' because nobody drew the fluid, the network may say fluid
    (marginal loss, Shi et al. 2021, Medical Image Analysis 70:101979). No class is punished for a
    truth that was never drawn.

    Args:
        logits: (batch, classes, ...) float32, background first.
        classes: (batch, ...) int64.
        groups: (batch, classes) int64, the class that stands for each; it stands for itself too.

    Returns:
        Logits and classes of the same shapes, in which only classes that stand for something occur.
    """
    merged = torch.stack([_merged(row, group) for row, group in zip(logits, groups, strict=True)])
    return merged, groups.gather(1, classes.flatten(1)).reshape(classes.shape)


def _merged(logits: Tensor, group: Tensor) -> Tensor:
    rows = list(logits.unbind(0))
    for rep in sorted(set(group.tolist())):
        members = torch.nonzero(group == rep).flatten()
        if len(members) > 1:
            rows[rep] = logits[members].logsumexp(dim=0)
    gone = group != torch.arange(len(group), device=group.device)
    return torch.stack(rows).masked_fill(gone.reshape(-1, *[1] * (logits.ndim - 1)), IMPOSSIBLE)


def _side_loss(left: Tensor, sides: Tensor) -> Tensor:
    sided = (sides > 0).float()
    truth = (sides == 1).float()
    loss = F.binary_cross_entropy_with_logits(left, truth, weight=sided)
    return loss / sided.mean().clip(min=1e-3)


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
