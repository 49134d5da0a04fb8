"""The volumes that each person has: drawn from the norms, with the planted changes on top."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from fibromorph.datasets.cohort.effects import Effect
from fibromorph.datasets.cohort.norms import (
    COMMON_SHARE,
    INTRACRANIAL_CV,
    INTRACRANIAL_ML,
    MAX_SD,
    NORMS,
    OTHERS,
    PAIR_SHARE,
    REFERENCE_AGE,
    WITHIN_CV,
    Norm,
)
from fibromorph.datasets.cohort.people import Person
from fibromorph.labels import FREESURFER


@dataclass(frozen=True, eq=False)
class Constitution:
    """What makes a person's volumes theirs, apart from age, sex and illness.

    Attributes:
        intracranial_ml: true volume inside the skull.
        deviations: label id -> log volume above expectation.
        fluctuations: (sessions, regions) log volume, in the order of `deviations`.
    """

    intracranial_ml: float
    deviations: Mapping[int, float]
    fluctuations: NDArray[np.float64]


def norm_of(label_id: int) -> Norm:
    """The norm of a label; both sides of a structure have the same."""
    return NORMS.get(structure_of(label_id), OTHERS)


def draw_constitution(
    rng: np.random.Generator, sex: str, ids: Sequence[int], sessions: int
) -> Constitution:
    """Draw head size and the deviations of all structures, correlated between sides and in all."""
    size = INTRACRANIAL_ML[sex] * np.exp(INTRACRANIAL_CV * _bounded(rng.normal()))
    common = rng.normal()
    pairs = {name: rng.normal() for name in dict.fromkeys(structure_of(i) for i in ids)}
    deviations = {}
    for label_id in ids:
        z = (
            COMMON_SHARE**0.5 * common
            + PAIR_SHARE**0.5 * pairs[structure_of(label_id)]
            + (1 - COMMON_SHARE - PAIR_SHARE) ** 0.5 * rng.normal()
        )
        deviations[label_id] = norm_of(label_id).cv * _bounded(z)
    fluctuations = rng.normal(0, WITHIN_CV, (sessions, len(ids)))
    return Constitution(float(size), deviations, fluctuations)


def target_volumes(
    person: Person,
    constitution: Constitution,
    reference_ml: Mapping[int, float],
    effects: Iterable[Effect],
    *,
    session: int = 0,
    gap_open: float = 1.0,
) -> dict[int, float]:
    """The true volume of every structure of a person in a session.

    log V = log V_ref + allometry log(ICV / ICV_ref) + age slope (age - 45) + deviation
    (+ planted change x gap still open, in patients) + the day's fluctuation.

    Args:
        person: age, sex and group.
        constitution: of `draw_constitution`.
        reference_ml: volumes of the anatomy at the mean intracranial volume of women.
        effects: planted changes.
        session: from 0.
        gap_open: share of the planted change that is left.
    """
    size = np.log(constitution.intracranial_ml / INTRACRANIAL_ML["F"])
    planted = {e.label_id: e.log_change * gap_open for e in effects} if person.is_patient else {}
    volumes = {}
    for n, (label_id, deviation) in enumerate(constitution.deviations.items()):
        norm = norm_of(label_id)
        volumes[label_id] = reference_ml[label_id] * float(
            np.exp(
                norm.allometry * size
                + norm.age_per_year * (person.age - REFERENCE_AGE)
                + deviation
                + planted.get(label_id, 0.0)
                + constitution.fluctuations[session, n]
            )
        )
    return volumes


@cache
def structure_of(label_id: int) -> str:
    """Name of a FreeSurfer label without its side."""
    return FREESURFER[label_id].name.removeprefix("Left-").removeprefix("Right-")


def _bounded(z: float) -> float:
    return float(np.clip(z, -MAX_SD, MAX_SD))
