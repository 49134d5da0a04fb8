"""What training rewards, and what it leaves alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fibromorph.models.losses import (
    StructureSideLoss,
    class_dice,
    merge_groups,
    rarity_weights,
)

COUNT = 4
NOBODY_DREW_3 = ((0, 1, 2, 0),)


def _truth() -> tuple[Tensor, Tensor]:
    classes = torch.zeros(1, 8, 8, 8, dtype=torch.int64)
    classes[:, 2:6, 2:6, 2:6] = 1
    classes[:, 3:5, 3:5, 3:5] = 2
    sides = torch.zeros_like(classes)
    sides[:, :4][classes[:, :4] > 0] = 1
    sides[:, 4:][classes[:, 4:] > 0] = 2
    return classes, sides


def _confident(classes: Tensor, sides: Tensor) -> Tensor:
    structures = 20.0 * F.one_hot(classes, COUNT).movedim(-1, 1)
    side = torch.where(sides == 1, 20.0, -20.0)[:, None]
    return torch.cat([structures, side], dim=1)


def test_the_right_answer_costs_nothing_and_a_wrong_side_costs_only_the_side() -> None:
    classes, sides = _truth()
    logits = _confident(classes, sides)
    right = StructureSideLoss()(logits, classes, sides)
    assert float(right.total) < 0.05
    logits[:, -1] *= -1
    wrong = StructureSideLoss()(logits, classes, sides)
    assert float(wrong.structure) == pytest.approx(float(right.structure))
    assert float(wrong.side) > 10


def test_the_side_of_midline_structures_does_not_count() -> None:
    classes, _ = _truth()
    nowhere = torch.zeros_like(classes)
    logits = _confident(classes, nowhere)
    assert float(StructureSideLoss()(logits, classes, nowhere).side) == 0.0


def test_nobody_is_punished_for_a_truth_that_was_not_drawn() -> None:
    classes, sides = _truth()
    found = classes.clone()
    found[:, 0] = 3  # the network sees what the reference calls background
    logits = _confident(found, sides).requires_grad_()
    loss = StructureSideLoss()
    strict = loss(logits, classes, sides)
    lenient = loss(logits, classes, sides, groups=NOBODY_DREW_3)
    assert strict.structure.item() > 1
    assert lenient.structure.item() < 0.05
    (gradient,) = torch.autograd.grad(lenient.total, logits)
    assert torch.isfinite(gradient).all()


def test_a_missed_structure_still_costs_where_others_are_unlabelled() -> None:
    classes, sides = _truth()
    found = torch.where(classes == 2, 3, classes)
    lost = StructureSideLoss()(_confident(found, sides), classes, sides, groups=NOBODY_DREW_3)
    assert float(lost.structure) > 0.2


def test_merging_sums_probabilities_and_touches_only_its_own_sample() -> None:
    logits = torch.randn(2, COUNT, 3, 3)
    classes = torch.full((2, 3, 3), 3)
    groups = ((0, 1, 2, 3), (0, 1, 0, 0))
    merged, targets = merge_groups(logits, classes, groups)
    before, after = logits.softmax(1), merged.softmax(1)
    assert torch.allclose(after[0], before[0], atol=1e-6)
    assert torch.allclose(after[1, 0], before[1, [0, 2, 3]].sum(0), atol=1e-6)
    assert targets[0].eq(3).all()
    assert targets[1].eq(0).all()


def test_any_part_is_right_where_the_reference_knows_only_the_whole() -> None:
    classes, sides = _truth()
    whole = torch.where(classes == 2, 1, classes)  # the reference draws 1 and 2 as one
    groups = ((0, 1, 1, 3),)
    loss = StructureSideLoss()(_confident(classes, sides), whole, sides, groups=groups)
    assert float(loss.structure) < 0.05


def test_rare_classes_weigh_more_unless_told_otherwise() -> None:
    classes, _ = _truth()
    weights = rarity_weights(classes, 3, 0.5)
    assert weights[0] < weights[1] < weights[2]
    assert torch.equal(rarity_weights(classes, 3, 0.0), torch.ones(3))


def test_dice_counts_overlap_and_skips_absent_classes() -> None:
    reference = torch.tensor([0, 1, 1, 2])
    predicted = torch.tensor([0, 1, 0, 2])
    dice = class_dice(predicted, reference, COUNT)
    assert dice[:3].tolist() == pytest.approx([2 / 3, 2 / 3, 1.0])
    assert torch.isnan(dice[3])


def test_where_the_reference_is_unsure_no_answer_counts() -> None:
    classes, sides = _truth()
    unsure = torch.zeros_like(classes, dtype=torch.bool)
    unsure[:, 2:6, 2:6, 2] = True  # a face of structure 1
    loss = StructureSideLoss()
    with torch.no_grad():
        right = loss(_confident(classes, sides), classes, sides, unsure=unsure).structure
    for answer in (0, 2):
        other = classes.masked_fill(unsure, answer)
        logits = _confident(other, sides).requires_grad_()
        found = loss(logits, classes, sides, unsure=unsure).structure
        found.backward()
        assert float(found.detach()) == pytest.approx(float(right), abs=1e-6)
        assert logits.grad is not None
        assert float(logits.grad.movedim(1, -1)[unsure][:, :-1].abs().max()) == 0.0
    logits = _confident(classes.masked_fill(unsure, 2), sides)
    assert float(loss(logits, classes, sides).structure) > float(right) + 0.2
