"""An atlas in a head: every structure divided as the average head's is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from fibromorph.labels import CORTEX, FREESURFER
from fibromorph.postprocessing.atlases.atlas import Ids
from fibromorph.postprocessing.atlases.placing import PlacedAtlas
from fibromorph.postprocessing.normalisation import Points
from fibromorph.postprocessing.thickness import ThicknessRow, mean_and_area
from fibromorph.postprocessing.volumes import VolumeRow

SD_AT_ONE_ML, COARSE_SD_AT_ONE_ML, SD_POWER = 0.015, 0.045, -0.28
"""What regions of 1 ml move by, as a share, when only the acquisition changes, on voxels of up to
1.3 mm and on longer ones, and how that falls with their volume: the smaller a region, the more of
it is border. Fitted to what `benchmarks.atlas` measures of two heads and three atlases."""


THICKNESS_SD, COARSE_THICKNESS_SD, THICKNESS_SD_POWER = 0.014, 0.045, -0.2
"""The same of the thickness of regions of 10 cm2, and how it falls with their area; three heads."""


def relative_sd(ml: float, *, coarse: bool = False) -> float:
    """Standard deviation of the relative error of a region of so many ml.

    Args:
        ml: more than 0.
        coarse: the scan has voxels longer than 1.3 mm.
    """
    return float((COARSE_SD_AT_ONE_ML if coarse else SD_AT_ONE_ML) * ml**SD_POWER)


def relative_thickness_sd(area_cm2: float, *, coarse: bool = False) -> float:
    """As `relative_sd`, of the mean thickness of a region of the cortex with that area."""
    at_ten = COARSE_THICKNESS_SD if coarse else THICKNESS_SD
    return float(at_ten * (area_cm2 / 10) ** THICKNESS_SD_POWER)


@dataclass(frozen=True)
class ParcelError:
    """What is known of the error of a scan's regions.

    Attributes:
        coarse: see `relative_sd`.
        inflation: id of `FREESURFER` -> how much likelier an error is here than in the scans that
            the bundle was measured on, see `volumes.inflation`; 1 where it is missing.
    """

    coarse: bool = False
    inflation: Mapping[int, float] = field(default_factory=dict)

    def sd_ml(self, ml: float, structures: Sequence[int]) -> float | None:
        """Of a region of so many ml that is a part of these; None of one that is not there."""
        if ml <= 0:
            return None
        return ml * relative_sd(ml, coarse=self.coarse) * self._worst(structures)

    def sd_mm(self, mm: float, area_cm2: float, structures: Sequence[int]) -> float:
        """Of a region of the cortex, mm thick over an area."""
        relative = relative_thickness_sd(area_cm2, coarse=self.coarse)
        return mm * relative * self._worst(structures)

    def _worst(self, structures: Sequence[int]) -> float:
        return max((self.inflation.get(one, 1.0) for one in structures), default=1.0)


@dataclass(frozen=True, eq=False)
class Parcels:
    """The regions of an atlas in one head.

    Attributes:
        atlas: whose they are.
        labels: (i, j, k) ids of its regions on the head's lattice, 0 = none.
        rows: see `measure_parcels`.
        thickness: see `parcel_thickness`; empty = it was not measured, or no region is of the
            cortex.
    """

    atlas: PlacedAtlas
    labels: Ids
    rows: tuple[VolumeRow, ...]
    thickness: tuple[ThicknessRow, ...] = ()


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
    error: ParcelError,
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
        error: of the scan's regions.
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
    rows = []
    for region in atlas.regions:
        voxels, ml = int(counts[region.id]), float(soft[region.id])
        rows.append(
            VolumeRow(
                region.id,
                region.name,
                region.hemisphere,
                region.tissue,
                volume_ml=voxels * voxel_ml,
                soft_volume_ml=ml,
                sd_ml=error.sd_ml(ml, region.structures),
                confidence=float(sureness[region.id]) / voxels if voxels else None,
            )
        )
    return tuple(rows)


def parcel_thickness(
    parcels: Ids,
    thickness: NDArray[np.float32],
    spacing_mm: float,
    atlas: PlacedAtlas,
    error: ParcelError,
) -> tuple[ThicknessRow, ...]:
    """One row a region of the cortex, by id; nothing of regions that reach beyond it.

    Args:
        parcels: from `parcellate`.
        thickness: (i, j, k) in mm on the same voxels, 0 = no cortex.
        spacing_mm: of the voxels.
        atlas: whose regions they are.
        error: of the scan's regions.
    """
    cortex = set(FREESURFER.ids_of(CORTEX))
    measured = thickness > 0
    ids, of_mm = parcels[measured], thickness[measured]
    rows = []
    for region in atlas.regions:
        if not cortex.issuperset(region.structures):
            continue
        here = of_mm[ids == region.id]
        mean_mm, area_cm2, sd_mm = None, None, None
        if len(here):
            mean_mm, area_cm2 = mean_and_area(here, spacing_mm)
            sd_mm = error.sd_mm(mean_mm, area_cm2, region.structures)
        own = (region.id, region.name, region.hemisphere)
        rows.append(ThicknessRow(*own, mean_mm, sd_mm, area_cm2))
    return tuple(rows)
