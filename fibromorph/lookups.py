"""Small tensors on the training device, put there without waiting for what it is doing.

Copied from ordinary memory, every tensor of a dozen numbers makes the host wait until the device
has done all that it was given; with fifty of them in a step the device is idle half of the time.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor


@cache
def lookup(
    values: tuple[object, ...], device: torch.device, dtype: torch.dtype = torch.int64
) -> Tensor:
    """A table, copied to the device once.

    Args:
        values: numbers, or rows of them.
        device: where to.
        dtype: of the table. To the cache 1, 1.0 and True are one.
    """
    # Made in validation, it must serve training, too.
    with torch.inference_mode(False):
        return torch.tensor(values, device=device, dtype=dtype)


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """A small tensor of the host on the device."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
