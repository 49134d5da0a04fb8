from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest

from fibromorph.grid import Affine
from fibromorph.serving.cohort.longitudinal.positions import (
    Pairs,
    groups_of,
    mean_of,
    positions_of,
)
from tests.serving.cohort.longitudinal.motions import error_mm, motion

TRUE = [
    motion((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
    motion((-3.0, 2.0, 1.0), (1.0, 2.0, -2.0)),
    motion((5.0, -4.0, 6.0), (-3.0, 1.0, 2.0)),
    motion((1.0, 8.0, -2.0), (4.0, -6.0, 0.5)),
]
"""Of four sessions."""


def pairs_of(order: tuple[int, ...], error_deg: float = 0.0) -> Pairs:
    """What registration finds where sessions stand in this order, each pair with its own error."""
    found: dict[tuple[int, int], Affine] = {}
    for (i, one), (j, other) in combinations(enumerate(order), 2):
        low, high = sorted((one, other))
        rng = np.random.default_rng([low, high])
        wrong = motion(tuple(rng.normal(0, 1, 3) * error_deg), tuple(rng.normal(0, 1, 3) * 0.2))
        wrong = wrong if error_deg else np.eye(4)
        seen = np.asarray(np.linalg.inv(TRUE[low]) @ wrong @ TRUE[high])
        found[i, j] = seen if one == low else np.asarray(np.linalg.inv(seen))
    return found


def test_the_middle_of_two_is_half_of_the_way() -> None:
    move = motion((10.0, 0.0, 0.0), (4.0, 0.0, 0.0))
    half = motion((5.0, 0.0, 0.0), (2.0, 0.0, 0.0))
    assert mean_of([np.eye(4), move]) == pytest.approx(half, abs=1e-9)
    where = positions_of((0, 1), {(0, 1): move})
    assert where[1] == pytest.approx(np.linalg.inv(where[0]), abs=0.01)
    assert np.linalg.inv(where[0]) @ where[1] == pytest.approx(move, abs=1e-6)


def test_pairs_that_agree_are_all_kept() -> None:
    where = positions_of((0, 1, 2, 3), pairs_of((0, 1, 2, 3)))
    for i, j in combinations(range(4), 2):
        between = np.linalg.inv(where[i]) @ where[j]
        assert error_mm(between, np.linalg.inv(TRUE[i]) @ TRUE[j]) < 1e-4
    assert mean_of(list(where.values())) == pytest.approx(np.eye(4), abs=1e-6)


def test_the_order_of_sessions_does_not_matter_where_pairs_disagree() -> None:
    expected = positions_of((0, 1, 2, 3), pairs_of((0, 1, 2, 3), error_deg=0.2))
    for order in permutations(range(4)):
        where = positions_of((0, 1, 2, 3), pairs_of(order, error_deg=0.2))
        assert max(error_mm(where[order.index(i)], expected[i]) for i in range(4)) < 1e-4


def test_a_mean_of_all_pairs_errs_less_than_one_pair() -> None:
    pairs = pairs_of((0, 1, 2, 3), error_deg=0.2)
    where = positions_of((0, 1, 2, 3), pairs)
    errors = np.array(
        [
            (
                error_mm(pairs[i, j], np.linalg.inv(TRUE[i]) @ TRUE[j]),
                error_mm(np.linalg.inv(where[i]) @ where[j], np.linalg.inv(TRUE[i]) @ TRUE[j]),
            )
            for i, j in combinations(range(4), 2)
        ]
    )
    alone, together = np.sqrt(np.mean(errors**2, axis=0))
    assert together < 0.85 * alone


def test_sessions_hang_together_by_those_between_them() -> None:
    every = pairs_of((0, 1, 2, 3))
    chain = {pair: every[pair] for pair in ((0, 2), (1, 2))}
    assert groups_of(4, chain) == [(0, 1, 2), (3,)]
    assert groups_of(3, {}) == [(0,), (1,), (2,)]
    where = positions_of((0, 1, 2), chain)
    between = np.linalg.inv(where[0]) @ where[1]
    assert error_mm(between, np.linalg.inv(TRUE[0]) @ TRUE[1]) < 1e-3
    assert positions_of((3,), chain)[3] == pytest.approx(np.eye(4))
