"""Random numbers of one sample; nothing seeds globally."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Numbers = NDArray[np.float64]


class Draws:
    """Everything random of one sample: numbers on the host, fields and noise on the device.

    A number that Python needs (an angle, whether to mirror) would have to be fetched from the
    device, and each fetch waits until the device has done all that it was given.

    Args:
        seed: 0 or more; the same seed and kind of device, the same numbers.
        device: where fields and noise are made.

    Attributes:
        device: the same.
        host, fields: the generators.
    """

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.host = np.random.default_rng(seed)
        self.fields = torch.Generator(self.device).manual_seed(seed)


def number(rng: Draws, low: float, high: float) -> float:
    """One number, `low` included."""
    return rng.host.uniform(low, high)


def chance(rng: Draws, share: float) -> bool:
    """True in `share` of the calls."""
    return rng.host.random() < share


def numbers(rng: Draws, low: float, high: float, *shape: int) -> Numbers:
    """An array of `shape` on the host, `low` included."""
    return rng.host.uniform(low, high, shape)


def normal_number(rng: Draws) -> float:
    """One number, standard normal."""
    return rng.host.standard_normal()


def uniform(rng: Draws, low: float, high: float, *shape: int) -> Tensor:
    """float32 of `shape` on the device, `low` included."""
    return low + (high - low) * torch.rand(shape, generator=rng.fields, device=rng.device)


def normal(rng: Draws, *shape: int) -> Tensor:
    """float32 of `shape` on the device, standard normal."""
    return torch.randn(shape, generator=rng.fields, device=rng.device)
