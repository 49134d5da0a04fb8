"""Which label maps are trained on, and which are held out."""

from __future__ import annotations

from pathlib import Path

import pytorch_lightning as pl
from torch.utils.data import DataLoader, Dataset

from fibromorph.datasets.labelmaps import LabelMap, find_label_maps, load_label_maps
from fibromorph.errors import ConfigError


class _Slots(Dataset[int]):
    """Numbers 0..n-1: samples are made on the training device, the loader only counts them."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, item: int) -> int:
        return item


class LabelMapData(pl.LightningDataModule):
    """Label maps of whole heads, split into training and held-out ones.

    Args:
        label_maps: folder of label maps.
        held_out: how many of them, the last by name, validation keeps to itself.
        batch_size: samples a step and device.
        steps_per_epoch: an epoch is only a unit of logging and checkpoints.
        ignore_unknown_labels: treat ids outside the protocol as background, instead of refusing.
    """

    def __init__(
        self,
        label_maps: Path,
        held_out: int = 2,
        batch_size: int = 1,
        steps_per_epoch: int = 100,
        ignore_unknown_labels: bool = False,
    ) -> None:
        super().__init__()
        paths = find_label_maps(label_maps)
        if not 0 <= held_out < len(paths):
            raise ConfigError(
                f"held_out must leave some of the {len(paths)} label maps to train on",
                value=held_out,
                subject="held_out",
            )
        self.paths = paths
        self.held_out = held_out
        self.batch_size = batch_size
        self.steps_per_epoch = steps_per_epoch
        self.ignore_unknown_labels = ignore_unknown_labels
        self.maps: tuple[LabelMap, ...] = ()

    def setup(self, stage: str) -> None:  # noqa: ARG002 (Lightning's signature)
        if not self.maps:
            self.maps = load_label_maps(self.paths, ignore_unknown=self.ignore_unknown_labels)

    @property
    def training_maps(self) -> tuple[LabelMap, ...]:
        return self.maps[: len(self.maps) - self.held_out]

    @property
    def validation_maps(self) -> tuple[LabelMap, ...]:
        return self.maps[len(self.maps) - self.held_out :]

    def train_dataloader(self) -> DataLoader[int]:
        return DataLoader(_Slots(self.batch_size * self.steps_per_epoch), self.batch_size)

    def val_dataloader(self) -> DataLoader[int]:
        return DataLoader(_Slots(self.held_out), 1)
