"""One visit to the scanner: position, grid, contrast, shading and noise; drawn, then applied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from fibromorph.datasets.cohort.body import Body, Mould
from fibromorph.datasets.cohort.flow import Lattice, at_nodes, on_voxels, read_along
from fibromorph.grid import Affine, Grid, Shape3, triple

Three = tuple[float, float, float]
Voxel = TypeVar("Voxel", bound=np.generic)

NODE_VOXELS = 2
SLAB_VOXELS = 32
BIAS_POINTS = 4
WHITE_LEVEL = 1000.0


@dataclass(frozen=True)
class Visit:
    """One scan's acquisition.

    Attributes:
        spacing_mm: voxel sides.
        rotation_deg: of the head about x, y, z.
        shift_mm: of the head along x, y, z.
        gamma: exponent of the intensities (white matter = 1): contrast.
        log_bias: log of the shading at BIAS_POINTS^3 points.
        noise: standard deviation in each channel, relative to white matter.
        seed: of the noise.
    """

    spacing_mm: Three
    rotation_deg: Three
    shift_mm: Three
    gamma: float
    log_bias: tuple[float, ...]
    noise: float
    seed: int


def draw_visit(rng: np.random.Generator, voxel_mm: float, noise: float) -> Visit:
    """Draw voxels within 5 %, a position within 5 degrees and 5 mm, contrast and shading."""
    return Visit(
        triple(voxel_mm * rng.uniform(0.95, 1.05, 3)),
        triple(rng.uniform(-5, 5, 3)),
        triple(rng.uniform(-5, 5, 3)),
        float(np.exp(rng.normal(0, 0.04))),
        tuple(rng.normal(0, 0.06, BIAS_POINTS**3).tolist()),
        noise,
        int(rng.integers(2**31)),
    )


def scan_grid(mould: Mould, body: Body, visit: Visit) -> Grid:
    """The voxels of a visit: RAS+, around the whole head, the scanner's origin in the middle."""
    extent_mm = np.asarray(mould.anatomy.labels.shape) * body.scale
    i, j, k = (int(n) for n in np.ceil(extent_mm / visit.spacing_mm))
    affine = np.diag([*visit.spacing_mm, 1.0])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array([i, j, k]) - 1) / 2)
    return Grid((i, j, k), affine)


def take_scan(mould: Mould, body: Body, visit: Visit, grid: Grid) -> NDArray[np.float32]:
    """The picture of a body: anatomy deformed, shaded, with Rician noise; white matter ~ 1000."""
    image = _deformed(mould, body, visit, grid, mould.anatomy.intensities, order=1)
    image = image.clip(0) ** np.float32(visit.gamma) * _shading(visit, grid.shape)
    rng = np.random.default_rng(visit.seed)
    noise = np.float32(visit.noise)
    real = image + noise * rng.standard_normal(grid.shape, dtype=np.float32)
    imaginary = noise * rng.standard_normal(grid.shape, dtype=np.float32)
    picture: NDArray[np.float32] = np.float32(WHITE_LEVEL) * np.sqrt(real**2 + imaginary**2)
    return picture


def true_labels(mould: Mould, body: Body, visit: Visit, grid: Grid) -> NDArray[np.uint8]:
    """The labels that belong to `take_scan`, by nearest neighbour."""
    return _deformed(mould, body, visit, grid, mould.anatomy.labels, order=0)


def _deformed(
    mould: Mould, body: Body, visit: Visit, grid: Grid, image: NDArray[Voxel], *, order: int
) -> NDArray[Voxel]:
    """An image of the anatomy on the scan's voxels, in slabs that keep memory small."""
    lattice = Lattice(grid.shape, NODE_VOXELS)
    places = _node_places(mould, body, _to_anatomy(mould, body, visit, grid), lattice)
    out = np.empty(grid.shape, image.dtype)
    for start in range(0, grid.shape[0], SLAB_VOXELS):
        shape = (min(SLAB_VOXELS, grid.shape[0] - start), *grid.shape[1:])
        where = on_voxels(places, lattice, (start, 0, 0), 1, shape)
        slab = out[start : start + shape[0]]
        ndimage.map_coordinates(image, where, output=slab, order=order, mode="constant")
    return out


def _node_places(
    mould: Mould, body: Body, to_anatomy: Affine, lattice: Lattice
) -> NDArray[np.float32]:
    """(3, a, b, c) voxel of the anatomy that each node of the scan shows."""
    nodes = lattice.step * np.indices(lattice.shape, dtype=np.float64)
    straight = np.tensordot(to_anatomy[:3, :3], nodes, axes=1) + to_anatomy[:3, 3, None, None, None]
    at = (straight / mould.lattice.step).astype(np.float32)
    moved = at_nodes(body.pull_back, at)
    return np.asarray(straight + moved, dtype=np.float32)


def _to_anatomy(mould: Mould, body: Body, visit: Visit, grid: Grid) -> Affine:
    """(4, 4) from scan voxels to anatomy voxels (of 1 mm), before the pull-back."""
    turn = Rotation.from_euler("xyz", visit.rotation_deg, degrees=True).as_matrix()
    out = np.eye(4)
    out[:3, :3] = turn.T @ grid.affine_ijk_to_ras[:3, :3] / body.scale
    middle = (np.asarray(mould.anatomy.labels.shape) - 1) / 2
    origin = grid.affine_ijk_to_ras[:3, 3] - visit.shift_mm
    out[:3, 3] = middle + turn.T @ origin / body.scale
    return out


def _shading(visit: Visit, shape: Shape3) -> NDArray[np.float32]:
    field = np.reshape(np.asarray(visit.log_bias, np.float32), (BIAS_POINTS,) * 3)
    field = ndimage.zoom(field, 4, order=3, mode="nearest")
    for axis, n in enumerate(shape):
        field = read_along(field, np.linspace(0, field.shape[axis] - 1, n), axis)
    shading: NDArray[np.float32] = np.exp(field, out=field)
    return shading
