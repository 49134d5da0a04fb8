"""How far a run is, in lines: a bar would count epochs, in which no run is planned."""

from __future__ import annotations

from datetime import timedelta
from time import monotonic
from typing import Any

import pytorch_lightning as pl

from fibromorph.training.schedule import planned_steps


class ProgressLines(pl.Callback):
    """Logs learning rate and pace, and prints how far the run is.

    At every `trainer.log_every_n_steps`, as `loss` is logged. The pace counts all there is between
    two lines: validation and checkpoints, too. What is left follows from the mean pace so far.
    """

    def __init__(self) -> None:
        self._planned = 0
        self._done = 0
        self._since = 0.0
        self._began = 0.0
        self._first = 0
        self._rate = 0.0
        self._prints = False

    def setup(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,  # noqa: ARG002 (Lightning's signature)
        stage: str,  # noqa: ARG002
    ) -> None:
        """Who asks for a bar gets that, and no lines."""
        self._prints = trainer.progress_bar_callback is None and trainer.is_global_zero

    def on_train_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
    ) -> None:
        self._planned, self._done = planned_steps(trainer), trainer.global_step
        self._since = self._began = monotonic()
        self._first = self._done
        if self._prints:
            weights = sum(p.numel() for p in pl_module.parameters())
            print(f"{weights:,} weights on {pl_module.device}", flush=True)

    def on_train_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        # Here: at the end of a step it is the next one's already.
        self._rate = trainer.optimizers[0].param_groups[0]["lr"]

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,  # noqa: ARG002
        outputs: Any,
        batch: Any,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        step = trainer.global_step
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]  # set from outside
        # Of batches whose gradients are summed, only the last ends a step.
        if step == self._done or not every or step % every:
            return
        # Looked at here alone: it waits for the device.
        loss = float(outputs["loss"]) * trainer.accumulate_grad_batches
        now = monotonic()
        pace = (now - self._since) / (step - self._done)
        self._since, self._done = now, step
        for logger in trainer.loggers:
            metrics = {"learning_rate": self._rate, "seconds_per_step": pace}
            logger.log_metrics(metrics, step=step - 1)
        if self._prints:
            mean = (now - self._began) / (step - self._first)
            left = timedelta(seconds=round(mean * (self._planned - step)))
            parts = [
                f"step {step}/{self._planned}",
                f"loss {loss:.4f}",
                f"learning rate {self._rate:.2e}",
                f"{pace:.2f} s a step",
                f"{left} left",
                *(f"{name} {float(value):.3f}" for name, value in _last_dice(trainer)),
            ]
            print(", ".join(parts), flush=True)


def _last_dice(trainer: pl.Trainer) -> list[tuple[str, Any]]:
    """Means over structures of the last validation, if there was one."""
    found = trainer.callback_metrics.items()
    return [(name, value) for name, value in found if name.endswith("dice")]
