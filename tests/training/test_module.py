"""What one step of training does to the network."""

from __future__ import annotations

import torch

from fibromorph.training.module import NetworkSettings, SegmentationModule


def test_a_step_without_a_finite_gradient_changes_nothing() -> None:
    module = SegmentationModule(network=NetworkSettings((4, 6, 8), 8))
    parameters = list(module.net.parameters())
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    module.on_after_backward()
    assert all(bool((p.grad == 1).all()) for p in parameters if p.grad is not None)
    parameters[3].grad = torch.full_like(parameters[3], torch.nan)
    module.on_after_backward()
    assert all(bool((p.grad == 0).all()) for p in parameters if p.grad is not None)
