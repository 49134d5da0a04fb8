"""An atlas in a head: every structure divided as the average head's is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from fibromorph.postprocessing.atlases.atlas import Ids
from fibromorph.postprocessing.atlases.placing import PlacedAtlas
from fibromorph.postprocessing.normalisation import Points
from fibromorph.postprocessing.volumes import VolumeRow

SD_AT_ONE_ML, SD_POWER = 0.05, -0.33


def relative_sd(ml: float) -> float:
    return float(SD_AT_ONE_ML * ml**SD_POWER)


@dataclass(frozen=True, eq=False)
class Parcels:
    """The regions of an atlas in one head.

    Attributes:
        atlas: whose they are.
        labels: (i, j, k) ids of its regions on the head's lattice, 0 = none.
        rows: see `measure_parcels`.
    """

    atlas: PlacedAtlas
    labels: Ids
    rows: tuple[VolumeRow, ...]


def parcellate(
    labels: NDArray[np.uint8],
    spacing_mm: tuple[float, float, float],
    places: Points,
    atlas: PlacedAtlas,
    threads: int,
) -> Ids:
    """The region of every voxel of a head.

    Borders of structures are the head's own. Inside one, a voxel belongs to the region of that
    voxel of the average head's same structure that came to lie nearest.

    Args:
        labels: (i, j, k) ids of `FREESURFER` in the head.
        spacing_mm: of its voxels; the first one's centre is the origin of `places`.
        places: where the average head's voxels came to lie, see `Normalised`.
        atlas: on those.
        threads: of the CPU.

    Returns:
        (i, j, k) ids of `atlas`, 0 = none.
    """
    found = np.zeros(labels.shape, np.int32)
    for structure in atlas.divided:
        model = atlas.structures == structure
        here = labels == structure
        if not here.any():
            continue
        tree = KDTree(places[model])
        _, nearest = tree.query(np.argwhere(here) * np.asarray(spacing_mm), workers=threads)
        found[here] = atlas.labels[model][nearest]
    return found


def measure_parcels(
    parcels: Ids,
    labels: NDArray[np.uint8],
    confidence: NDArray[np.float32],
    soft_ml: Mapping[int, float],
    voxel_ml: float,
    atlas: PlacedAtlas,
) -> tuple[VolumeRow, ...]:
    """One row a region, by id.

    A structure's soft volume is divided among its regions as its voxels are, so that the regions
    of a structure that has no rest add up to its volume.

    Args:
        parcels: from `parcellate`.
        labels, confidence: (i, j, k) ids of `FREESURFER`, and the posterior of each.
        soft_ml: id -> posterior sum in ml.
        voxel_ml: volume of a voxel.
        atlas: whose regions they are.
    """
    most = max(region.id for region in atlas.regions) + 1
    counts = np.bincount(parcels.ravel(), minlength=most)
    sureness = np.bincount(parcels.ravel(), weights=confidence.ravel(), minlength=most)
    soft = np.zeros(most)
    for structure in atlas.divided:
        here = labels == structure
        if voxels := int(here.sum()):
            parts = np.bincount(parcels[here], minlength=most)
            soft += parts * (soft_ml.get(structure, 0.0) / voxels)
    return tuple(
        VolumeRow(
            region.id,
            region.name,
            region.hemisphere,
            region.tissue,
            volume_ml=float(counts[region.id]) * voxel_ml,
            soft_volume_ml=float(soft[region.id]),
            sd_ml=None,
            confidence=float(sureness[region.id] / counts[region.id])
            if counts[region.id]
            else None,
        )
        for region in atlas.regions
    )
