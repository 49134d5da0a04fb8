"""Where the sessions of a person lie around their middle, from how each lies to each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from fibromorph.grid import Affine

CHANGE = 1e-7
"""Of any element of a motion, mm or radians, below which positions stand still."""

MOST_ROUNDS = 1000
"""One is enough where every pair is known and pairs agree; chains of pairs take more."""

Pairs = Mapping[tuple[int, int], Affine]
"""(i, j), i < j -> rigid motion that brings j onto i, about the middles of the two."""


def groups_of(count: int, pairs: Pairs) -> list[tuple[int, ...]]:
    """Sessions that hang together by known pairs, each in rising order, by their first."""
    group = list(range(count))
    for i, j in sorted(pairs):
        one, other = sorted((group[i], group[j]))
        group = [one if g == other else g for g in group]
    return [tuple(i for i in range(count) if group[i] == g) for g in sorted(set(group))]


def positions_of(members: Sequence[int], pairs: Pairs) -> dict[int, Affine]:
    """The motions that bring sessions to their middle; every pair counts alike, none is the first.

    Each position is the mean of itself and of what the others' positions say of it, until all
    stand still: averaging on the group of rigid motions (Govindu 2004, CVPR 1:684-691).

    Args:
        members: one of `groups_of`.
        pairs: known motions, those of others left aside.

    Returns:
        Session -> (4, 4) rigid motion about its own middle; their mean is no motion.
    """
    known = {(i, j): m for (i, j), m in pairs.items() if i in members}
    known |= {(j, i): np.asarray(np.linalg.inv(m)) for (i, j), m in known.items()}
    beside = {i: [j for j in members if (j, i) in known] for i in members}
    where = _chained(members, known)
    for _ in range(MOST_ROUNDS):
        said = {
            i: mean_of([where[i], *(where[j] @ known[j, i] for j in beside[i])]) for i in members
        }
        back = np.linalg.inv(mean_of(list(said.values())))
        moved = {i: back @ motion for i, motion in said.items()}
        change = max(float(np.abs(moved[i] - where[i]).max()) for i in members)
        where = moved
        if change < CHANGE:
            break
    return where


def mean_of(motions: Sequence[Affine]) -> Affine:
    """The mean of rigid motions: mean turn, mean shift; of two, the point half-way."""
    mean = np.eye(4)
    mean[:3, :3] = Rotation.from_matrix([m[:3, :3] for m in motions]).mean().as_matrix()
    mean[:3, 3] = np.mean([m[:3, 3] for m in motions], axis=0)
    return mean


def _chained(members: Sequence[int], known: Pairs) -> dict[int, Affine]:
    """Positions to begin with: those relative to the first, along the pairs that are known."""
    first = members[0]
    where: dict[int, Affine] = {first: np.eye(4)}
    front = [first]
    while front:
        j = front.pop(0)
        for i in members:
            if i not in where and (j, i) in known:
                where[i] = where[j] @ known[j, i]
                front.append(i)
    return where
