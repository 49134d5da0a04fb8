"""What changes the weights: AdamW, or Muon for the convolutions and AdamW for the rest."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn

from fibromorph.models.weights import OUTLINING

Optimiser = Literal["adamw", "muon"]
OUTLINING_PACE = 10
"""Times the learning rate, for the head that outlines the brain: nothing else learns from it, and
it may begin from nothing beside weights that want no more than a few hundred careful steps."""


def make_optimiser(
    net: nn.Module, name: Optimiser, learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """The optimiser of a network.

    Muon (Jordan et al. 2024) turns the momentum of a matrix of weights into the nearest orthogonal
    one, so that directions which few samples show move as far as common ones. Filters are matrices
    with a row for each output channel. Steps are as long as AdamW's (Liu et al. 2025, Moonlight),
    so that both want the same learning rate. Norms, biases, the first convolution and the heads,
    whose outputs are no features, stay with AdamW.

    Args:
        net: a `SegmentationNet` or any other network with a `head`.
        name: which of the two.
        learning_rate: the highest of the schedule.
        weight_decay: decoupled, of all weights.
    """
    named = dict(net.named_parameters())
    outlining: dict[str, Any] = {
        "params": [named.pop(path) for path in list(named) if path.startswith(OUTLINING)],
        "lr": OUTLINING_PACE * learning_rate,
    }
    shared: dict[str, Any] = {"lr": learning_rate, "weight_decay": weight_decay}
    if name == "adamw":
        groups = [{"params": list(named.values())}, outlining]
        return torch.optim.AdamW([shared | group for group in groups])
    from pytorch_optimizer import Muon

    # The first of them reads the image itself.
    _, *filters = (
        path for path, weight in named.items() if weight.ndim > 2 and not path.startswith("head.")
    )
    by_adamw: dict[str, Any] = {"use_muon": False, "betas": (0.9, 0.999), "eps": 1e-8}
    groups = [
        {"params": [named[path] for path in filters], "use_muon": True, "use_adjusted_lr": True},
        {"params": [weight for path, weight in named.items() if path not in filters]} | by_adamw,
        outlining | by_adamw,
    ]
    optimiser: torch.optim.Optimizer = Muon([shared | group for group in groups])
    return optimiser
