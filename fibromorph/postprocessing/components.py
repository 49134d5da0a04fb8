"""Connected components: what a segmentation keeps of each structure, and where the rest goes."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fibromorph.errors import LabelError
from fibromorph.labels import LabelTable

Mask = NDArray[np.bool_]
LabelBox = NDArray[np.uint8]

# A part of these is kept when it has at least this share of the structure's largest part:
# sheets and thin horns fall apart at 1 mm without being wrong. Of all others one part is kept.
KEPT_SHARE: Mapping[str, float] = {
    "Cerebral-White-Matter": 0.002,
    "Cerebral-Cortex": 0.002,
    "Cerebellum-White-Matter": 0.01,
    "Cerebellum-Cortex": 0.01,
    "Lateral-Ventricle": 0.02,
    "Inf-Lat-Vent": 0.05,
    "3rd-Ventricle": 0.1,
    "4th-Ventricle": 0.1,
    "CSF": 0.0005,
}
KEPT_OF_A_PART = 0.1
MAX_GAP_VOXELS = 2
"""A piece this far or less from the brain's main mass still belongs to it."""

_UNDECIDED = 255
_FULL = np.ones((3, 3, 3), dtype=bool)
_NEIGHBOURS = np.array([o for o in product((-1, 0, 1), repeat=3) if any(o)], dtype=np.intp)


def keep_main_components(labels: LabelBox, table: LabelTable) -> LabelBox:
    """Clear islands away from the brain, then keep the main part or parts of every structure.

    Voxels of an island become background. Voxels of a structure's minor parts take the most
    common label around them, background included.

    Args:
        labels: (i, j, k) ids of `table`, 0 = background.
        table: the structures; `KEPT_SHARE` says which may have several parts.

    Returns:
        The cleaned ids.

    Raises:
        LabelError: an id that the table does not have.
    """
    _require_known(labels, table)
    inside = _bounding_box(labels > 0)
    if inside is None:
        return labels.copy()
    out = labels.copy()
    work = np.pad(out[inside], 1)
    work[_islands(work > 0)] = 0
    _mark_minor_parts(work, table)
    _decide(work)
    out[inside] = work[1:-1, 1:-1, 1:-1]
    return out


def posteriors_moved(
    before: LabelBox, after: LabelBox, confidence: NDArray[np.float32]
) -> dict[int, float]:
    """What each id gains by cleaning, in voxels: with a voxel goes the posterior that won it.

    Args:
        before, after: (i, j, k) ids, before and after cleaning.
        confidence: (i, j, k) winning posterior, 0 to 1.

    Returns:
        id -> sum of posteriors, below 0 for what it lost; only of ids that gained or lost some.
    """
    changed = before != after
    won, given, taken = confidence[changed], after[changed], before[changed]
    gained = np.bincount(given, won, minlength=256) - np.bincount(taken, won, minlength=256)
    return {i: float(gained[i]) for i in np.union1d(given, taken).tolist() if i > 0}


def grow(mask: Mask, steps: int) -> Mask:
    """Dilate by `steps` face-connected voxels; many times faster than scipy's on whole boxes."""
    out = mask
    for _ in range(steps):
        before, out = out, out.copy()
        for axis in range(before.ndim):
            low, high = _shifted(before.ndim, axis)
            out[high] |= before[low]
            out[low] |= before[high]
    return out


def fill_holes(mask: Mask) -> Mask:
    """Fill every cavity that no face-connected path joins to the outside."""
    outside, _ = ndimage.label(np.pad(~mask, 1, constant_values=True))
    filled: Mask = outside[1:-1, 1:-1, 1:-1] != outside[0, 0, 0]
    return filled


def _shifted(ndim: int, axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    every = [slice(None)] * ndim
    low, high = every.copy(), every.copy()
    low[axis], high[axis] = slice(None, -1), slice(1, None)
    return tuple(low), tuple(high)


def _require_known(labels: LabelBox, table: LabelTable) -> None:
    present = np.flatnonzero(np.bincount(labels.ravel(), minlength=1))
    strange = sorted(set(present.tolist()) - set(table.ids) - {0})
    if strange or _UNDECIDED in table.ids:
        raise LabelError("every label id must be in the table", value=strange[:20])


def _bounding_box(mask: Mask) -> tuple[slice, ...] | None:
    found = ndimage.find_objects(mask.view(np.uint8))
    return found[0] if found else None


def _islands(mask: Mask) -> Mask:
    """The voxels of `mask` that a gap of more than `MAX_GAP_VOXELS` parts from the main mass."""
    parts, count = ndimage.label(grow(mask, (MAX_GAP_VOXELS + 1) // 2))
    if count < 2:
        return np.zeros_like(mask)
    sizes = np.bincount(parts[mask], minlength=count + 1)
    far: Mask = mask & (parts != sizes.argmax())
    return far


def _mark_minor_parts(labels: LabelBox, table: LabelTable) -> None:
    """Set, in place, what each structure does not keep to `_UNDECIDED`."""
    boxes = ndimage.find_objects(labels, max_label=max(table.ids))
    for structure in table.structures:
        # A region of the cortex may lie on both banks of a sulcus, in parts of like size.
        share = KEPT_SHARE.get(structure.name, KEPT_OF_A_PART if structure.parent else 1.0)
        for label in structure.labels:
            box = boxes[label.id - 1]
            if box is not None:
                labels[box][_minor_parts(labels[box] == label.id, share)] = _UNDECIDED


def _minor_parts(mask: Mask, share: float) -> Mask:
    """The parts of `mask` below `share` of the largest; the first of equals is the largest."""
    parts, count = ndimage.label(mask, structure=_FULL)
    if count < 2:
        return np.zeros_like(mask)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    minor = sizes < max(share * sizes.max(), 1)
    if share >= 1.0:
        minor[:] = True
    minor[[0, int(sizes.argmax())]] = False
    found: Mask = minor[parts]
    return found


def _decide(labels: LabelBox) -> None:
    """Give every undecided voxel, in place and from the rim inwards, its neighbours' mode."""
    flat = labels.ravel()
    strides = np.array([labels.shape[1] * labels.shape[2], labels.shape[2], 1])
    offsets = _NEIGHBOURS @ strides
    open_voxels = np.flatnonzero(flat == _UNDECIDED)
    while open_voxels.size:
        around = flat[open_voxels[:, None] + offsets]
        flat[open_voxels] = _row_mode(around)
        open_voxels = open_voxels[flat[open_voxels] == _UNDECIDED]


def _row_mode(rows: LabelBox) -> LabelBox:
    """The most common decided id of each row, `_UNDECIDED` where a row has none."""
    ids = np.flatnonzero(np.bincount(rows.ravel(), minlength=256)[:_UNDECIDED])
    best = np.full(len(rows), _UNDECIDED, dtype=np.uint8)
    votes = np.zeros(len(rows), dtype=np.int64)
    for label_id in ids:
        count = np.count_nonzero(rows == label_id, axis=1)
        best[count > votes] = label_id
        votes = np.maximum(votes, count)
    return best
