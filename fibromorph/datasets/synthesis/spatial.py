"""Where each voxel of a sample lies in its label map: affine, elastic, mirrored, cropped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fibromorph.datasets.structures import Structures
from fibromorph.datasets.synthesis.random import Draws, Numbers, chance, normal, number, numbers
from fibromorph.datasets.synthesis.settings import SynthesisSettings
from fibromorph.datasets.tissues import FLUID_ID, GENERATION_IDS, outside_brain
from fibromorph.grid import Shape3
from fibromorph.lookups import lookup, upload

CONTROLS = 49
"""Control points of the deformation along each axis, some 3 voxels apart."""

LOCAL_SD = (4.0, 16.0)
"""Standard deviation of a place that is scaled, in voxels of the sample: a pallidum to a lobe."""

AROUND_STRUCTURE = (0.7, 1.2)
"""The same where the place is a structure, relative to its radius."""

STILL_POINT = (0.5, 0.5, 0.3)
"""Of the brain's box, in RAS order: near the brain stem, which stays as a brain shrinks."""

Places = tuple[Tensor, Tensor, Tensor]
"""Coordinates along i, j and k, in voxels of the source, of every voxel of a sample."""


class Anatomy(Protocol):
    """Whatever knows where its brain lies, and what is in it: a label map, a labelled scan."""

    @property
    def brain_start(self) -> Shape3:
        """First voxel of the brain's box."""

    @property
    def brain_stop(self) -> Shape3:
        """One past its last voxel."""

    @property
    def structures(self) -> Structures:
        """Places to scale."""


@dataclass(frozen=True)
class SpatialParams:
    """Where in the label map each voxel of the sample lies.

    Attributes:
        matrix: (3, 3) from sample voxels about its centre to map voxels about `centre`.
        centre: (3,) voxel of the map at the sample's centre.
        control_mm: (3, n, n, n) displacements, interpolated over the sample.
        flipped: the sample is mirrored, so left and right change names.
        shrunk_to: size of the brain along each axis, relative to what its skull has room for.
        shrunk_about: (3,) voxel of the map that stays where it is when the brain shrinks.
    """

    matrix: Numbers
    centre: Numbers
    control_mm: Tensor
    flipped: bool
    shrunk_to: float
    shrunk_about: Numbers


def draw_spatial(
    rng: Draws,
    settings: SynthesisSettings,
    source: Anatomy,
    shape: Shape3,
    spacing_mm: float = 1.0,
) -> SpatialParams:
    """Draw affine, elastic deformation, mirroring and the place of the crop."""
    matrix = spacing_mm * _draw_linear(rng, settings)
    flipped = chance(rng, settings.flip)
    if flipped:
        matrix = matrix @ np.diag([-1.0, 1.0, 1.0])
    start, stop = np.array(source.brain_start), np.array(source.brain_stop)
    # A crop smaller than the brain may lie anywhere in it, a larger one anywhere around it.
    fits = np.abs(stop - start - spacing_mm * np.array(shape)) / 2
    slack = settings.anywhere * fits + settings.jitter_mm
    centre = (start + stop - 1) / 2 + slack * numbers(rng, -1, 1, 3)
    coarse = F.interpolate(
        normal(rng, 1, 3, 4, 4, 4), size=(9, 9, 9), mode="trilinear", align_corners=True
    )
    elastic = settings.elastic_mm * (coarse[0] + 0.25 * normal(rng, 3, 9, 9, 9))
    control = F.interpolate(elastic[None], (CONTROLS,) * 3, mode="trilinear", align_corners=True)[0]
    control = control + _draw_local_scaling(rng, settings, source.structures, matrix, centre, shape)
    smaller = chance(rng, settings.atrophy)
    shrunk_to = number(rng, 1 - settings.atrophy_most, 1) if smaller else 1.0
    still = start + np.array(STILL_POINT) * (stop - 1 - start)
    return SpatialParams(matrix, centre, control, flipped, shrunk_to, still)


