"""What the network is trained on: a scan with the class and the side of every voxel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
        unlabelled: classes that the reference does not tell from background.
    """

    image: Tensor
    classes: Tensor
    sides: Tensor
    unlabelled: tuple[int, ...] = ()

    def to(self, device: torch.device) -> Sample:
        """The same on another device."""
        moved = {name: getattr(self, name).to(device) for name in ("image", "classes", "sides")}
        return replace(self, **moved)

    def box(self, start: Shape3, shape: Shape3) -> Sample:
        """The part that begins at voxel `start`; the image is not normalised again."""
        inside = tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))
        return replace(
            self, image=self.image[inside], classes=self.classes[inside], sides=self.sides[inside]
        )


@dataclass(frozen=True)
class Batch:
    """Samples of one shape.

    Attributes:
        images: (batch, 1, i, j, k) float32.
        classes, sides: (batch, i, j, k) int64.
        unlabelled: (batch, classes) bool as in `Sample`, or None where all is labelled.
    """

    images: Tensor
    classes: Tensor
    sides: Tensor
    unlabelled: Tensor | None


def stack(samples: Sequence[Sample], class_count: int) -> Batch:
    """A batch of samples, which have one shape and lie on one device."""
    return Batch(
        torch.stack([s.image for s in samples])[:, None],
        torch.stack([s.classes for s in samples]),
        torch.stack([s.sides for s in samples]),
        _unlabelled(samples, class_count),
    )


def _unlabelled(samples: Sequence[Sample], class_count: int) -> Tensor | None:
    if not any(s.unlabelled for s in samples):
        return None
    mask = torch.zeros((len(samples), class_count), dtype=torch.bool)
    for row, sample in zip(mask, samples, strict=True):
        row[list(sample.unlabelled)] = True
    return mask.to(samples[0].image.device)
