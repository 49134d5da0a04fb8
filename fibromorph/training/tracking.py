"""The logger of a run: MLflow, through outages and over several slices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import datetime
from functools import partial
from time import monotonic
from typing import Any

from lightning_fabric.loggers.logger import rank_zero_experiment
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Param
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME
from pytorch_lightning.loggers import MLFlowLogger
from pytorch_lightning.utilities import rank_zero_only, rank_zero_warn

from fibromorph.training.recipe import plain
from fibromorph.training.store import (
    hardly_a_retry,
    refusing,
    require_store,
    shown,
    tracking_uri,
)

UNUSED_URI = "http://first-process-only.invalid"
"""Only the first process logs; several that create one database at once would collide."""

PAUSE_S = 60.0
"""Before a store that could not be used is tried again."""

LONGEST_PARAMETER = 500
PARAMETERS_AT_ONCE = 100


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
            with refusing(self._tracking_uri):
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
            with nullcontext() if self._out_until is None else hardly_a_retry():
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
        return f"MLflow ({shown(self._tracking_uri)})"

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
