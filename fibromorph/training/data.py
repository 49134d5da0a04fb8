"""What is trained on and what is held out: label maps, and real labelled scans."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_warn
from torch.utils.data import DataLoader

from fibromorph.datasets.augment import AugmentationSettings
from fibromorph.datasets.labelled import LabelledFolder, LabelledScan, load_labelled_scans
from fibromorph.datasets.labelmaps import LabelMap, find_label_maps, load_label_maps
from fibromorph.errors import ConfigError
from fibromorph.grid import Shape3
from fibromorph.labels import FREESURFER, LabelTable, table_of
from fibromorph.training.slots import RealMix, SampleNumbers, Slot, SlotLoader, Slots, as_list


class LabelMapData(pl.LightningDataModule):
    """Label maps of whole heads and real labelled scans, for training and for validation.

    Args:
        label_maps: folder of label maps.
        held_out: how many of them, the last by name, validation keeps to itself.
        batch_size: samples a step and device.
        steps_per_epoch: an epoch is only a unit of logging and checkpoints.
        ignore_unknown_labels: treat ids outside the protocol as background, instead of refusing.
        labelled_scans: real scans to train on, as often as `recipe.real_share` says.
        validation_scans: real scans to score at each validation.
        protocol: the table that labels of real scans are translated to; the model's.
        augmentation: how far real training scans are changed.
        workers: processes that augment real scans; 0 = the training process itself.
    """

    def __init__(  # noqa: PLR0913 (settings, given by name)
        self,
        label_maps: Path,
        *,
        held_out: int = 2,
        batch_size: int = 1,
        steps_per_epoch: int = 100,
        ignore_unknown_labels: bool = False,
        labelled_scans: LabelledFolder | None = None,
        validation_scans: LabelledFolder | None = None,
        protocol: str = FREESURFER.protocol,
        augmentation: AugmentationSettings = AugmentationSettings(),  # noqa: B008
        workers: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.paths = find_label_maps(label_maps)
        if not 0 <= held_out < len(self.paths):
            raise ConfigError(
                f"held_out must leave some of the {len(self.paths)} label maps to train on",
                value=held_out,
                subject="held_out",
            )
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("steps_per_epoch", steps_per_epoch, 1),
            ("workers", workers, 0),
        ):
            if value < least:
                raise ConfigError(f"must be {least} or more", value=value, subject=name)
        self.held_out = held_out
        self.batch_size = batch_size
        self.steps_per_epoch = steps_per_epoch
        self.ignore_unknown_labels = ignore_unknown_labels
        self.training_folder = labelled_scans
        self.validation_folder = validation_scans
        self.table = table_of(protocol)
        self.augmentation = augmentation
        self.workers = workers
        self.maps: tuple[LabelMap, ...] = ()
        self.labelled_scans: tuple[LabelledScan, ...] = ()
        self.validation_scans: tuple[LabelledScan, ...] = ()
        self._mix: RealMix | None = None

    def setup(self, stage: str) -> None:  # noqa: ARG002 (Lightning's signature)
        """Read everything into memory, once.

        Raises:
            LabelError, ScanError: what cannot be read.
            ConfigError: a scan is in both sets.
        """
        if self.maps:
            return
        self.maps = load_label_maps(self.paths, ignore_unknown=self.ignore_unknown_labels)
        self.labelled_scans = _load(self.training_folder, self.table)
        self.validation_scans = _load(self.validation_folder, self.table)
        learnt = {scan.scan_sha256: scan.name for scan in self.labelled_scans}
        for scan in self.validation_scans:
            if scan.scan_sha256 in learnt:
                rule = "a scan cannot be trained on and validated with; see only and skip"
                raise ConfigError(rule, value=scan.name, subject="data.validation_scans")

    def require_real_scans(self, share: float) -> None:
        """Check that there are real scans where a share of the samples is to be real.

        Raises:
            ConfigError: there are no real scans to train on, or no use for those there are.
        """
        if (share > 0) != bool(self.labelled_scans):
            raise ConfigError(
                "data.labelled_scans and recipe.real_share or warped_share above 0 belong together",
                value=f"{len(self.labelled_scans)} scans, share {share}",
            )

    def mix_real_scans(self, share: float, shape: Shape3, seed: int) -> None:
        """Make `share` of the training samples real ones, augmented by TorchIO to `shape`."""
        if share > 0:
            self._mix = RealMix(share, shape, seed, self.labelled_scans, self.augmentation)

    @property
    def training_maps(self) -> tuple[LabelMap, ...]:
        return self.maps[: len(self.maps) - self.held_out]

    @property
    def validation_maps(self) -> tuple[LabelMap, ...]:
        return self.maps[len(self.maps) - self.held_out :]

    def train_dataloader(self) -> SlotLoader:
        """Slots that no earlier slice of the run has seen."""
        world = self.trainer.world_size if self.trainer else 1
        rank = self.trainer.global_rank if self.trainer else 0
        count = self.batch_size * self.steps_per_epoch
        workers = self.workers if self._mix else 0
        return SlotLoader(
            Slots(count, self._mix),
            self.batch_size,
            sampler=SampleNumbers(count, self._seen, world, rank),
            collate_fn=as_list,
            num_workers=workers,
            persistent_workers=workers > 0,
        )

    @property
    def validation_count(self) -> int:
        """Samples of a validation, on all devices; higher numbers are nobody's."""
        return self.held_out + len(self.validation_scans)

    def val_dataloader(self) -> DataLoader[Slot]:
        """First the held-out label maps, then the real scans, by number.

        Devices get equally many, as they wait for one another: some get a number that is nobody's,
        where Lightning's own sampler would begin again, and count a sample twice.
        """
        count = self.validation_count
        if self.trainer is None or self.trainer.world_size == 1:
            return DataLoader(Slots(count), 1, collate_fn=as_list)
        world = self.trainer.world_size
        share = math.ceil(count / world)
        numbers = SampleNumbers(share, lambda: 0, world, self.trainer.global_rank)
        return DataLoader(Slots(share * world), 1, sampler=numbers, collate_fn=as_list)

    def transfer_batch_to_device(
        self,
        batch: list[Slot],
        device: torch.device,
        dataloader_idx: int,  # noqa: ARG002 (Lightning's signature)
    ) -> list[Slot]:
        """Move the real samples of a batch."""
        return [slot.to(device) for slot in batch]

    def _seen(self) -> int:
        """Samples that the run has used, on all devices."""
        if self.trainer is None:
            return 0
        batches = self.trainer.global_step * self.trainer.accumulate_grad_batches
        return batches * self.batch_size * self.trainer.world_size

    def training_hashes(self) -> dict[str, str]:
        """SHA-256 of every file that is trained on, by name."""
        hashes = self.hashes()
        return {**hashes["label_maps"], **hashes["labelled_scans"]}

    def warn_of_learnt(self, learnt: Mapping[str, str]) -> None:
        """Say so if validation scores heads that the weights know.

        Args:
            learnt: SHA-256 of the files that they have learnt from, by name.
        """
        known = set(learnt.values())
        heads = [{head.sha256} for head in self.validation_maps]
        heads += [{scan.scan_sha256, scan.labels_sha256} for scan in self.validation_scans]
        seen = sum(not known.isdisjoint(files) for files in heads)
        if seen:
            rank_zero_warn(
                f"the starting weights have learnt from {seen} of the {len(heads)} heads that"
                " validation scores: their Dice says nothing of new heads"
            )

    def hashes(self) -> dict[str, dict[str, str]]:
        """SHA-256 of every file that is trained on or validated with, by part and file name."""
        return {
            "label_maps": {m.name: m.sha256 for m in self.training_maps},
            "validation_label_maps": {m.name: m.sha256 for m in self.validation_maps},
            "labelled_scans": _scan_hashes(self.labelled_scans),
            "validation_scans": _scan_hashes(self.validation_scans),
        }


def data_of(module: pl.LightningModule) -> LabelMapData:
    """The data module of the running fit.

    Raises:
        ConfigError: it is another kind of data.
    """
    data = getattr(module.trainer, "datamodule", None)
    if not isinstance(data, LabelMapData):
        raise ConfigError("training needs label maps", value=type(data).__name__)
    return data


def _load(folder: LabelledFolder | None, table: LabelTable) -> tuple[LabelledScan, ...]:
    return () if folder is None else load_labelled_scans(folder, table)


def _scan_hashes(scans: tuple[LabelledScan, ...]) -> dict[str, str]:
    return {
        **{scan.name: scan.scan_sha256 for scan in scans},
        **{f"{scan.name} labels": scan.labels_sha256 for scan in scans},
    }
