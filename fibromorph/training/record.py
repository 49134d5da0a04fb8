"""What a run leaves in MLflow beside its numbers: data hashes, pictures, the checkpoint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pytorch_lightning as pl
import torch

import fibromorph
from fibromorph.manifest import file_sha256
from fibromorph.training.data import data_of
from fibromorph.training.pictures import Shown, draw_samples
from fibromorph.training.tracking import RunLogger

TRAINER_FACTS = (
    *("max_steps", "precision", "world_size", "num_nodes", "gradient_clip_val"),
    *("accumulate_grad_batches", "check_val_every_n_epoch"),
)


@runtime_checkable
class HasExamples(Protocol):
    """A module that can show what it trains on."""

    def examples(self, count: int) -> list[Shown]: ...


class RunRecord(pl.Callback):
    """Writes into the run what loggers do not: hashes, pictures, the checkpoint.

    Does nothing without a `RunLogger`, and nothing but on the first process.

    Args:
        examples: how many synthetic samples the first picture shows, beside a real one.
        keep_checkpoint: copy the last checkpoint into the run, not only its hash and path.
    """

    def __init__(self, examples: int = 3, keep_checkpoint: bool = True) -> None:
        self.examples = examples
        self.keep_checkpoint = keep_checkpoint
        self.run_id: str | None = None
        self._shown: dict[str, Shown] = {}

    def state_dict(self) -> dict[str, Any]:
        """Kept in checkpoints, so that the next slice goes on in the same run."""
        return {"run_id": self.run_id}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.run_id = self.run_id or state_dict["run_id"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        logger = _logger(trainer)
        if logger is None:
            return
        self.run_id = logger.run_id
        client, run_id, step = logger.experiment, logger.run_id, trainer.global_step
        facts = {f"trainer/{name}": getattr(trainer, name) for name in TRAINER_FACTS}
        logger.log_hyperparams(facts)
        hashes = data_of(pl_module).hashes()
        name = f"data_hashes/step-{step:06d}.json"
        logger.keep(partial(client.log_dict, run_id, hashes, name))
        logger.tag(**_versions(), data_sha256=combined_hash(hashes))
        if self.examples > 0 and isinstance(pl_module, HasExamples):
            figure = draw_samples(pl_module.examples(self.examples))
            name = f"samples/step-{step:06d}.png"
            logger.keep(partial(client.log_figure, run_id, figure, name))

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,  # noqa: ARG002 (Lightning's signature)
        outputs: Any,  # a ShownOutput
        batch: Any,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        if outputs and trainer.is_global_zero:
            shown = outputs["shown"]
            self._shown.setdefault(shown.kind, shown)

    def on_validation_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,  # noqa: ARG002
    ) -> None:
        """Draw the first sample of each kind."""
        logger, shown, self._shown = _logger(trainer), list(self._shown.values()), {}
        if logger is not None and shown:
            name = f"validation/step-{trainer.global_step:06d}.png"
            log = logger.experiment.log_figure
            logger.keep(partial(log, logger.run_id, draw_samples(shown), name))

    def on_fit_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,  # noqa: ARG002
    ) -> None:
        logger, path = _logger(trainer), _last_checkpoint(trainer)
        if logger is None:
            return
        if path is not None:
            logger.tag(
                checkpoint_path=path.resolve(),
                checkpoint_sha256=file_sha256(path),
                checkpoint_step=trainer.global_step,
            )
        if path is not None and self.keep_checkpoint:
            log = logger.experiment.log_artifact
            logger.keep(partial(log, logger.run_id, str(path), "checkpoint"))
        logger.tell_missing()

    def on_exception(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,  # noqa: ARG002
        exception: BaseException,  # noqa: ARG002
    ) -> None:
        """What is missing is told, however a run ends."""
        logger = _logger(trainer)
        if logger is not None:
            logger.tell_missing()


def combined_hash(hashes: Mapping[str, Mapping[str, str]]) -> str:
    """One SHA-256 for all data of a run: of the JSON of all hashes with sorted keys."""
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()


def _logger(trainer: pl.Trainer) -> RunLogger | None:
    found = [logger for logger in trainer.loggers if isinstance(logger, RunLogger)]
    return found[0] if found and trainer.is_global_zero else None


def _last_checkpoint(trainer: pl.Trainer) -> Path | None:
    callback = trainer.checkpoint_callback
    name = getattr(callback, "last_model_path", "") or getattr(callback, "best_model_path", "")
    return Path(name) if name and Path(name).is_file() else None


def _versions() -> dict[str, str]:
    return {
        "fibromorph": fibromorph.__version__,
        "torch": str(torch.__version__),
        "lightning": version("pytorch-lightning"),
    }
