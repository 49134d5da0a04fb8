"""Numbers from a generator that is passed in, on its device; nothing seeds globally."""

from __future__ import annotations

import torch
from torch import Tensor


def uniform(rng: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    """float32 of `shape`, `low` included."""
    return low + (high - low) * torch.rand(shape, generator=rng, device=rng.device)


def number(rng: torch.Generator, low: float, high: float) -> float:
    """One number, `low` included."""
    return float(uniform(rng, low, high))


def chance(rng: torch.Generator, share: float) -> bool:
    """True in `share` of the calls."""
    return number(rng, 0.0, 1.0) < share


def normal(rng: torch.Generator, *shape: int) -> Tensor:
    """float32 of `shape`, standard normal."""
    return torch.randn(shape, generator=rng, device=rng.device)
