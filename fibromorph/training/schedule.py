"""How the learning rate goes: a linear rise, then a cosine to zero at the last step."""

from __future__ import annotations

import math
from typing import Any

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


def adopt_older_schedules(checkpoint: dict[str, Any]) -> None:
    """Let a run go on from a checkpoint whose schedule was another class, by the step it was at."""
    states = checkpoint.get("lr_schedulers", [])
    for number, state in enumerate(states):
        if "lr_lambdas" not in state:
            first = state.get("_schedulers", [state])[0]
            kept = {key: state[key] for key in ("last_epoch", "_last_lr") if key in state}
            states[number] = {
                **kept,
                "base_lrs": first["base_lrs"],
                "_step_count": state["last_epoch"] + 1,
                "lr_lambdas": [None] * len(first["base_lrs"]),
            }


def with_schedule(
    optimiser: torch.optim.Optimizer, total: int, warmup: int = 0
) -> OptimizerLRScheduler:
    """What `configure_optimizers` returns.

    Args:
        optimiser: its learning rate is the highest of the schedule.
        total: steps of the whole run.
        warmup: steps of the rise, a tenth of `total` at most.
    """
    rise = min(warmup, max(1, total // 10))

    # A function of the step alone: a run that goes on with another end follows that one's curve,
    # where PyTorch's cosine would climb again after the end that it remembers.
    def share(step: int) -> float:
        if step < rise:
            return FIRST_SHARE + (1 - FIRST_SHARE) * step / rise
        done = min(1.0, (step - rise) / max(1, total - rise))
        return (1 + math.cos(math.pi * done)) / 2

    schedule = lr_scheduler.LambdaLR(optimiser, share)
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
