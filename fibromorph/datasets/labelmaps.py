"""Label maps of whole heads: the anatomy that training scans are synthesised from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from fibromorph.datasets.structures import Structures, find_structures
from fibromorph.datasets.tissues import FLUID_ID, GENERATION_IDS
from fibromorph.errors import LabelError
from fibromorph.labels import (
    FREESURFER,
    FREESURFER_MERGED,
    FREESURFER_MIDLINE,
    midline_to_hemispheres,
    parcels_to_wholes,
    require_cerebrum,
    unknown_ids,
)
from fibromorph.scans.reference import UNREADABLE, require_whole

MARGIN_VOXELS = 4


@dataclass(frozen=True)
class LabelMap:
    """One head as indices into `tissues.GENERATION_IDS`, in RAS order at 1 mm.

    Attributes:
        name: file name it came from.
        sha256: of the file's bytes, for the record of a run.
        index: (i, j, k) uint8, cropped to the head.
        brain_start: first voxel of the brain's box (cerebrospinal fluid left out).
        brain_stop: one past its last voxel.
        structures: where they lie, in the same voxels.
    """

    name: str
    sha256: str
    index: NDArray[np.uint8]
    brain_start: tuple[int, int, int]
    brain_stop: tuple[int, int, int]
    structures: Structures


def find_label_maps(folder: Path) -> list[Path]:
    """The label maps (`*.nii.gz`, `*.nii`, `*.mgz`) of a folder, sorted by name.

    Raises:
        LabelError: the folder does not exist or holds none.
    """
    suffixes = (".nii.gz", ".nii", ".mgz")
    paths = sorted(p for p in folder.glob("*") if p.name.endswith(suffixes))
    if not paths:
        raise LabelError("a folder of label maps must hold .nii.gz, .nii or .mgz", subject=folder)
    return paths


def load_label_map(path: Path, *, ignore_unknown: bool = False) -> LabelMap:
    """Read a label map of FreeSurfer ids (and 500+ for tissue outside the brain).

    Args:
        path: a 3-D integer image with 1 mm voxels; regions of `aparc+aseg` or `wmparc` count as
            cortex or white matter of their side.
        ignore_unknown: treat unknown ids as background instead of refusing them.

    Raises:
        LabelError: not an image, not 3-D, not 1 mm, no background, no cerebral cortex or white
            matter, or ids that are not known.
    """
    try:
        require_whole(path)
        image = nib.as_closest_canonical(nib.load(path))
        values = np.asanyarray(image.dataobj)
    except UNREADABLE as error:
        raise LabelError(
            "a label map must be a readable image", value=error, subject=path
        ) from error
    spacing = np.asarray(image.header.get_zooms()[:3])
    if len(image.shape) != 3 or np.abs(spacing - 1.0).max() > 0.02:
        found = f"shape {image.shape}, spacing {spacing.round(3).tolist()} mm"
        raise LabelError("a label map must be 3-D with 1 mm voxels", value=found, subject=path)
    ids = np.rint(values).astype(np.int32)
    index = _to_index(ids, path, ignore_unknown)
    start, stop = _box(index > 0, MARGIN_VOXELS)
    index = index[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
    of_brain = [GENERATION_IDS.index(i) for i in FREESURFER.ids if i != FLUID_ID]
    brain = np.isin(index, of_brain)
    brain_start, brain_stop = _box(brain, 0)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    structures = find_structures(index, of_brain)
    index = np.ascontiguousarray(index)
    return LabelMap(path.name, digest, index, brain_start, brain_stop, structures)


def load_label_maps(paths: Iterable[Path], *, ignore_unknown: bool = False) -> tuple[LabelMap, ...]:
    """`load_label_map` for each path, in order."""
    return tuple(load_label_map(p, ignore_unknown=ignore_unknown) for p in paths)


def _to_index(ids: NDArray[np.int32], path: Path, ignore_unknown: bool) -> NDArray[np.uint8]:
    if not (ids == 0).any():
        raise LabelError("a label map must have background (id 0)", subject=path)
    known = {*GENERATION_IDS, *FREESURFER_MERGED}
    ids = parcels_to_wholes(ids)
    strange = unknown_ids(ids, known.union(FREESURFER_MIDLINE))
    if strange and not ignore_unknown:
        raise LabelError(
            "label ids must be known (allow unknown ones to be background explicitly)",
            value=strange[:20],
            subject=path,
        )
    ids = midline_to_hemispheres(np.where(np.isin(ids, strange), 0, ids))
    require_cerebrum(ids, FREESURFER, path)
    lookup = np.zeros(int(ids.max()) + 1, dtype=np.uint8)
    for label_id in known:
        if label_id < lookup.size:
            kept = label_id if label_id in GENERATION_IDS else FREESURFER_MERGED[label_id]
            lookup[label_id] = GENERATION_IDS.index(kept)
    return lookup[ids]


def _box(mask: NDArray[np.bool_], margin: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """First voxel of the box around a mask that is not empty, and one past its last."""
    starts, stops = [], []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        inside = np.flatnonzero(mask.any(axis=others))
        starts.append(max(int(inside[0]) - margin, 0))
        stops.append(min(int(inside[-1]) + 1 + margin, mask.shape[axis]))
    return (starts[0], starts[1], starts[2]), (stops[0], stops[1], stops[2])