def _draw_local_scaling(
    rng: Draws,
    settings: SynthesisSettings,
    structures: Structures,
    matrix: Numbers,
    centre: Numbers,
    shape: Shape3,
) -> Tensor:
    """Displacements that shrink or grow single structures and other places, on the control points.

    Each is a share of the distance from the place's centre, fading as a Gaussian; below a share of
    2.2 no point overtakes another.
    """
    reach = np.array(shape) / 2
    to_sample = np.linalg.inv(matrix)
    voxels_per_mm = abs(float(np.linalg.det(to_sample))) ** (1 / 3)
    middles, sds, shares = [], [], []
    for _ in range(settings.local_places):
        if len(structures.radii) and chance(rng, settings.local_structures):
            n = int(number(rng, 0, len(structures.radii)))
            middles.append(to_sample @ (structures.centres[n] - centre))
            size = float(structures.radii[n]) * voxels_per_mm
            sds.append(size * number(rng, *AROUND_STRUCTURE))
        else:
            middles.append(0.7 * reach * numbers(rng, -1, 1, 3))
            sds.append(number(rng, *LOCAL_SD))
        shares.append(number(rng, -settings.local_scaling, settings.local_scaling))
    if not middles:
        return torch.zeros(3, CONTROLS, CONTROLS, CONTROLS, device=rng.device)
    # (3, places, n): a Gaussian is the product of what it is along each axis.
    points = reach[:, None, None] * np.linspace(-1, 1, CONTROLS)
    distances = points - np.stack(middles, axis=1)[:, :, None]
    nearness = np.exp(-(distances**2) / (2 * np.square(sds)[:, None]))
    pulls = np.array(shares)[:, None] * distances * nearness
    tables = upload(torch.from_numpy(np.stack([nearness, pulls])).float(), rng.device)
    along = [[tables[int(a == axis), a] for a in range(3)] for axis in range(3)]
    moved = torch.stack([torch.einsum("pi,pj,pk->ijk", *factors) for factors in along])
    turn = upload(torch.from_numpy(matrix).float(), rng.device)
    return torch.einsum("ab,bijk->aijk", turn, moved)


def places_of(params: SpatialParams, shape: Shape3) -> Places:
    """Where in the source each voxel of a sample of `shape` lies, in voxels along each axis."""
    device = params.control_mm.device
    matrix, centre = params.matrix.tolist(), params.centre.tolist()
    steps = [torch.arange(n, device=device, dtype=torch.float32) - (n - 1) / 2 for n in shape]
    grids = (steps[0][:, None, None], steps[1][None, :, None], steps[2][None, None, :])
    moved = F.interpolate(
        params.control_mm[None], size=shape, mode="trilinear", align_corners=True
    )[0]
    places = []
    for axis in range(3):
        place = moved[axis] + centre[axis]
        for other in range(3):
            place = place + matrix[axis][other] * grids[other]
        places.append(place)
    return places[0], places[1], places[2]


def read_nearest(image: Tensor, places: Places) -> Tensor:
    """Values of an (i, j, k) image at the nearest voxels, int64; 0 outside it."""
    flat = torch.zeros(places[0].shape, dtype=torch.int64, device=image.device)
    inside = torch.ones(places[0].shape, dtype=torch.bool, device=image.device)
    for place, length in zip(places, image.shape, strict=True):
        voxel = place.round().long()
        inside &= (voxel >= 0) & (voxel < length)
        flat = flat * length + voxel
    flat = torch.where(inside, flat, 0)
    return image.reshape(-1)[flat].long() * inside


def read_linear(image: Tensor, places: Places) -> Tensor:
    """Values of an (i, j, k) float32 image, interpolated linearly; 0 outside it."""
    # `grid_sample` wants the last axis first, each from -1 to 1 over the voxel centres.
    scaled = [2 * p / (n - 1) - 1 for p, n in zip(places, image.shape, strict=True)]
    grid = torch.stack(scaled[::-1], dim=-1)[None]
    return F.grid_sample(image[None, None], grid, align_corners=True)[0, 0]


def apply_spatial(index: Tensor, params: SpatialParams, shape: Shape3) -> Tensor:
    """Read the label map at the deformed places, nearest neighbour.

    Where the brain is smaller than its skull, fluid fills the room that it leaves.

    Args:
        index: (i, j, k) uint8 generation indices.
        params: see `SpatialParams`.
        shape: of the sample.

    Returns:
        `shape` int64; 0 outside the map.
    """
    places = places_of(params, shape)
    head = read_nearest(index, places)
    if params.shrunk_to == 1:
        return head
    shrunk = [
        (p - c) / params.shrunk_to + c
        for p, c in zip(places, params.shrunk_about.tolist(), strict=True)
    ]
    brain = read_nearest(index, (shrunk[0], shrunk[1], shrunk[2]))
    outside = lookup(outside_brain(), index.device, torch.bool)
    filled = torch.where(outside[brain], GENERATION_IDS.index(FLUID_ID), brain)
    return torch.where(outside[head], head, filled)


def _draw_linear(rng: Draws, settings: SynthesisSettings) -> Numbers:
    limit = np.pi / 180 * settings.rotation_deg
    off_diagonal = 1 - np.eye(3)
    shear = np.eye(3) + numbers(rng, -settings.shear, settings.shear, 3, 3) * off_diagonal
    scale = np.diag(numbers(rng, 1 - settings.scaling, 1 + settings.scaling, 3))
    turn: Numbers = _rotation(numbers(rng, -limit, limit, 3)) @ scale @ shear
    return turn


def _rotation(angles: Numbers) -> Numbers:
    turn = np.eye(3)
    for axis, angle in enumerate(angles):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        plane = np.eye(3)
        plane[a, a] = plane[b, b] = np.cos(angle)
        plane[b, a] = np.sin(angle)
        plane[a, b] = -plane[b, a]
        turn = plane @ turn
    return turn
