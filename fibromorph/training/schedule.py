"""How the learning rate goes: a linear rise, then a cosine to zero at the last step."""

from __future__ import annotations

import math

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch.optim import lr_scheduler

from fibromorph.errors import ConfigError

FIRST_SHARE = 0.05
"""Of the learning rate, at the first step of the rise."""


def planned_steps(trainer: pl.Trainer) -> int:
    """Optimiser steps of the whole run, over all its slices.

    Raises:
        ConfigError: the run has no planned end, so that no schedule can be made.
    """
    total = trainer.estimated_stepping_batches
    if not math.isfinite(total):
        raise ConfigError(
            "must be set, the learning rate falls to zero there; trainer.max_time ends a slice",
            value=trainer.max_steps,
            subject="trainer.max_steps",
        )
    return int(total)


def with_schedule(
    optimiser: torch.optim.Optimizer, total: int, warmup: int = 0
) -> OptimizerLRScheduler:
    """What `configure_optimizers` returns.

    Args:
        optimiser: its learning rate is the highest of the schedule.
        total: steps of the whole run.
        warmup: steps of the rise, a tenth of `total` at most.
    """
    schedule: lr_scheduler.LRScheduler = lr_scheduler.CosineAnnealingLR(optimiser, total)
    warmup = min(warmup, max(1, total // 10))
    if warmup > 0:
        rise = lr_scheduler.LinearLR(optimiser, FIRST_SHARE, total_iters=warmup)
        fall = lr_scheduler.CosineAnnealingLR(optimiser, max(1, total - warmup))
        schedule = lr_scheduler.SequentialLR(optimiser, [rise, fall], [warmup])
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
