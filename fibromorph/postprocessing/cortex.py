"""Thickness of the cerebral cortex at each of its voxels, from labels and their posteriors.

No surface mesh is made. The two surfaces of the cortex are clouds of points, where the smoothed
share of white matter (inside) and of brain (outside) crosses one half between two voxels. The
thickness at a voxel is its distance to the one plus its distance to the other. Where both banks of
a sulcus touch and no fluid parts them, the outer surface lies where their distances to the white
matter meet: in the place that projection-based thickness finds by its maximum (Dahnke et al. 2013,
NeuroImage 65:336-348).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from fibromorph.labels import CORTEX, FREESURFER

Mask = NDArray[np.bool_]
Numbers = NDArray[np.float32]
Points = NDArray[np.float32]

INSIDE = (
    "Cerebral-White-Matter",
    "Lateral-Ventricle",
    "Inf-Lat-Vent",
    "3rd-Ventricle",
    "Thalamus",
    "Caudate",
    "Putamen",
    "Pallidum",
    "Accumbens-area",
    "VentralDC",
)
"""What lies within the inner surface. Where the cortex ends at the putamen, its white matter is
thinner than a voxel."""

BESIDE = ("Hippocampus", "Amygdala")
"""Grey matter that the cortex runs into: neither surface passes there."""

SMOOTHING = 0.4
"""Standard deviation in voxels: what makes planes of steps, and moves the banks of a narrow sulcus
no further than need be."""

SURE = 0.01
"""By which the smoothed share of a voxel stays on the side of one half that its label is on."""

PLANE_REACH = 1.5
"""Voxels from a point up to which its surface is taken to be a plane."""

PLANES = 8
"""Points of a surface whose planes tell together how deep a voxel lies."""

OPPOSED = -0.3
"""Cosine between the directions of two banks, at most; of one bank it is about 1."""

BANKS_APART = 2.0
"""Voxels between their nearest points of white matter, at least."""

ROOM = 3
"""Voxels around the cortex that smoothing sees."""


@dataclass(frozen=True, eq=False)
class _Surface:
    """A cloud of points.

    Attributes:
        points: (n, 3) in voxels.
        normals: (n, 3) unit vectors, away from what the surface encloses.
    """

    points: Points
    normals: Points

    def distance(self, places: Points, threads: int) -> tuple[Numbers, NDArray[np.intp]]:
        """Of (m, 3) places in voxels, and the nearest point of each."""
        found, nearest = KDTree(self.points, balanced_tree=False, compact_nodes=False).query(
            places, workers=threads
        )
        across = np.abs(np.sum((places - self.points[nearest]) * self.normals[nearest], axis=1))
        near = np.minimum(across, found)
        return np.where(found > PLANE_REACH, found, near).astype(np.float32), nearest


@dataclass(frozen=True, eq=False)
class _Surfaces:
    """Both surfaces of the cortex, in voxels of a box around it.

    Attributes:
        box: of the image.
        cortex: (i, j, k) in the box, m voxels.
        brain: what the outer surface encloses there.
        outside: the outer surface.
        facing: how many of its points, the first ones, have fluid on their other side.
        to_white: (m,) distance of each voxel of the cortex to the inner one, as `argwhere` has
            them.
    """

    box: tuple[slice, ...]
    cortex: Mask
    brain: Mask
    outside: _Surface
    facing: int
    to_white: Numbers


def thickness_map(
    labels: NDArray[np.uint8],
    confidence: NDArray[np.float32],
    spacing_mm: float,
    threads: int = 1,
) -> Numbers:
    """How thick the cortex is at each of its voxels: the sum of its `depths`, in mm.

    Args and returns as `depths`; one image, 0 outside the cortex.
    """
    to_white, to_outside = depths(labels, confidence, threads)
    return (to_white + to_outside) * np.float32(spacing_mm)


def depths(
    labels: NDArray[np.uint8], confidence: NDArray[np.float32], threads: int = 1
) -> tuple[Numbers, Numbers]:
    """How far each voxel of the cortex lies from its inner and from its outer surface.

    Args:
        labels: (i, j, k) ids of `FREESURFER`, cubic voxels of about 1 mm.
        confidence: (i, j, k) posterior of each voxel's label, 0 to 1: it tells how far the border
            lies from the middle between two voxels.
        threads: that may be used.

    Returns:
        Two images (i, j, k) float32 in voxels, 0 outside the cortex; 0 everywhere if one of its
        surfaces is not in the image.
    """
    both = np.zeros(labels.shape, np.float32), np.zeros(labels.shape, np.float32)
    found = _surfaces(labels, confidence, threads)
    if found is None:
        return both
    to_outside, _ = found.outside.distance(_places(found.cortex), threads)
    for image, distance in zip(both, (found.to_white, to_outside), strict=True):
        image[found.box][found.cortex] = distance
    return both


def outer_depth(
    labels: NDArray[np.uint8], confidence: NDArray[np.float32], threads: int = 1
) -> tuple[Numbers, Mask]:
    """How deep the centre of each voxel of the cortex, or right beside it, lies within its outer
    surface.

    Args:
        labels, confidence, threads: as those of `depths`.

    Returns:
        (i, j, k) float32 in voxels, negative outside the brain; NaN elsewhere, and everywhere if
        one of the surfaces is not in the image. And where that surface parts two banks of cortex.
    """
    depth = np.full(labels.shape, np.nan, np.float32)
    between = np.zeros(labels.shape, bool)
    found = _surfaces(labels, confidence, threads)
    if found is None:
        return depth, between
    near = found.cortex | (ndimage.binary_dilation(found.cortex) & ~found.brain)
    depth[found.box][near], between[found.box][near] = _mean_depth(_places(near), found, threads)
    return depth, between


def _mean_depth(
    places: Points, found: _Surfaces, threads: int
) -> tuple[Numbers, NDArray[np.bool_]]:
    """By the planes through the nearest points: the nearest one alone is always a bit too near."""
    outside = found.outside
    far, nearest = KDTree(outside.points).query(places, k=PLANES, workers=threads)
    steps = places[:, None] - outside.points[nearest]
    depth = -np.sum(steps * outside.normals[nearest], axis=2)
    # Between two banks there is brain on either side.
    between = nearest >= found.facing
    depth = np.where(between, np.abs(depth), depth)
    close = far <= PLANE_REACH
    mean = np.sum(depth * close, axis=1) / np.maximum(close.sum(axis=1), 1)
    inside = found.brain[tuple(places.astype(int).T)]
    alone = np.where(inside, far[:, 0], -far[:, 0])
    return np.where(close.any(axis=1), mean, alone).astype(np.float32), between[:, 0]


def _surfaces(
    labels: NDArray[np.uint8], confidence: NDArray[np.float32], threads: int
) -> _Surfaces | None:
    """See `depths`; None if one of both is not in the image."""
    cortex = _of(labels, (CORTEX,))
    extent = ndimage.find_objects(cortex.astype(np.uint8))
    if not extent:
        return None
    box = tuple(slice(max(part.start - ROOM, 0), part.stop + ROOM) for part in extent[0])
    cortex, labels, confidence = cortex[box], labels[box], confidence[box]
    inside = _of(labels, INSIDE)
    brain = inside | cortex | _of(labels, BESIDE)
    white = _surface(inside, confidence, cortex)
    pial = _surface(brain, confidence, cortex)
    if not len(white.points) or not len(pial.points):
        return None
    to_white, nearest = white.distance(_places(cortex), threads)
    between = _between_banks(cortex, labels, white, to_white, nearest)
    outside = _Surface(
        np.concatenate([pial.points, between.points]),
        np.concatenate([pial.normals, between.normals]),
    )
    return _Surfaces(box, cortex, brain, outside, len(pial.points), to_white)


def _places(mask: Mask) -> Points:
    """Centres of its voxels, (n, 3)."""
    return np.argwhere(mask).astype(np.float32)


def _of(labels: NDArray[np.uint8], names: Iterable[str]) -> Mask:
    wanted = np.zeros(256, bool)
    wanted[list(chain.from_iterable(FREESURFER.ids_of(name) for name in names))] = True
    return wanted[labels]


def _share(mask: Mask, confidence: Numbers) -> Numbers:
    """Of each voxel that is `mask`; at its border as the posteriors have it.

    Only there: deep inside, posteriors doubt what the structure is, not that it is inside.
    """
    share = np.where(mask, confidence, 1 - confidence).astype(np.float32)
    share[ndimage.binary_erosion(mask)] = 1.0
    share[~ndimage.binary_dilation(mask)] = 0.0
    return share


def _surface(mask: Mask, confidence: Numbers, cortex: Mask) -> _Surface:
    """Of `mask`: where its smoothed share is one half, between two voxels of or by the cortex."""
    field = ndimage.gaussian_filter(_share(mask, confidence), SMOOTHING) - 0.5
    # Or a voxel of fluid that is half of it would vanish between two banks.
    field = np.where(mask, np.maximum(field, SURE), np.minimum(field, -SURE))
    # Beside, too: of a voxel that is half cortex the surface may lie just behind.
    near_cortex = ndimage.binary_dilation(cortex, iterations=2)
    points = []
    for axis in range(3):
        first, second = _neighbours(axis)
        there = (field[first] > 0) != (field[second] > 0)
        there &= near_cortex[first] & near_cortex[second]
        near, far = field[first][there], field[second][there]
        places = np.argwhere(there).astype(np.float32)
        places[:, axis] += near / (near - far)
        points.append(places)
    every = np.concatenate(points)
    return _Surface(every, -_directions(field, every))


def _directions(field: Numbers, places: Points) -> Points:
    """Unit vectors of the steepest rise, (n, 3)."""
    slopes = (np.gradient(field, axis=axis) for axis in range(3))
    rise = np.stack([ndimage.map_coordinates(s, places.T, order=1) for s in slopes], axis=1)
    length = np.linalg.norm(rise, axis=1, keepdims=True)
    directions: Points = (rise / np.maximum(length, 1e-6)).astype(np.float32)
    return directions


def _between_banks(
    cortex: Mask,
    labels: NDArray[np.uint8],
    white: _Surface,
    to_white: Numbers,
    nearest: NDArray[np.intp],
) -> _Surface:
    """The outer surface where no fluid shows it: between two banks, and between both hemispheres.

    Args:
        cortex, labels: (i, j, k).
        white: the inner surface, n points.
        to_white: (m,) distance of each voxel of the cortex to it, in the order of `argwhere`.
        nearest: (m,) which of the n points is nearest.
    """
    number = np.full(cortex.shape, -1, np.int32)
    number[cortex] = np.arange(len(to_white), dtype=np.int32)
    points, normals = [], []
    for axis in range(3):
        first, second = _neighbours(axis)
        both = cortex[first] & cortex[second]
        one, other = number[first][both], number[second][both]
        here, there = nearest[one], nearest[other]
        toward = white.normals[here]
        meeting = (toward[:, axis] > 0) & (white.normals[there][:, axis] < 0)
        meeting &= np.sum(toward * white.normals[there], axis=1) < OPPOSED
        apart = np.linalg.norm(white.points[here] - white.points[there], axis=1)
        meeting &= apart > BANKS_APART
        meeting |= labels[first][both] != labels[second][both]
        places = np.argwhere(both)[meeting].astype(np.float32)
        shift = (to_white[other[meeting]] - to_white[one[meeting]]) / 2
        places[:, axis] += np.clip(0.5 + shift, 0, 1)
        points.append(places)
        normals.append(toward[meeting])
    return _Surface(np.concatenate(points), np.concatenate(normals))


def _neighbours(axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """All voxels but the last along an axis, and those that follow them."""
    every = [slice(None)] * 3
    first = tuple(slice(None, -1) if a == axis else s for a, s in enumerate(every))
    second = tuple(slice(1, None) if a == axis else s for a, s in enumerate(every))
    return first, second
