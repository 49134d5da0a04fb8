"""Real scans with reference labels, for supervised training and for validation."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from fibromorph.datasets.samples import Sample
from fibromorph.datasets.structures import Structures, find_structures
from fibromorph.datasets.tissues import FLUID, FLUID_ID
from fibromorph.errors import ConfigError, LabelError
from fibromorph.grid import Shape3, shape3
from fibromorph.labels import FREESURFER, TABLES, LabelTable, require_cerebrum
from fibromorph.lookups import lookup
from fibromorph.preprocess import MARGIN_MM, air_of, normalise, padded_length
from fibromorph.scans import read_reference, read_scan, resample, working_grid
from fibromorph.scans.pairs import LabelledPair, choose_scans, find_scans, pair_of

Voxel = TypeVar("Voxel", bound=np.generic)

KEPT_MARGIN_VOXELS = 48
"""Kept around the brain: more than any crop of an allowed length reaches beyond it."""

MOST_FLUID = 0.6
"""Around a brain, relative to its volume: more is not what a mask of the brain leaves."""


@dataclass(frozen=True)
class LabelledFolder:
    """Where labelled scans lie, and how far their labels can be trusted.

    Attributes:
        folder: holds scans and labels, at any depth.
        scan_suffix: end of a scan's path in the folder; what comes before it is the scan's stem.
        label_suffix: end of the path of its labels, after the same stem.
        protocol: of the labels, one of `labels.TABLES`.
        unlabelled: names of structures (as in the network's table) that the protocol does not draw
            everywhere; background is then taken to mean 'background or one of these'. Structures
            that no scan of the folder has are added. The default is fluid around the brain, which
            hardly any manual protocol draws.
        fluid_beside_labels: what the scans show beside their labels is fluid around the brain, as
            in scans whose skull a close mask has removed; then all fluid is known, that of a head
            put around them too.
        only: stems to take, or patterns such as sub-0*; empty = all.
        skip: stems to leave out, or patterns, for instance of those kept for validation.
        ignore_unknown: treat ids that the protocol does not have as background, instead of refusing
            them.
    """

    folder: Path
    scan_suffix: str = "_SS.nii.gz"
    label_suffix: str = "_glm.nii.gz"
    protocol: str = "neuromorphometrics"
    unlabelled: tuple[str, ...] = (FLUID,)
    fluid_beside_labels: bool = False
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    ignore_unknown: bool = False

    def __post_init__(self) -> None:
        known = {name for table in TABLES.values() for name in table.names}
        for name in self.unlabelled:
            if name not in known:
                rule = f"must be one of {sorted(known)}"
                raise ConfigError(rule, value=name, subject="unlabelled")

    @property
    def undrawn(self) -> frozenset[str]:
        """What background may be, too."""
        return frozenset(self.unlabelled) - ({FLUID} if self.fluid_beside_labels else set())


@dataclass(frozen=True, eq=False)
class LabelledScan:
    """One scan with its labels in RAS order at 1 mm, cropped around the brain.

    Attributes:
        name: the scan's stem.
        scan_sha256, labels_sha256: of the files, for the record of a run.
        image: (i, j, k) float32 in units of the brain's 95th percentile, not negative.
        ids: (i, j, k) uint8 ids of `table`.
        brain_start: first voxel of the labelled brain's box (fluid left out).
        brain_stop: one past its last voxel.
        structures: where they lie, in the same voxels.
        table: whose ids these are.
        groups: see `Sample`; what is not drawn is grouped with background.
    """

    name: str
    scan_sha256: str
    labels_sha256: str
    image: NDArray[np.float32]
    ids: NDArray[np.uint8]
    brain_start: Shape3
    brain_stop: Shape3
    structures: Structures
    table: LabelTable
    groups: tuple[int, ...] = ()

    @property
    def tells_fluid(self) -> bool:
        """Whether background is never fluid around the brain."""
        fluid = self.table.class_of_name(FLUID)
        return not self.groups or self.groups[fluid] == fluid


def find_labelled_pairs(where: LabelledFolder) -> list[LabelledPair]:
    """The labelled scans of a folder and of the folders in it, sorted by name.

    Raises:
        ConfigError: there are none, one that was asked for is missing, or a scan has no labels.
    """
    folder, suffix = where.folder, where.scan_suffix
    found = find_scans(folder, suffix)
    scans = choose_scans(found, folder, suffix, only=where.only, skip=where.skip)
    suffixes = (suffix, where.label_suffix)
    return [pair_of(stem, scan, folder, suffixes) for stem, scan in scans.items()]


def load_labelled_scans(
    where: LabelledFolder, table: LabelTable = FREESURFER
) -> tuple[LabelledScan, ...]:
    """Every labelled scan of a folder.

    Args:
        where: see `LabelledFolder`.
        table: whose ids the labels are translated to.

    Raises:
        ConfigError, LabelError, ScanError: as `find_labelled_pairs` and `load_labelled_scan`.
    """
    scans = [load_labelled_scan(pair, where, table) for pair in find_labelled_pairs(where)]
    return _grouped(scans, where.undrawn, table)


def load_labelled_scan(
    pair: LabelledPair, where: LabelledFolder, table: LabelTable = FREESURFER
) -> LabelledScan:
    """Read a scan and its labels, conformed like a scan to segment.

    Raises:
        ScanError: the scan breaks a rule.
        LabelError: labels on another grid, with unknown ids, or without background, cortex or
            white matter; fluid beside the labels of a scan that still has its skull.
    """
    scan = read_scan(pair.scan)
    grid = working_grid(scan.grid)
    reference = read_reference(
        pair.labels, scan, where.protocol, table, ignore_unknown=where.ignore_unknown
    )
    require_cerebrum(reference, table, pair.labels)
    if reference.all():
        raise LabelError("labels must have background (id 0)", subject=pair.labels)
    # Nearest neighbour, so that float32 carries the ids exactly.
    ids = resample(reference.astype(np.float32), scan.grid, grid, order=0).astype(np.uint8)
    # Of a scan of zero mean half of the brain lies below zero.
    image = resample(scan.data - min(air_of(scan.data), 0.0), scan.grid, grid)
    if where.fluid_beside_labels:
        _label_fluid(ids, image, pair.scan)
    brain = (ids > 0) & (ids != FLUID_ID)
    start, stop = _box(brain)
    begin = np.maximum(start - KEPT_MARGIN_VOXELS, 0)
    kept = tuple(slice(a, b + KEPT_MARGIN_VOXELS) for a, b in zip(begin, stop, strict=True))
    white = float(np.percentile(image[brain], 95))
    return LabelledScan(
        name=pair.stem,
        scan_sha256=scan.sha256,
        labels_sha256=hashlib.sha256(pair.labels.read_bytes()).hexdigest(),
        image=np.ascontiguousarray(np.maximum(image[kept], 0) / max(white, 1e-6)),
        ids=np.ascontiguousarray(ids[kept]),
        brain_start=shape3(start - begin),
        brain_stop=shape3(stop - begin),
        structures=find_structures(ids[kept], [i for i in table.ids if i != FLUID_ID]),
        table=table,
    )


def whole_brain(scan: LabelledScan, multiple: int) -> Sample:
    """The scan as the network would see it in service: the brain's box with its margin.

    Args:
        scan: see `LabelledScan`.
        multiple: lengths are multiples of it.
    """
    start, stop = np.asarray(scan.brain_start), np.asarray(scan.brain_stop)
    shape = [padded_length(int(n + 2 * MARGIN_MM), multiple) for n in stop - start]
    first = np.rint((start + stop - 1) / 2 - (np.asarray(shape) - 1) / 2).astype(int)
    image = take_box(scan.image, shape3(first), shape3(shape))
    ids = take_box(scan.ids, shape3(first), shape3(shape))
    return make_sample(torch.from_numpy(image), torch.from_numpy(ids), scan)


def make_sample(image: torch.Tensor, ids: torch.Tensor, scan: LabelledScan) -> Sample:
    """Normalise intensities and translate ids.

    Args:
        image: (i, j, k) float32.
        ids: (i, j, k) ids of the scan's table, any integer type.
        scan: that both come from.
    """
    index = ids.long()
    classes = _translate(index, scan.table.class_of_id())
    sides = _translate(index, scan.table.side_of_id())
    return Sample(normalise(image), classes, sides, scan.groups)


def take_box(image: NDArray[Voxel], start: Shape3, shape: Shape3) -> NDArray[Voxel]:
    """The box of `shape` that begins at voxel `start`; it may reach outside, where all is 0."""
    out = np.zeros(shape, dtype=image.dtype)
    source = tuple(slice(max(a, 0), max(a + n, 0)) for a, n in zip(start, shape, strict=True))
    part = image[source]
    first = [max(-a, 0) for a in start]
    target = tuple(slice(a, a + n) for a, n in zip(first, part.shape, strict=True))
    out[target] = part
    return out


def _grouped(
    scans: Iterable[LabelledScan], undrawn: frozenset[str], table: LabelTable
) -> tuple[LabelledScan, ...]:
    scans = tuple(scans)
    present = set().union(*(np.unique(scan.ids).tolist() for scan in scans))
    groups = [0]
    for index, structure in enumerate(table.structures, start=1):
        drawn = {structure.left_id, structure.right_id} & present
        groups.append(index if drawn and structure.name not in undrawn else 0)
    return tuple(replace(scan, groups=tuple(groups)) for scan in scans)


def _label_fluid(ids: NDArray[np.uint8], image: NDArray[np.float32], path: Path) -> None:
    """Call fluid, in place, what a skull-stripped scan shows beside its labels."""
    beside = (ids == 0) & (image > 0)
    share = float(beside.sum() / (ids > 0).sum())
    if share > MOST_FLUID:
        rule = (
            f"with fluid_beside_labels, what a scan shows beside its labels must be at most "
            f"{MOST_FLUID:.0%} of what they cover, as where the skull was removed and is exactly 0"
        )
        raise LabelError(rule, value=f"{share:.0%}", subject=path)
    ids[beside] = FLUID_ID


def _translate(ids: torch.Tensor, values: Mapping[int, int]) -> torch.Tensor:
    """What `values` says of each id, 0 of those that it does not name; ids are uint8."""
    return lookup(tuple(values.get(n, 0) for n in range(256)), ids.device)[ids]


def _box(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    along = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    return np.array([a[0] for a in along]), np.array([a[-1] + 1 for a in along])
