"""What the network is trained on: a scan with the class and the side of every voxel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from fibromorph.grid import Shape3


@dataclass(frozen=True)
class Sample:
    """One training sample.

    Attributes:
        image: (i, j, k) float32 normalised intensities.
        classes: (i, j, k) int64 network class, 0 = background.
        sides: (i, j, k) int64, 1 = left, 2 = right, 0 = neither.
        groups: for each class the one that stands for it, where the reference does not tell some
            apart; empty = every class for itself.
        unsure: (i, j, k) bool, where the reference may be wrong and does not count; None = nowhere.
    """

    image: Tensor
    classes: Tensor
    sides: Tensor
    groups: tuple[int, ...] = ()
    unsure: Tensor | None = None

    def to(self, device: torch.device) -> Sample:
        """The same on another device."""
        moved = {name: image.to(device) for name, image in self._images().items()}
        return replace(self, **moved)

    def box(self, start: Shape3, shape: Shape3) -> Sample:
        """The part that begins at voxel `start`; the image is not normalised again."""
        inside = tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))
        return replace(self, **{name: image[inside] for name, image in self._images().items()})

    def _images(self) -> dict[str, Any]:
        images = {name: getattr(self, name) for name in ("image", "classes", "sides", "unsure")}
        return {name: image for name, image in images.items() if image is not None}


@dataclass(frozen=True)
class Batch:
    """Samples of one shape.

    Attributes:
        images: (batch, 1, i, j, k) float32.
        classes, sides: (batch, i, j, k) int64.
        groups: those of each sample, or None where all of them tell all classes apart.
        unsure: (batch, i, j, k) bool, or None where all references count everywhere.
    """

    images: Tensor
    classes: Tensor
    sides: Tensor
    groups: tuple[tuple[int, ...], ...] | None
    unsure: Tensor | None


def stack(samples: Sequence[Sample], class_count: int) -> Batch:
    """A batch of samples, which have one shape and lie on one device."""
    return Batch(
        torch.stack([s.image for s in samples])[:, None],
        torch.stack([s.classes for s in samples]),
        torch.stack([s.sides for s in samples]),
        _groups(samples, class_count),
        _unsure(samples),
    )


def _groups(samples: Sequence[Sample], class_count: int) -> tuple[tuple[int, ...], ...] | None:
    if not any(s.groups for s in samples):
        return None
    return tuple(s.groups or tuple(range(class_count)) for s in samples)


def _unsure(samples: Sequence[Sample]) -> Tensor | None:
    if all(s.unsure is None for s in samples):
        return None
    nowhere = torch.zeros_like(samples[0].classes, dtype=torch.bool)
    return torch.stack([nowhere if s.unsure is None else s.unsure for s in samples])


def mirrored_sides(sides: Tensor) -> Tensor:
    """Left for right, and neither for neither."""
    return (3 - sides) % 3
