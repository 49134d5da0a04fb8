"""`fibromorph train`: LightningCLI over a module and its data."""

from __future__ import annotations

import logging
import re
import warnings
from argparse import ArgumentError
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import yaml
from jsonargparse.typing import lazy_instance
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.cli import (
    ArgsType,
    LightningArgumentParser,
    LightningCLI,
    SaveConfigCallback,
)

from fibromorph.errors import BundleError, ConfigError, FibromorphError
from fibromorph.models.weights import origin_of, read_checkpoint
from fibromorph.training import USAGE
from fibromorph.training.checkpoints import SliceCheckpoint
from fibromorph.training.data import LabelMapData
from fibromorph.training.locator import LocatorModule
from fibromorph.training.module import SegmentationModule
from fibromorph.training.progress import ProgressLines
from fibromorph.training.record import RunRecord
from fibromorph.training.tracking import RunLogger
from fibromorph.yaml_files import read_mapping

WHAT: dict[str, type[pl.LightningModule]] = {
    "network": SegmentationModule,
    "locator": LocatorModule,
}
LAST = "last"
"""In place of a checkpoint's path: the last one in the configuration's own folder."""

RANK_ZERO_LOG = "pytorch_lightning.utilities.rank_zero"
ADVERTISED = "\N{ELECTRIC LIGHT BULB} Tip:"

STRICT = {"exit_on_error": False, "allow_abbrev": False}
"""Of the parsers: a mistyped option is no abbreviation of another."""


def train(arguments: Sequence[str]) -> None:
    """Fit as the YAML and the command line say.

    Args:
        arguments: what follows `fibromorph train`: at first `network` (may be left out) or
            `locator`, then `--config YAML` and overrides such as `--trainer.max_steps 100`, or
            `--ckpt_path last` to go on from the last checkpoint in the configuration's folder, or
            to begin where there is none yet. On going on, the model's settings must be those of
            the checkpoint.

    Raises:
        ConfigError: a setting that does not exist or is out of its range, or a store or a device
            that is not there.
        LabelError, BundleError, ScanError: data or weights that do not fit.
    """
    what, rest = "network", list(arguments)
    if rest and rest[0] in WHAT:
        what = rest.pop(0)
    for path in _configurations(rest):
        read_mapping(path)
    _leave_out_advertisements()
    try:
        _TrainingCLI(
            WHAT[what],
            LabelMapData,
            args=["fit", *rest],
            save_config_callback=_RecordConfig,
            save_config_kwargs={"save_to_log_dir": False},
            trainer_defaults={
                "logger": lazy_instance(RunLogger),
                "callbacks": [RunRecord(), ProgressLines()],
                # `ProgressLines` tells more.
                "enable_progress_bar": False,
                "enable_model_summary": False,
            },
            parser_kwargs={**STRICT, "fit": {**STRICT, "usage": USAGE}},
        )
    except (ArgumentError, MisconfigurationException) as error:
        raise ConfigError(_in_our_words(error), subject="train") from error
    except ValueError as error:
        # So jsonargparse wraps what a logger or a callback refuses.
        if isinstance(error.__cause__, FibromorphError):
            raise error.__cause__ from None
        raise


def _leave_out_advertisements() -> None:
    """Lightning recommends its makers' services, and warns of what PyTorch asks of itself alone."""
    log = logging.getLogger(RANK_ZERO_LOG)
    log.addFilter(lambda record: not record.getMessage().startswith(ADVERTISED))
    warnings.filterwarnings("ignore", r".*isinstance\(treespec, LeafSpec\)", FutureWarning)


def _configurations(arguments: Sequence[str]) -> Iterator[Path]:
    """The files of `--config FILE` and `--config=FILE`."""
    for option, value in zip(arguments, [*arguments[1:], ""], strict=True):
        if option == "--config" and value:
            yield Path(value)
        elif option.startswith("--config="):
            yield Path(option.removeprefix("--config="))


def _in_our_words(error: Exception) -> str:
    """On one line, and without the subcommand that LightningCLI needs and our users do not see."""
    text = re.sub(r"\bfit\.(?=\w)", "", " ".join(str(error).split()))
    return re.sub(r"Subcommand 'fit' does not accept option '(.*?)'", r"no such setting: \1", text)


