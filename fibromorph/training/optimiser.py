"""What changes the weights: AdamW, or Muon for the convolutions and AdamW for the rest."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

Optimiser = Literal["adamw", "muon"]
HEADS = ("head.", "outlining.")


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
    if name == "adamw":
        return torch.optim.AdamW(net.parameters(), learning_rate, weight_decay=weight_decay)
    from pytorch_optimizer import Muon

    named = dict(net.named_parameters())
    # The first of them reads the image itself.
    _, *filters = (
        path for path, weight in named.items() if weight.ndim > 2 and not path.startswith(HEADS)
    )
    groups = [
        {"params": [named[path] for path in filters], "use_muon": True, "use_adjusted_lr": True},
        {
            "params": [weight for path, weight in named.items() if path not in filters],
            "use_muon": False,
            "betas": (0.9, 0.999),
            "eps": 1e-8,
        },
    ]
    shared = {"lr": learning_rate, "weight_decay": weight_decay}
    optimiser: torch.optim.Optimizer = Muon([group | shared for group in groups])
    return optimiser
