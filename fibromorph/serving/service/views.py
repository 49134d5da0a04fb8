"""What the page shows of a result: a picture, a background image, and where each region lies."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fibromorph.files import write_whole
from fibromorph.grid import Grid
from fibromorph.labels import LabelTable
from fibromorph.postprocessing.components import grow
from fibromorph.serving.pipeline import Segmented

PREVIEW, IMAGE, PLACES = "preview.png", "brain.nii.gz", "places.json"
MARGIN_MM = 4.0
GZIP_LEVEL = 2
LOOKED_AT = 100_000
"""Voxels of a box beyond which not every voxel of a region is asked for its middle."""


def write_views(result: Segmented, folder: Path) -> None:
    """Write `preview.png`, `brain.nii.gz` (no face in it) and `places.json`."""
    grid, labels = result.conformed.grid, result.labels
    (folder / PREVIEW).write_bytes(result.pictures.mosaic_png)
    image = brain_image(result.conformed.intensities, labels, grid)
    content = gzip.compress(image.to_bytes(), GZIP_LEVEL, mtime=0)
    (folder / IMAGE).write_bytes(content)
    write_whole(folder / PLACES, json.dumps(places(labels, grid, result.table)))


def brain_image(
    intensities: NDArray[np.float32], labels: NDArray[np.uint8], grid: Grid
) -> nib.Nifti1Image:
    """Intensities as uint8 within 4 mm of the brain, 0 elsewhere: nobody can be recognised.

    Where no brain was found nothing is shown.
    """
    brain = grow(labels > 0, max(1, round(MARGIN_MM / min(grid.spacing_mm))))
    shown = np.zeros(intensities.shape, np.uint8)
    for box in ndimage.find_objects(brain.view(np.uint8)):
        seen, inside = intensities[box], brain[box]
        low, high = np.percentile(seen[inside][::7], (1, 99.8))
        scaled = (seen - np.float32(low)) * np.float32(254 / max(high - low, 1e-6))
        shown[box] = (np.clip(scaled, 0, 254) + 1) * inside
    image = nib.Nifti1Image(shown, grid.affine_ijk_to_ras)
    image.header.set_xyzt_units("mm")
    return image


def places(
    labels: NDArray[np.uint8], grid: Grid, table: LabelTable
) -> dict[str, dict[str, list[float]]]:
    """Label id -> `colour`, and `centre_mm`: RAS of its voxel nearest to its centre of mass."""
    boxes = ndimage.find_objects(labels, max_label=max(table.ids))
    found = {}
    for label in table:
        box = boxes[label.id - 1]
        place: dict[str, list[float]] = {"colour": list(label.colour)}
        if box is not None:
            place["centre_mm"] = _centre_mm(labels[box] == label.id, box, grid)
        found[str(label.id)] = place
    return found


def _centre_mm(region: NDArray[np.bool_], box: tuple[slice, ...], grid: Grid) -> list[float]:
    every = max(1, region.size // LOOKED_AT)
    inside = np.stack(np.unravel_index(np.flatnonzero(region)[::every], region.shape), axis=1)
    middle = np.abs(inside - inside.mean(axis=0)).sum(axis=1).argmin()
    voxel = inside[middle] + [side.start for side in box]
    return [round(float(x), 1) for x in (grid.affine_ijk_to_ras @ [*voxel, 1.0])[:3]]
