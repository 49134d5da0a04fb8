"""What one step of training does to the network."""

from __future__ import annotations

import torch

from fibromorph.training.module import (
    NetworkSettings,
    SegmentationModule,
    drop_unusable,
    side_accuracy,
)
from fibromorph.training.optimiser import make_optimiser


def test_a_gradient_that_is_not_finite_leaves_the_weights_finite() -> None:
    net = SegmentationModule(network=NetworkSettings((4, 6, 8), 8)).net
    optimiser = make_optimiser(net, "muon", 1e-2, 0.0)
    parameters = list(net.parameters())
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    assert drop_unusable(net)
    assert all(bool((p.grad == 1).all()) for p in parameters if p.grad is not None)
    parameters[3].grad = torch.full_like(parameters[3], torch.nan)
    assert not drop_unusable(net)
    optimiser.step()
    assert all(bool(p.isfinite().all()) for p in parameters)


def test_sides_count_where_there_is_one() -> None:
    sides = torch.tensor([[[1, 1, 2, 2, 0, 0]]])
    left = torch.tensor([[[5.0, -1.0, -2.0, -3.0, 9.0, -9.0]]])
    assert float(side_accuracy(left, sides)) == 0.75
    assert side_accuracy(left, torch.zeros_like(sides)).isnan()
