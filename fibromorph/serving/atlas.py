"""The regions of atlases in a scan: structures as a bundle draws them, divided as an atlas says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fibromorph.files import write_whole
from fibromorph.grid import Grid
from fibromorph.postprocessing.atlases import (
    Parcels,
    PlacedAtlas,
    measure_parcels,
    parcellate,
)
from fibromorph.postprocessing.normalisation import Normalised
from fibromorph.postprocessing.volumes import write_volumes
from fibromorph.scans import Scan, reach_of, write_labels
from fibromorph.scans.geometry import index_map
from fibromorph.serving.ribbon import DrawnRibbon


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


def atlas_files(name: str) -> dict[str, str]:
    """What is written of an atlas -> the end of its name, after the scan's, as BIDS has it."""
    stem = f"_seg-{name}"
    return {
        f"atlas_{name}_labels": f"{stem}_dseg.nii.gz",
        f"atlas_{name}_names": f"{stem}_dseg.tsv",
        f"atlas_{name}_volumes": f"{stem}_volumes.tsv",
    }


def divide(
    drawn: DrawnRibbon, laid: Normalised, grid: Grid, atlases: Sequence[PlacedAtlas], threads: int
) -> DividedHead:
    """Divide a scan's structures.

    Args:
        drawn: ids of `FREESURFER`, and their posteriors, on the conformed grid.
        laid: how the head lies on the average one.
        grid: the conformed one.
        atlases: on the average head.
        threads: of the CPU.
    """
    labels, confidence = drawn.ribbon.labels, drawn.ribbon.confidence
    found = []
    for atlas in atlases:
        ids = parcellate(labels, grid.spacing_mm, laid.places, atlas, threads)
        rows = measure_parcels(ids, labels, confidence, drawn.soft_ml, grid.voxel_ml, atlas)
        found.append(Parcels(atlas, ids, rows))
    return DividedHead(drawn.by, laid.likeness, tuple(found))


def write_parcels(parcels: Parcels, conformed: Grid, scan: Scan, paths: Mapping[str, Path]) -> None:
    """Write labels on the scan's own voxels, names, and volumes.

    Args:
        parcels: the scan's regions.
        conformed: the grid of their labels.
        scan: as it was read.
        paths: what `atlas_files` names -> where it goes.
    """
    labels, names, volumes = (paths[what] for what in atlas_files(parcels.atlas.name))
    write_labels(labels, on_scan_grid(parcels.labels, conformed, scan.grid), scan.grid)
    write_whole(names, _lookup_table(parcels.atlas))
    write_volumes(volumes, parcels.rows)


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
