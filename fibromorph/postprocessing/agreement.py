"""How well two segmentations of one head agree, structure by structure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fibromorph.grid import Grid

LabelImage = NDArray[np.integer]
Mask = NDArray[np.bool_]
Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class Agreement:
    """One structure in one scan.

    Attributes:
        label_id: of the structure.
        dice: 2 |A and B| / (|A| + |B|); 0 if it was not found at all.
        hd95_mm: the larger of the 95th percentiles of the distances from either surface to the
            other; NaN if it was not found.
        assd_mm: mean of these distances, both ways together; NaN if it was not found.
        volume_ml: as segmented.
        reference_ml: as in the reference.
    """

    label_id: int
    dice: float
    hd95_mm: float
    assd_mm: float
    volume_ml: float
    reference_ml: float

    @property
    def volume_error(self) -> float:
        """(volume - reference) / reference."""
        return (self.volume_ml - self.reference_ml) / self.reference_ml


def compare(
    labels: LabelImage, reference: LabelImage, grid: Grid, ids: Iterable[int]
) -> list[Agreement]:
    """Compare every structure that the reference has.

    Args:
        labels: (i, j, k) ids as segmented.
        reference: (i, j, k) ids, on the same voxels.
        grid: where these voxels lie.
        ids: structures to compare; those that the reference lacks are left out.
    """
    return [
        _agreement(label_id, a, b, grid.spacing_mm, grid.voxel_ml)
        for label_id, a, b in _pairs(labels, reference, ids)
    ]


def dices(labels: LabelImage, reference: LabelImage, ids: Iterable[int]) -> list[float]:
    """Dice alone of what `compare` compares, without the time that its surfaces take."""
    return [_dice(a, b) for _, a, b in _pairs(labels, reference, ids)]


def surface_distances_mm(a: Mask, b: Mask, spacing_mm: Spacing) -> NDArray[np.float64]:
    """Distance of every surface voxel of `a` to the surface of `b`; both on the same voxels."""
    away = ndimage.distance_transform_edt(~_surface(b), sampling=spacing_mm)
    return np.asarray(away[_surface(a)])


def _agreement(label_id: int, a: Mask, b: Mask, spacing_mm: Spacing, voxel_ml: float) -> Agreement:
    n_a, n_b = int(a.sum()), int(b.sum())
    hd95 = assd = float("nan")
    if n_a:
        there, back = surface_distances_mm(a, b, spacing_mm), surface_distances_mm(b, a, spacing_mm)
        hd95 = float(max(np.percentile(there, 95), np.percentile(back, 95)))
        assd = float(np.concatenate([there, back]).mean())
    return Agreement(label_id, _dice(a, b), hd95, assd, n_a * voxel_ml, n_b * voxel_ml)


def _dice(a: Mask, b: Mask) -> float:
    return 2.0 * int((a & b).sum()) / (int(a.sum()) + int(b.sum()))


def _pairs(
    labels: LabelImage, reference: LabelImage, ids: Iterable[int]
) -> Iterator[tuple[int, Mask, Mask]]:
    """Both masks, in the box around them, of every structure that the reference has."""
    boxes = ndimage.find_objects(np.maximum(labels, 0).astype(np.int32))
    reference_boxes = ndimage.find_objects(np.maximum(reference, 0).astype(np.int32))
    for label_id in ids:
        own, other = _box(boxes, label_id), _box(reference_boxes, label_id)
        if other is not None:
            box = _union(own or other, other)
            yield label_id, labels[box] == label_id, reference[box] == label_id


def _surface(mask: Mask) -> Mask:
    """Voxels of the mask with a face on its outside; the image's border is outside."""
    inner = ndimage.binary_erosion(mask, border_value=0)
    return np.asarray(mask & ~inner)


def _box(boxes: list[tuple[slice, ...] | None], label_id: int) -> tuple[slice, ...] | None:
    return boxes[label_id - 1] if label_id <= len(boxes) else None


def _union(a: tuple[slice, ...], b: tuple[slice, ...]) -> tuple[slice, ...]:
    return tuple(
        slice(min(x.start, y.start), max(x.stop, y.stop)) for x, y in zip(a, b, strict=True)
    )
