"""How a network is trained, and how large it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

from fibromorph.errors import ConfigError, require_amount
from fibromorph.grid import Shape3
from fibromorph.models.network import SUBVOXELS
from fibromorph.preprocess import SHAPE_MULTIPLE
from fibromorph.training.optimiser import Optimiser


@dataclass(frozen=True)
class Crop:
    """A sample shape and how often it is drawn, relative to the others."""

    shape: Shape3
    weight: float = 1.0


@dataclass(frozen=True)
class Recipe:
    """How the network is trained.

    Attributes:
        crops: shapes of training samples in voxels of 1 mm, multiples of 32.
        validation_shape: shape of validation samples, large enough for a brain.
        learning_rate: after warm-up, before it falls along a cosine.
        warmup_steps: over which the learning rate rises linearly.
        optimiser: see `optimiser.make_optimiser`.
        weight_decay: decoupled.
        supervised_subvoxels: at how many of the eight voxels of each 2x2x2 block the loss is
            taken, drawn anew each step; fewer save time where the loss is a large part of it.
        random_contrast_end: share of samples of any contrast at the last step; it grows linearly
            from the synthesis settings' share.
        rarity_start: how much more rare structures count at first, 0 to 1
            (`losses.rarity_weights`); it falls linearly to zero at half of the steps.
        real_share: share of samples that are real scans (`data.labelled_scans`), augmented by
            TorchIO in the loader's workers, instead of synthesised.
        warped_share: share of samples that are real scans warped on the training device; in place
            of `real_share` where no workers can be spared.
        dressed_share: share of warped samples that get the head of a label map around the brain, at
            times with more room than it needs (`SynthesisSettings.atrophy`).
        compiled: let PyTorch write kernels for the normalisation (`network.compile_norms`): half
            a minute for each shape of crop, then faster steps.
    """

    crops: tuple[Crop, ...] = (Crop((128, 128, 128)),)
    validation_shape: Shape3 = (160, 192, 160)
    learning_rate: float = 1e-3
    warmup_steps: int = 50
    optimiser: Optimiser = "adamw"
    weight_decay: float = 1e-4
    supervised_subvoxels: int = SUBVOXELS
    random_contrast_end: float | None = None
    rarity_start: float = 0.5
    real_share: float = 0.0
    warped_share: float = 0.0
    dressed_share: float = 0.0
    compiled: bool = False

    def __post_init__(self) -> None:
        for shape in (*(c.shape for c in self.crops), self.validation_shape):
            if any(n % SHAPE_MULTIPLE or n <= 0 for n in shape):
                rule = f"sample shapes must be multiples of {SHAPE_MULTIPLE}"
                raise ConfigError(rule, value=shape, subject="recipe.crops")
        weights = [crop.weight for crop in self.crops]
        if not weights or min(weights) < 0 or sum(weights) <= 0:
            rule = "must be one or more, of which one at least has a weight above 0"
            raise ConfigError(rule, value=weights, subject="recipe.crops")
        for name in ("learning_rate", "weight_decay", "warmup_steps"):
            require_amount(getattr(self, name), name)
        if not 0 <= self.rarity_start <= 1:
            raise ConfigError("must be 0 to 1", value=self.rarity_start, subject="rarity_start")
        if not 1 <= self.supervised_subvoxels <= SUBVOXELS:
            raise ConfigError(
                "must be 1 to 8", value=self.supervised_subvoxels, subject="supervised_subvoxels"
            )
        for name in ("real_share", "warped_share", "dressed_share", "random_contrast_end"):
            share = getattr(self, name)
            if share is not None and not 0 <= share <= 1:
                raise ConfigError("is a share, 0 to 1", value=share, subject=name)
        if self.real_share and self.warped_share:
            rule = "real scans are augmented in one way: real_share or warped_share"
            raise ConfigError(rule, value=self.warped_share, subject="warped_share")

    @property
    def largest_crop(self) -> Shape3:
        """The smallest shape that holds every crop."""
        i, j, k = (max(lengths) for lengths in zip(*(c.shape for c in self.crops), strict=True))
        return i, j, k


LEVELS = range(3, 6)
"""DynUNet has three or more; crops of multiples of 32 voxels can be halved four times and once more
by the stem."""


@dataclass(frozen=True)
class NetworkSettings:
    """See `SegmentationNet`."""

    filters: tuple[int, ...] = (32, 64, 96, 128, 160)
    head_width: int = 64
    smooth: bool = True

    def __post_init__(self) -> None:
        # `models.weights.network_of` tells the levels apart by their width.
        if len(self.filters) not in LEVELS or sorted({*self.filters}) != list(self.filters):
            rule = "must be three to five levels, each wider than the one before"
            raise ConfigError(rule, value=self.filters, subject="network.filters")


def plain(value: Any) -> Any:
    """Settings as dictionaries, lists, numbers and strings."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def keep_plain(checkpoint: dict[str, Any]) -> None:
    """Make the settings in a checkpoint plain data, so that reading it runs no code from it."""
    for key in ("hyper_parameters", "datamodule_hyper_parameters"):
        if key in checkpoint:
            checkpoint[key] = plain(dict(checkpoint[key]))
