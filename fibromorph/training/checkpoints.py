"""Checkpoints for runs that are cut into slices of any length."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint


class SliceCheckpoint(ModelCheckpoint):
    """Keeps `last.ckpt` at the very last step of a slice, however it ends.

    Lightning's own writes at multiples of `every_n_train_steps` only: what a slice that
    `trainer.max_time` ends did after the last multiple would be lost.
    """

    def on_load_checkpoint(
        self,
        trainer: pl.Trainer,  # noqa: ARG002 (Lightning's signature)
        pl_module: pl.LightningModule,  # noqa: ARG002
        checkpoint: dict[str, Any],
    ) -> None:
        """Let `trainer.max_time` count from the start of this slice, not of the whole run."""
        checkpoint.get("callbacks", {}).pop("Timer", None)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        # Also called for an epoch that was cut short, and before averaged weights replace the
        # current ones.
        stale = self._last_global_step_saved != trainer.global_step
        if self.save_last and stale and not self._should_skip_saving_checkpoint(trainer):
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))