class _TrainingCLI(LightningCLI):
    _folder: Path | None
    _given: dict[str, Any]
    _began_with: Path | None = None

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The labels of real scans are read in the model's protocol."""
        if self._model_class is SegmentationModule:
            parser.link_arguments("model.protocol", "data.protocol")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        if not isinstance(args, list):
            raise TypeError(f"arguments must be a list, not {type(args).__name__}")
        self.config = parser.parse_args(args)
        config = self.config.fit
        folder = self._folder = _checkpoint_folder(config.trainer.callbacks)
        if config.ckpt_path == LAST:
            config.ckpt_path = _last_checkpoint(folder)
        if config.ckpt_path is not None:
            _require_own(Path(config.ckpt_path), folder)
            self._given = self._model_settings()

    def before_instantiate_classes(self) -> None:
        """On going on, the checkpoint has the weights, and the model is the one that it is of.

        Raises:
            ConfigError: a file or an option sets what the checkpoint has otherwise.
        """
        config = self.config.fit
        if config.ckpt_path is None:
            return
        for name, given, kept in _differences(self._given, self._model_settings(), "model"):
            rule = f"a run goes on with the model's settings of its checkpoint, {kept}"
            raise ConfigError(rule, value=given, subject=name)
        # What is recorded is what the run began with; it need not be there any more.
        self._dump_config()
        self._began_with = config.model.initial_weights
        config.model.initial_weights = None

    def after_instantiate_classes(self) -> None:
        if self._began_with is not None:
            self.config.fit.model.initial_weights = self._began_with

    def _model_settings(self) -> dict[str, Any]:
        """As plain data, but for the weights it began with."""
        text = self.parser.dump(
            self.config, skip_none=False, skip_link_targets=False, format="yaml"
        )
        settings: dict[str, Any] = yaml.safe_load(text)["fit"]["model"]
        return {name: value for name, value in settings.items() if name != "initial_weights"}

    def before_fit(self) -> None:
        """Go on in the MLflow run that the checkpoint comes from; a new one gets a name."""
        path = self.config.fit.ckpt_path
        run_id = "" if path is None else origin_of(Path(path)).run_id
        for logger in self.trainer.loggers:
            if isinstance(logger, RunLogger):
                logger.about = self._folder.name if self._folder else logger.about
                if run_id:
                    logger.go_on(run_id)


def _checkpoint_folder(callbacks: Any) -> Path | None:
    """Where a configuration keeps its checkpoints; None if it leaves that to Lightning."""
    several = callbacks if isinstance(callbacks, list) else [callbacks]
    settings = [callback.get("init_args") or {} for callback in several if callback is not None]
    folders = [Path(folder) for found in settings if (folder := found.get("dirpath"))]
    return folders[0] if folders else None


def _last_checkpoint(folder: Path | None) -> str | None:
    if folder is None:
        rule = "needs a callback with a dirpath, such as SliceCheckpoint"
        raise ConfigError(rule, value=LAST, subject="ckpt_path")
    path = folder / f"{SliceCheckpoint.CHECKPOINT_NAME_LAST}{SliceCheckpoint.FILE_EXTENSION}"
    return str(path) if path.is_file() else None


def _require_own(path: Path, folder: Path | None) -> None:
    """See that a run goes on from a checkpoint of its own."""
    if not _is_checkpoint(path):
        rule = "must be a checkpoint that training wrote"
        raise ConfigError(rule, value=path, subject="ckpt_path")
    if folder is not None and path.resolve().parent != folder.resolve():
        rule = (
            f"a run goes on in the folder of its checkpoints, here {folder};"
            " another one begins with --model.initial_weights"
        )
        raise ConfigError(rule, value=path, subject="ckpt_path")


def _is_checkpoint(path: Path) -> bool:
    try:
        return {"state_dict", "loops"} <= read_checkpoint(path).keys()
    except BundleError:
        return False


def _differences(given: Any, kept: Any, name: str) -> Iterator[tuple[str, Any, Any]]:
    """Where nested settings differ: the name with dots, and both values."""
    if isinstance(given, dict) and isinstance(kept, dict):
        for key, value in given.items():
            yield from _differences(value, kept.get(key), f"{name}.{key}")
    elif given != kept:
        yield name, given, kept


class _RecordConfig(SaveConfigCallback):
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Nothing yet: only the checkpoint knows the step that a slice begins at."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            self.save_config(trainer, pl_module, "fit")

    def save_config(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,  # noqa: ARG002 (Lightning's signature)
        stage: str,  # noqa: ARG002
    ) -> None:
        """The whole configuration, as YAML that `--config` reads again; one a slice."""
        step = trainer.global_step
        name = f"config/step-{step:06d}.yaml" if step else "config.yaml"
        text: Any = self.parser.dump(self.config, skip_none=False)
        for logger in trainer.loggers:
            if isinstance(logger, RunLogger):
                logger.keep(partial(logger.experiment.log_text, logger.run_id, text, name))
