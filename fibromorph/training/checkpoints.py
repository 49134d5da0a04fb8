"""Checkpoints for runs that are cut into slices of any length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from filelock import FileLock, Timeout
from pytorch_lightning.callbacks import ModelCheckpoint

from fibromorph.errors import ConfigError
from fibromorph.files import drop_parts, replacing

LOCK = ".lock"
"""A file in the folder of checkpoints; it stays there, only its lock goes."""


class SliceCheckpoint(ModelCheckpoint):
    """Keeps `last.ckpt` at the very last step of a slice, however it ends.

    Lightning's own writes at multiples of `every_n_train_steps` only: what a slice that
    `trainer.max_time` ends did after the last multiple would be lost. It writes into the system's
    temporary folder and moves from there, which is a copy where that is another file system: a run
    that is killed then would leave half a checkpoint. And what goes on in a folder that was moved,
    or that another run has, it would call `last-v1.ckpt`.

    Two jobs in one folder would remove each other's unfinished files: it is locked during the fit.

    Args:
        settings: Lightning's own, see `ModelCheckpoint`.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(enable_version_counter=False, **settings)
        self._lock: FileLock | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Lock the folder.

        Raises:
            ConfigError: another job trains in it.
        """
        super().setup(trainer, pl_module, stage)
        if stage == "fit" and self.dirpath is not None:
            free = self._take_folder(Path(self.dirpath)) if trainer.is_global_zero else True
            # All processes have to know, or the others would wait for the first.
            if not trainer.strategy.broadcast(free):
                rule = "another job is training in this folder: wait for it, or take another"
                raise ConfigError(rule, subject=self.dirpath)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Let others have the folder."""
        super().teardown(trainer, pl_module, stage)
        self._leave_folder()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Let others have the folder, however a run ends."""
        super().on_exception(trainer, pl_module, exception)
        self._leave_folder()

    def on_fit_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,  # noqa: ARG002 (Lightning's signature)
    ) -> None:
        """See that no other run's checkpoints are in the folder.

        Raises:
            ConfigError: there is a `last.ckpt`, and this run goes on from none of the folder's.
        """
        if self.dirpath is None:
            return
        last = Path(self.dirpath) / f"{self.CHECKPOINT_NAME_LAST}{self.FILE_EXTENSION}"
        own = trainer.ckpt_path and Path(trainer.ckpt_path).resolve().parent
        if last.is_file() and own != last.resolve().parent:
            rule = (
                "a folder keeps the checkpoints of one run:"
                " go on with --ckpt_path last, or take another"
            )
            raise ConfigError(rule, value=last.name, subject=self.dirpath)

    def on_load_checkpoint(
        self,
        trainer: pl.Trainer,  # noqa: ARG002 (Lightning's signature)
        pl_module: pl.LightningModule,  # noqa: ARG002
        checkpoint: dict[str, Any],
    ) -> None:
        """Let `trainer.max_time` count from the start of this slice, not of the whole run."""
        checkpoint.get("callbacks", {}).pop("Timer", None)

    def _take_folder(self, folder: Path) -> bool:
        folder.mkdir(parents=True, exist_ok=True)
        # The system's: that of a job that was killed is gone with it.
        lock = FileLock(folder / LOCK)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        self._lock = lock
        return True

    def _leave_folder(self) -> None:
        if self._lock is not None:
            self._lock.release()

    def _save_checkpoint(self, trainer: pl.Trainer, filepath: str) -> None:
        if not trainer.is_global_zero:  # takes part in gathering, and writes nothing
            super()._save_checkpoint(trainer, filepath)
            return
        path = Path(filepath)
        # Large, and of this run alone: what it was writing when it was killed before goes.
        drop_parts(path)
        with replacing(path) as part:
            super()._save_checkpoint(trainer, str(part))
        self._last_checkpoint_saved = filepath

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        # Also called for an epoch that was cut short, and before averaged weights replace the
        # current ones.
        stale = self._last_global_step_saved != trainer.global_step
        if self.save_last and stale and not self._should_skip_saving_checkpoint(trainer):
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))
