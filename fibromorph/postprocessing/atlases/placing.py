"""An atlas on the average head: which structures its regions are parts of, and which part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import as_file, files

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fibromorph.errors import LabelError
from fibromorph.grid import Grid
from fibromorph.labels import FREESURFER
from fibromorph.labels.table import Tissue
from fibromorph.pose import moved
from fibromorph.postprocessing.atlases.atlas import HIGHEST_ID, Atlas, AtlasRegion, Ids
from fibromorph.scans.reference import read_ids

PURE_SHARE = 0.75
"""Of a region's voxels in white matter, or in fluid, from which on it is a region of that: atlases
let regions of grey matter reach into what lies beside it."""
HOME_SHARE, OWN_SHARE = 0.3, 0.5
"""A structure, both sides together, is one that a region is a part of if so much of the region's
voxels of its tissue lie in it, or so much of the structure lies in the region. What lies in another
is where atlas and average head do not quite agree."""
SIDE_SHARE = 0.2
"""Of a region's voxels in a structure, from which on it is on that side, too."""
NEAR_MM = 3.0
COVERED_SHARE = 0.75
"""A structure of which so much lies within `NEAR_MM` of a region is divided among its regions
without a rest; of any other, what the atlas leaves out belongs to none."""

TISSUES: tuple[Tissue, ...] = ("grey", "white", "csf")
"""The first is that of regions which are not of one tissue alone."""

Structures = NDArray[np.uint8]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class PlacedRegion:
    """What a region of an atlas is.

    Attributes:
        id, name: see `AtlasRegion`.
        hemisphere: 'left', 'right', or 'midline' where it is on both sides or on neither.
        tissue: 'grey', 'white' or 'csf'.
        structures: ids of `FREESURFER` that it is a part of.
    """

    id: int
    name: str
    hemisphere: str
    tissue: Tissue
    structures: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class PlacedAtlas:
    """An atlas on the voxels of the average head.

    Attributes:
        name, sha256: see `Atlas`.
        regions: those that are a part of a structure, by id.
        lost: names of the others.
        labels: (i, j, k) ids of regions, 0 = none; only inside structures that they are parts of.
        structures: (i, j, k) ids of `FREESURFER` there.
        grid: of both.
    """

    name: str
    sha256: str
    regions: tuple[PlacedRegion, ...]
    lost: tuple[str, ...]
    labels: Ids
    structures: Structures
    grid: Grid

    @property
    def divided(self) -> tuple[int, ...]:
        """Structures that have regions, by id."""
        return tuple(sorted({home for region in self.regions for home in region.structures}))


@cache
def average_structures() -> tuple[Structures, Grid]:
    """Ids of `FREESURFER` in the average head, (i, j, k) on the grid of `average_head`.

    What most of 20 heads have there, see `training.average_head`.
    """
    package = files("fibromorph.postprocessing")
    with as_file(package / "average_structures.nii.gz") as path:
        ids, grid = read_ids(path)
    return ids.astype(np.uint8), grid


def place(atlas: Atlas) -> PlacedAtlas:
    """Lay an atlas in MNI coordinates over the average head.

    Raises:
        LabelError: none of its regions has a voxel in the brain.
    """
    structures, grid = average_structures()
    seen = _sampled(atlas, grid)
    table = _counts(seen, structures)
    found = [_placed(region, table[region.id], table.sum(axis=0)) for region in atlas.regions]
    owners = _owners(found)
    found = [_without(region, owners) for region in found]
    regions = tuple(region for region in found if region.structures)
    if not regions:
        rule = "an atlas must lie in MNI coordinates: none of its regions is in the brain"
        raise LabelError(rule, value=len(found), subject=atlas.name)
    labels = np.zeros_like(seen)
    boxes = ndimage.find_objects(structures)
    for structure in {home for region in regions for home in region.structures}:
        ids = [region.id for region in regions if structure in region.structures]
        box = boxes[structure - 1]
        here = structures[box] == structure
        seeds = np.where(here & np.isin(seen[box], ids), seen[box], 0)
        labels[box][here] = _spread(seeds, here, grid, whole=structure in owners)
    lost = tuple(region.name for region in found if not region.structures)
    return PlacedAtlas(atlas.name, atlas.sha256, regions, lost, labels, structures, grid)


