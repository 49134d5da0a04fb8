"""The record of a run in MLflow: parameters, metrics, data hashes, pictures, the checkpoint."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from datetime import datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from typing import Any, Protocol, runtime_checkable

import pytorch_lightning as pl
import torch
from lightning_fabric.loggers.logger import rank_zero_experiment
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Param
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME
from pytorch_lightning.loggers import MLFlowLogger
from pytorch_lightning.utilities import rank_zero_only, rank_zero_warn
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

import fibromorph
from fibromorph.errors import ConfigError
from fibromorph.manifest import file_sha256
from fibromorph.training.data import data_of
from fibromorph.training.pictures import Shown, draw_samples
from fibromorph.training.recipe import plain

DEFAULT_TRACKING_URI = "sqlite:///mlflow.db"
UNUSED_URI = "http://first-process-only.invalid"
"""Only the first process logs; several that create one database at once would collide."""

PAUSE_S = 60.0
"""Before a store that could not be used is tried again."""

LONGEST_PARAMETER = 500
PARAMETERS_AT_ONCE = 100
TRAINER_FACTS = (
    *("max_steps", "precision", "world_size", "num_nodes", "gradient_clip_val"),
    *("accumulate_grad_batches", "check_val_every_n_epoch"),
)


@runtime_checkable
class HasExamples(Protocol):
    """A module that can show what it trains on."""

    def examples(self, count: int) -> list[Shown]: ...


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI` if it is set, else a database file in the working directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_TRACKING_URI


def require_store(uri: str) -> None:
    """See that MLflow's store is there and usable, before anything long begins.

    Raises:
        ConfigError: it is not; what the URI may hold of a user and a password is left out.
    """
    with _refusing(uri), _hardly_a_retry():
        if uri.startswith("sqlite"):
            _open_for_writing(uri)
        MlflowClient(uri).search_experiments(max_results=1)


@contextmanager
def _refusing(uri: str) -> Iterator[None]:
    rule = "MLflow must be able to use its store (MLFLOW_TRACKING_URI)"
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise ConfigError(rule, value=error, subject=without_credentials(uri)) from error
    except (MlflowException, SQLAlchemyError, ImportError, ValueError) as error:
        # Their texts may repeat the URI.
        kind = type(error).__name__
        raise ConfigError(rule, value=kind, subject=without_credentials(uri)) from error


def without_credentials(uri: str) -> str:
    """A URI without user, password and query."""
    return re.sub(r"(?<=//)[^/]*@|\?.*", "", uri)


def _open_for_writing(uri: str) -> None:
    """What MLflow would do with a file, which it tries for minutes where it cannot."""
    file = make_url(uri).database
    if not file or file == ":memory:":
        return
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(file, timeout=60)) as database:
        database.execute("BEGIN IMMEDIATE")
        database.rollback()


@contextmanager
def _hardly_a_retry() -> Iterator[None]:
    """A server that is not there shall be missed at once; one that is gone later, waited for."""
    usual = MLFLOW_HTTP_REQUEST_MAX_RETRIES.get()
    MLFLOW_HTTP_REQUEST_MAX_RETRIES.set(min(usual, 1))
    try:
        yield
    finally:
        MLFLOW_HTTP_REQUEST_MAX_RETRIES.set(usual)


class RunLogger(MLFlowLogger):
    """MLflow, embedded unless `MLFLOW_TRACKING_URI` says otherwise.

    Args:
        experiment_name: the runs that belong together.
        run_name: of this run; when it began, and `about`, if None.
        tags: of this run.
        artifact_location: where a new experiment keeps its files; MLflow's default if None.

    Attributes:
        about: what a run without a name is called, beside its time.
    """

    def __init__(
        self,
        experiment_name: str = "fibromorph",
        run_name: str | None = None,
        tags: dict[str, Any] | None = None,
        artifact_location: str | None = None,
    ) -> None:
        # Lightning keeps the rank there; before a trainer exists nothing else knows it.
        first = getattr(rank_zero_only, "rank", 0) == 0
        if first:
            require_store(tracking_uri())
        super().__init__(
            experiment_name,
            run_name,
            tracking_uri() if first else UNUSED_URI,
            tags,
            artifact_location=artifact_location,
        )
        self.about = experiment_name
        self._tried = self._missing = 0
        self._out_until: float | None = None

    @property
    @rank_zero_experiment
    def experiment(self) -> MlflowClient:
        """MLflow's client. Lightning asks for it before it has looked at anything."""
        return self._mlflow_client

    @property
    def run_id(self) -> str | None:
        """The run's, which begins, or goes on, where this is first asked for.

        So what is refused before training leaves no run, and no other mark in MLflow.

        Raises:
            ConfigError: the store is gone.
        """
        if not self._initialized:
            with _refusing(self._tracking_uri):
                if self._run_id is not None:
                    self._mlflow_client.update_run(self._run_id, status="RUNNING")
                else:
                    self._take_a_name()
                _ = super().experiment
        return self._run_id

    @property
    def experiment_id(self) -> str | None:
        """Of the experiment that the run belongs to."""
        _ = self.run_id
        return self._experiment_id

    @property
    def save_dir(self) -> str:
        """Where checkpoints go that a configuration gives no folder."""
        return "runs"

    @rank_zero_only
    def go_on(self, run_id: str) -> None:
        """Log into an earlier run, if this store knows it; a new run is started otherwise."""
        try:
            run = self._mlflow_client.get_run(run_id)
        except MlflowException:  # unknown there
            return
        if run.info.lifecycle_stage == LifecycleStage.ACTIVE:
            self._run_id = run_id

    @rank_zero_only
    def keep(self, write: Callable[[], object]) -> None:
        """Log something; where MLflow cannot take it, it is missing, and training goes on.

        An outage is waited for once; while it lasts, MLflow is tried once in `PAUSE_S`.
        """
        self._tried += 1
        if self._out_until is not None and monotonic() < self._out_until:
            self._missing += 1
            return
        try:
            with nullcontext() if self._out_until is None else _hardly_a_retry():
                write()
            self._out_until = None
        except Exception as error:  # files may lie in a cloud, whose client has errors of its own
            if not self._missing:
                rank_zero_warn(f"{self._where()} fails ({type(error).__name__}): training goes on")
            self._missing += 1
            self._out_until = monotonic() + PAUSE_S

    @rank_zero_only
    def tag(self, **tags: object) -> None:
        """Set tags of the run, or warn where MLflow cannot take them."""
        for name, value in tags.items():
            self.keep(partial(self.experiment.set_tag, self.run_id, name, value))

    @rank_zero_only
    def tell_missing(self) -> None:
        """Warn of what MLflow could not take."""
        if self._missing:
            rank_zero_warn(
                f"{self._where()} could not be used for {self._missing} of {self._tried} entries:"
                " the record of this run is not complete, its checkpoint is"
            )

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log numbers, or warn where MLflow cannot take them."""
        self.keep(partial(super().log_metrics, metrics, step))

    @rank_zero_only
    def finalize(self, status: str = "success") -> None:
        """End the run; an outage that is over has a last chance."""
        if self._initialized:
            self._out_until = None if self._out_until is None else 0.0
            self.keep(partial(super().finalize, status))

    @rank_zero_only
    def log_hyperparams(self, params: Any) -> None:
        """Log nested settings as `part/name`; a value that a later slice changes becomes a tag.

        MLflow's parameters cannot be changed once they are written.
        """
        _ = self.run_id
        self.keep(partial(self._log_settings, flatten(plain(dict(params)))))

    def _where(self) -> str:
        return f"MLflow ({without_credentials(self._tracking_uri)})"

    def _log_settings(self, values: Mapping[str, str]) -> None:
        known = self.experiment.get_run(self.run_id).data.params
        fresh = [Param(key, value) for key, value in values.items() if key not in known]
        for start in range(0, len(fresh), PARAMETERS_AT_ONCE):
            batch = fresh[start : start + PARAMETERS_AT_ONCE]
            self.experiment.log_batch(run_id=self.run_id, params=batch)
        for key, value in values.items():
            if known.get(key, value) != value:
                self.experiment.set_tag(self.run_id, f"changed/{key}", value)

    def _take_a_name(self) -> None:
        # MLflow draws one by the seed of the training: all runs would have the same.
        if self._run_name is None and MLFLOW_RUN_NAME not in (self.tags or {}):
            self._run_name = f"{datetime.now():%Y-%m-%d %H:%M} {self.about}"


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


def run_id_of(checkpoint: Path) -> str | None:
    """The MLflow run that a checkpoint was written in; None if it does not say."""
    loaded = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    state: Mapping[str, Any] = loaded.get("callbacks", {}).get(RunRecord.__qualname__, {})
    run_id: str | None = state.get("run_id")
    return run_id


def flatten(value: Any, prefix: str = "") -> dict[str, str]:
    """Nested dictionaries as one, keys joined by '/', values as text that MLflow accepts."""
    if isinstance(value, Mapping) and value:
        return {
            key: text
            for name, item in value.items()
            if not str(name).startswith("_")
            for key, text in flatten(item, f"{prefix}/{name}" if prefix else str(name)).items()
        }
    return {prefix: str(value)[:LONGEST_PARAMETER]}


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
