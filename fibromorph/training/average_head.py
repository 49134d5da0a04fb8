"""How the average head came about that heads are laid over (`normalisation`), and its structures
(`atlases.placing`).

`python -m fibromorph.training.average_head LABEL_MAPS MNI_dseg.nii.gz OUT_DIR`, where
`MNI_dseg.nii.gz` is nilearn's MNI152 template at 1 mm, segmented by t1-open. It takes
20 minutes on two cores.
"""

from __future__ import annotations

import gzip
import os
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from tqdm import tqdm

from fibromorph.datasets.labelmaps import find_label_maps, load_label_map
from fibromorph.datasets.tissues import target_classes
from fibromorph.files import write_whole
from fibromorph.grid import Grid, shape3
from fibromorph.labels import FREESURFER
from fibromorph.pose import moved
from fibromorph.postprocessing.normalisation import places_in, sampled
from fibromorph.postprocessing.tissue import Shares, Tissue, tissue_shares
from fibromorph.scans import resample

Structures = NDArray[np.uint8]
Labelled = tuple[Structures, Grid]
"""(i, j, k) ids, and where they lie."""

ROUNDS_MM = (3.0, 1.5)
"""Voxels of the average in every round. The first lays heads over the template, whose borders are
those of one smooth brain; the second over what they then have in common."""

MARGIN_MM = 9.0
"""Around the brain of the template."""


def average_head(heads: list[Tissue], template: Tissue, threads: int) -> Tissue:
    """Grey and white matter that heads have in common where they lie over the template.

    Alike left and right. No head is left as it is, so no average of displacements is taken out:
    what comes out lies where the template does.
    """
    average = template
    for spacing_mm in ROUNDS_MM:
        grid = box_around_brain(template, spacing_mm)
        average = on_grid(average, grid)
        grey, white = np.zeros(grid.shape, np.float32), np.zeros(grid.shape, np.float32)
        for head in tqdm(heads, unit="head", desc=f"{spacing_mm:g} mm"):
            places = places_in(head, average, threads)
            grey += sampled(head.grey, head.grid, places, grid)
            white += sampled(head.white, head.grid, places, grid)
        average = Tissue(_alike(grey, len(heads)), _alike(white, len(heads)), grid)
    return average


def average_structures(heads: list[Labelled], average: Tissue, threads: int) -> Structures:
    """Ids of `FREESURFER` that most heads have where they lie over the average one.

    Alike left and right. A voxel belongs to the brain where half of the heads have it there.

    Args:
        heads: ids of the right side on both, and where they lie.
        average: see `average_head`.
        threads: of the CPU.

    Returns:
        (i, j, k) uint8 on the grid of `average`.
    """
    grid = average.grid
    known = [structure for structure in FREESURFER.structures if structure.name != "CSF"]
    votes = np.zeros((len(known), *grid.shape), np.int16)
    for labels, own in tqdm(heads, unit="head", desc="structures"):
        places = places_in(_tissue_of(labels, own), average, threads)
        voxels = np.moveaxis(moved(own.affine_ras_to_ijk, places.astype(float)), -1, 0)
        here = ndimage.map_coordinates(labels, voxels, order=0)
        for number, structure in enumerate(known):
            votes[number] += here == structure.right_id
    votes += votes[:, ::-1]
    x_mm = grid.affine_ijk_to_ras[0, 3] + np.arange(grid.shape[0]) * grid.spacing_mm[0]
    sides = np.array([[s.left_id for s in known], [s.right_id for s in known]], np.uint8)
    ids = sides[(x_mm > 0).astype(int)[:, None, None], votes.argmax(axis=0)]
    found: Structures = np.where(votes.sum(axis=0) >= len(heads), ids, 0).astype(np.uint8)
    return found


def _alike(total: Shares, heads: int) -> Shares:
    """The mean over heads, and over left and right."""
    mean: Shares = (total + total[::-1]) / np.float32(2 * heads)
    return mean


def box_around_brain(tissue: Tissue, spacing_mm: float) -> Grid:
    """A lattice around a brain, along RAS, alike left and right of x = 0."""
    voxels = np.argwhere(tissue.picture > 0.5)
    corners = np.stack([voxels.min(axis=0), voxels.max(axis=0)])
    affine = tissue.grid.affine_ijk_to_ras
    places = corners @ affine[:3, :3].T + affine[:3, 3]
    low, high = places.min(axis=0) - MARGIN_MM, places.max(axis=0) + MARGIN_MM
    high[0] = max(high[0], -low[0])
    low = np.floor(low / spacing_mm) * spacing_mm
    # An odd number of voxels, the middle one on x = 0.
    low[0] = -np.ceil(high[0] / spacing_mm) * spacing_mm
    high[0] = -low[0]
    shape = shape3(np.ceil((high - low) / spacing_mm) + 1)
    grid_affine = np.diag([spacing_mm] * 3 + [1.0])
    grid_affine[:3, 3] = low
    return Grid(shape, grid_affine)


def on_grid(tissue: Tissue, grid: Grid) -> Tissue:
    """Tissue on another lattice."""
    grey, white = (resample(share, tissue.grid, grid) for share in (tissue.grey, tissue.white))
    return Tissue(grey, white, grid)


def head_of(path: Path) -> Labelled:
    """Structures of a label map, all with the ids of the right side, in its own millimetres.

    Raises:
        LabelError: see `load_label_map`.
    """
    index = load_label_map(path).index
    ids = np.array([0, *(s.right_id for s in FREESURFER.structures)], dtype=np.uint8)
    labels = ids[np.array(target_classes())[index]]
    return labels, Grid(shape3(labels.shape), np.eye(4))


def _tissue_of(labels: Structures, grid: Grid) -> Tissue:
    return tissue_shares(labels, np.ones(labels.shape, np.float32), FREESURFER, grid)


def segmented(path: Path) -> Tissue:
    """Tissue of a label image, RAS+.

    Raises:
        ScanError: it cannot be read.
    """
    image = nib.as_closest_canonical(nib.load(path))
    labels = np.asarray(image.dataobj).astype(np.uint8)
    grid = Grid(shape3(labels.shape), np.asarray(image.affine, dtype=float))
    return _tissue_of(labels, grid)


def write_tissue(path: Path, tissue: Tissue) -> None:
    """As `normalisation.read_tissue` reads it."""
    shares = np.stack([tissue.grey, tissue.white], axis=-1).clip(0, 1)
    _write(path, np.rint(shares * 255).astype(np.uint8), tissue.grid)


def _write(path: Path, voxels: NDArray[np.uint8], grid: Grid) -> None:
    image = nib.Nifti1Image(voxels, grid.affine_ijk_to_ras)
    image.header.set_xyzt_units("mm")
    write_whole(path, gzip.compress(image.to_bytes(), 9, mtime=0))


def main(folder: Path, template: Path, out: Path) -> None:
    heads = [head_of(path) for path in find_label_maps(folder)]
    threads = len(os.sched_getaffinity(0))
    average = average_head([_tissue_of(*head) for head in heads], segmented(template), threads)
    write_tissue(out / "average_head.nii.gz", average)
    structures = average_structures(heads, average, threads)
    _write(out / "average_structures.nii.gz", structures, average.grid)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
