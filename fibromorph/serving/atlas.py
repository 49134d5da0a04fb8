"""The regions of atlases in a scan: structures as a bundle draws them, divided as an atlas says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fibromorph.file_names import atlas_endings
from fibromorph.files import write_whole
from fibromorph.grid import Grid
from fibromorph.manifest import COARSE_MM, Manifest
from fibromorph.postprocessing.atlases import (
    ParcelError,
    Parcels,
    PlacedAtlas,
    measure_parcels,
    parcel_thickness,
    parcellate,
)
from fibromorph.postprocessing.normalisation import Normalised
from fibromorph.postprocessing.thickness import ThicknessRow, write_thickness
from fibromorph.postprocessing.volumes import confidence_by_id, inflation, write_volumes
from fibromorph.scans import Scan, reach_of, write_labels
from fibromorph.scans.geometry import index_map
from fibromorph.serving.ribbon import DrawnRibbon
from fibromorph.serving.thickness import Cortex


@dataclass(frozen=True, eq=False)
class DividedHead:
    """A scan's regions by one or more atlases.

    Attributes:
        drawn_by: name and version of the bundle that drew the structures.
        likeness: see `Normalised.likeness`.
        parcels: one an atlas.
    """

    drawn_by: str
    likeness: float
    parcels: tuple[Parcels, ...]


def divide(
    drawn: DrawnRibbon,
    manifest: Manifest,
    laid: Normalised,
    grids: tuple[Grid, Grid],
    wanted: tuple[Sequence[PlacedAtlas], Cortex | None],
    threads: int,
) -> DividedHead:
    """Divide a scan's structures.

    Args:
        drawn: ids of `FREESURFER`, and their posteriors, on the conformed grid.
        manifest: of the bundle that drew them.
        laid: how the head lies on the average one.
        grids: the conformed one, and the scan's own.
        wanted: atlases on the average head, and the cortex, if its thickness was measured.
        threads: of the CPU.
    """
    labels, confidence, (grid, scan_grid) = drawn.ribbon.labels, drawn.ribbon.confidence, grids
    error = _error_of(manifest, confidence_by_id(labels, confidence, manifest.table), scan_grid)
    atlases, cortex = wanted
    found = []
    for atlas in atlases:
        ids = parcellate(labels, grid.spacing_mm, laid.places, atlas, threads)
        rows = measure_parcels(ids, labels, confidence, drawn.soft_ml, grid.voxel_ml, atlas, error)
        thick: tuple[ThicknessRow, ...] = ()
        if cortex is not None:
            own = parcel_thickness(ids, cortex.thickness, grid.spacing_mm[0], atlas, error)
            thick = (*own, cortex.rows[-1]) if own else ()
        found.append(Parcels(atlas, ids, rows, thick))
    return DividedHead(drawn.by, laid.likeness, tuple(found))


def _error_of(manifest: Manifest, confidence: Mapping[int, float], scan: Grid) -> ParcelError:
    factors = {
        entry.id: inflation(confidence.get(entry.id), entry.reference_confidence)
        for entry in manifest.labels
    }
    return ParcelError(max(scan.spacing_mm) > COARSE_MM, factors)


def write_parcels(parcels: Parcels, conformed: Grid, scan: Scan, paths: Mapping[str, Path]) -> None:
    """Write labels on the scan's own voxels, names, and volumes.

    Args:
        parcels: the scan's regions.
        conformed: the grid of their labels.
        scan: as it was read.
        paths: what `atlas_endings` names -> where it goes.
    """
    labels, names, volumes, *thickness = (
        paths[what] for what in atlas_endings(parcels.atlas.name, thickness=True) if what in paths
    )
    write_labels(labels, on_scan_grid(parcels.labels, conformed, scan.grid), scan.grid)
    write_whole(names, _lookup_table(parcels.atlas))
    write_volumes(volumes, parcels.rows)
    for path in thickness:
        write_thickness(path, parcels.thickness)


def on_scan_grid(ids: NDArray[np.int32], conformed: Grid, scan: Grid) -> NDArray[np.int32]:
    """Ids of the nearest voxel: they are thousands, and their borders are no finer than that."""
    out = np.zeros(scan.shape, np.int32)
    box = reach_of(conformed, scan)
    matrix = index_map(conformed, scan)
    offset = matrix[:3, 3] + matrix[:3, :3] @ [part.start for part in box]
    shape = tuple(part.stop - part.start for part in box)
    out[box] = ndimage.affine_transform(ids, matrix[:3, :3], offset, shape, order=0)
    return out


def _lookup_table(atlas: PlacedAtlas) -> str:
    """As BIDS wants it beside a `dseg`."""
    lines = (f"{region.id}\t{region.name}" for region in atlas.regions)
    return "\n".join(("index\tname", *lines)) + "\n"
