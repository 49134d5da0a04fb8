"""`fibromorph train`: LightningCLI over the module and its label maps."""

from __future__ import annotations

from collections.abc import Sequence

from pytorch_lightning.cli import LightningCLI

from fibromorph.training.data import LabelMapData
from fibromorph.training.module import SegmentationModule


def train(arguments: Sequence[str]) -> None:
    """Fit as the YAML and the command line say.

    Args:
        arguments: what follows `fibromorph train`: `--config YAML` and overrides such as
            `--trainer.max_steps 100` or `--ckpt_path last` to go on.
    """
    LightningCLI(
        SegmentationModule,
        LabelMapData,
        args=["fit", *arguments],
        save_config_callback=None,
    )
