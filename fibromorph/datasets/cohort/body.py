"""A person's anatomy: the deformation that has exactly the volumes that were drawn for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fibromorph.datasets.cohort.anatomy import Anatomy
from fibromorph.datasets.cohort.flow import Field, Lattice, flow
from fibromorph.datasets.cohort.growth import Growth, growth_of
from fibromorph.datasets.cohort.measure import Region, region_of, volume_ml
from fibromorph.datasets.cohort.norms import INTRACRANIAL_ML

STEP_MM = 4
TOLERANCE = 2e-3
MAX_ROUNDS = 8
FREE = (2, 24, 41)
"""White matter and outer fluid have no volume of their own: they take up the difference."""
ELASTIC_MM, ELASTIC_WIDTH_MM = 1.5, 14.0


@dataclass(frozen=True, eq=False)
class Mould:
    """An anatomy with all that is computed once for everybody who is deformed from it.

    Attributes:
        anatomy: the head.
        lattice: nodes of the velocities.
        growth: one velocity a structure that may be given a volume.
        regions: label id -> structure, all labels.
        intracranial: all that is labelled.
        reference_ml: volumes once the anatomy has the mean intracranial volume of women.
    """

    anatomy: Anatomy
    lattice: Lattice
    growth: Growth
    regions: Mapping[int, Region]
    intracranial: Region
    reference_ml: Mapping[int, float]


@dataclass(frozen=True, eq=False)
class Body:
    """A person at one time.

    Attributes:
        pull_back: (3, a, b, c) mm, from each node to where its tissue came from.
        scale: length in the person per length in the anatomy, after the pull-back.
        amounts: (n,) of each of the mould's growth velocities.
        volumes_ml: label id -> true volume.
        intracranial_ml: true volume inside the skull.
    """

    pull_back: Field
    scale: float
    amounts: NDArray[np.float64]
    volumes_ml: Mapping[int, float]
    intracranial_ml: float


def mould_of(anatomy: Anatomy) -> Mould:
    """Prepare an anatomy; some seconds."""
    i, j, k = anatomy.labels.shape
    lattice = Lattice((i, j, k), STEP_MM)
    shaped = tuple(i for i in anatomy.ids if i not in FREE)
    regions = {i: region_of(anatomy.labels == i) for i in anatomy.ids}
    growth = growth_of(anatomy.labels, shaped, lattice)
    intracranial = region_of(anatomy.labels > 0)
    return Mould(anatomy, lattice, growth, regions, intracranial, _reference_volumes(anatomy))


def _reference_volumes(anatomy: Anatomy) -> dict[int, float]:
    voxels = np.bincount(anatomy.labels.ravel(), minlength=256)
    ml_per_voxel = INTRACRANIAL_ML["F"] / voxels[1:].sum()
    return {i: float(voxels[i] * ml_per_voxel) for i in anatomy.ids}


def draw_elastic(rng: np.random.Generator, lattice: Lattice) -> Field:
    """A smooth random velocity, of `ELASTIC_MM` standard deviation: nobody's head is another's."""
    sigma = lattice.smoothing(ELASTIC_WIDTH_MM)
    noise = rng.standard_normal((3, *lattice.shape), dtype=np.float32)
    smooth = np.stack([ndimage.gaussian_filter(part, sigma) for part in noise])
    return np.asarray(smooth * np.float32(ELASTIC_MM / smooth.std()))


def shape_body(
    mould: Mould,
    elastic: Field,
    target_ml: Mapping[int, float],
    intracranial_ml: float,
    start: NDArray[np.float64] | None = None,
) -> Body:
    """Find the deformation of a mould in which every structure has its target volume.

    Log volumes are nearly linear in the amounts of growth: quasi-Newton steps from the response
    of the undeformed anatomy, corrected by Broyden's (1965) rank-one update.

    Args:
        mould: of the anatomy.
        elastic: of `draw_elastic`, on top of which the structures are grown.
        target_ml: id -> volume, for every id of `mould.growth`.
        intracranial_ml: size of the whole.
        start: amounts to begin from, such as those of the same person's earlier session.

    Returns:
        Volumes as measured after the last step; within `TOLERANCE` of the targets, but for
        targets that the surroundings have no room for.
    """
    wanted = np.log([target_ml[i] for i in mould.growth.ids])
    amounts = np.zeros(len(wanted)) if start is None else start
    response = mould.growth.response
    body = _grown(mould, elastic, amounts, intracranial_ml)
    missing = wanted - _logs(body, mould.growth.ids)
    for _ in range(MAX_ROUNDS):
        if np.abs(missing).max() < TOLERANCE:
            break
        step = np.linalg.solve(response, missing)
        body = _grown(mould, elastic, body.amounts + step, intracranial_ml)
        left = wanted - _logs(body, mould.growth.ids)
        response = response - np.outer(left, step) / (step @ step)
        missing = left
    return _all_volumes(mould, body)


def _grown(mould: Mould, elastic: Field, amounts: NDArray[np.float64], total_ml: float) -> Body:
    # einsum: a matrix product this small loses more to waiting threads than it gains.
    growth = np.einsum("n,n...->...", amounts.astype(np.float32), mould.growth.velocities)
    pull_back = flow(-(elastic + growth), mould.lattice.step)
    inside = volume_ml(mould.intracranial, pull_back, mould.lattice)
    ratio = total_ml / inside
    volumes = {
        i: ratio * volume_ml(mould.regions[i], pull_back, mould.lattice) for i in mould.growth.ids
    }
    return Body(pull_back, ratio ** (1 / 3), amounts, volumes, total_ml)


def _logs(body: Body, ids: tuple[int, ...]) -> NDArray[np.float64]:
    return np.log([body.volumes_ml[i] for i in ids])


def _all_volumes(mould: Mould, body: Body) -> Body:
    """With the structures that had no target, too."""
    free = {
        i: body.scale**3 * volume_ml(region, body.pull_back, mould.lattice)
        for i, region in mould.regions.items()
        if i not in body.volumes_ml
    }
    return replace(body, volumes_ml={**body.volumes_ml, **free})