def _sampled(atlas: Atlas, grid: Grid) -> Ids:
    """Ids at the voxels of `grid`, of the nearest voxel of the atlas, 0 outside of it."""
    places = moved(grid.affine_ijk_to_ras, np.moveaxis(np.indices(grid.shape, dtype=float), 0, -1))
    voxels = np.moveaxis(moved(atlas.grid.affine_ras_to_ijk, places), -1, 0)
    ids: Ids = ndimage.map_coordinates(atlas.labels, voxels, order=0)
    return ids


def _counts(seen: Ids, structures: Structures) -> Counts:
    """(regions, structures) voxels, by the ids of both."""
    shape = HIGHEST_ID + 1, max(FREESURFER.ids) + 1
    pairs = seen.ravel() * shape[1] + structures.ravel()
    return np.bincount(pairs, minlength=shape[0] * shape[1]).reshape(shape)


def _placed(region: AtlasRegion, within: Counts, whole: Counts) -> PlacedRegion:
    """What a region is; one that is called as a structure is it, or nothing where that is not.

    Args:
        region: of the atlas.
        within: id of `FREESURFER` -> voxels of the region.
        whole: the same of the whole head.
    """
    own = next((label for label in FREESURFER if label.name == region.name), None)
    if own is not None:
        there = (own.id,) if within[own.id] else ()
        return PlacedRegion(region.id, region.name, own.hemisphere, own.tissue, there)
    of_tissue = {
        tissue: sum(int(within[label.id]) for label in FREESURFER if label.tissue == tissue)
        for tissue in TISSUES
    }
    pure = (t for t in TISSUES if of_tissue[t] >= PURE_SHARE * sum(of_tissue.values()))
    tissue = next(pure, TISSUES[0])
    homes = []
    for structure in FREESURFER.structures:
        ids = {structure.left_id, structure.right_id}
        here, all_of_it = (sum(int(counts[one]) for one in ids) for counts in (within, whole))
        near = here and (here >= HOME_SHARE * of_tissue[tissue] or here >= OWN_SHARE * all_of_it)
        if near and structure.tissue == tissue:
            homes += [label for label in structure.labels if within[label.id] >= SIDE_SHARE * here]
    sides = {label.hemisphere for label in homes}
    return PlacedRegion(
        region.id,
        region.name,
        sides.pop() if len(sides) == 1 else "midline",
        tissue,
        tuple(sorted(label.id for label in homes)),
    )


def _owners(regions: Sequence[PlacedRegion]) -> dict[int, PlacedRegion]:
    """Structure -> the region that is called as it is."""
    ids = {label.name: label.id for label in FREESURFER}
    return {ids[r.name]: r for r in regions if r.structures == (ids.get(r.name),)}


def _without(region: PlacedRegion, owners: Mapping[int, PlacedRegion]) -> PlacedRegion:
    """The region less grey matter that another one is: what is drawn of it there is a rim, or what
    an atlas calls a spot in the white matter beside it."""
    taken = {s for s, owner in owners.items() if owner.tissue == "grey" and owner is not region}
    return replace(region, structures=tuple(s for s in region.structures if s not in taken))


def _spread(seeds: Ids, structure: NDArray[np.bool_], grid: Grid, *, whole: bool) -> Ids:
    """Ids of a structure's voxels: their own, or those of the nearest seed of one that is covered.

    Args:
        seeds: (i, j, k) ids inside the structure, 0 = none.
        structure: where it is.
        grid: of both.
        whole: it is covered, however little of it the atlas has there.
    """
    distance, nearest = ndimage.distance_transform_edt(
        seeds == 0, sampling=grid.spacing_mm, return_indices=True
    )
    if not whole and np.mean(distance[structure] <= NEAR_MM) < COVERED_SHARE:
        return seeds[structure]
    filled: Ids = seeds[tuple(nearest)][structure]
    return filled
