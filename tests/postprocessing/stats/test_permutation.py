"""Freedman-Lane permutations: the shortcut equals refitting, and errors are held at their rate."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fibromorph.postprocessing.stats.models.linear import fit, robust_df
from fibromorph.postprocessing.stats.models.permutation import (
    OwnModel,
    freedman_lane,
    freedman_lane_each,
)

N = 24


def refitted(
    outcomes: np.ndarray, contrast: np.ndarray, nuisance: np.ndarray, orders: np.ndarray
) -> np.ndarray:
    """|HC3 t| by the book: permute the reduced model's residuals, add its fit, refit."""
    reduced = fit(nuisance, outcomes)
    rows = []
    for order in orders:
        # The shortcut permutes the design, which is permuting residuals by the inverse.
        moved = reduced.residuals[np.argsort(order)]
        full = fit(np.column_stack([nuisance, contrast]), nuisance @ reduced.beta + moved)
        rows.append(np.abs(full.beta[-1] / full.se_hc3[-1]))
    return np.array(rows)


def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    contrast = (np.arange(N) < 11).astype(float)
    nuisance = np.column_stack([np.ones(N), rng.standard_normal((N, 2)) + contrast[:, None]])
    return rng.standard_normal((N, 5)), contrast, nuisance


def test_same_as_refitting_every_permutation() -> None:
    outcomes, contrast, nuisance = data(np.random.default_rng(1))
    found = freedman_lane(outcomes, contrast, nuisance, np.random.default_rng(2), 200)
    orders = np.random.default_rng(2).random((199, N)).argsort(axis=1)
    t = refitted(outcomes, contrast, nuisance, np.vstack([np.arange(N), orders]))
    assert found.largest == pytest.approx(t.max(axis=1))
    assert np.abs(found.t) == pytest.approx(t[0])
    assert found.p == pytest.approx((t >= t[0] * (1 - 1e-9)).mean(axis=0))
    assert found.p_fwe == pytest.approx((t.max(axis=1)[:, None] >= t[0] * (1 - 1e-9)).mean(axis=0))


def test_outcomes_with_models_of_their_own_are_permuted_alike() -> None:
    outcomes, contrast, nuisance = data(np.random.default_rng(1))
    own = np.random.default_rng(3).standard_normal((N, 5))
    models, everybody = [], np.ones(N, dtype=bool)
    for column in range(5):
        design = np.column_stack([nuisance, own[:, column]])
        models.append(OwnModel(outcomes[:, column], contrast, design, everybody))
    found = freedman_lane_each(models, np.random.default_rng(2), 200)
    orders = np.random.default_rng(2).random((199, N)).argsort(axis=1)
    # These permute the residuals themselves.
    inverse = np.vstack([np.arange(N), orders]).argsort(axis=1)
    t = np.column_stack(
        [refitted(m.outcome[:, None], contrast, m.nuisance, inverse)[:, 0] for m in models]
    )
    assert found.largest == pytest.approx(t.max(axis=1))
    assert found.p == pytest.approx((t >= t[0] * (1 - 1e-9)).mean(axis=0))
    assert found.p_fwe == pytest.approx((t.max(axis=1)[:, None] >= t[0] * (1 - 1e-9)).mean(axis=0))


def test_a_model_of_its_own_may_lack_rows() -> None:
    outcomes, contrast, nuisance = data(np.random.default_rng(1))
    outcomes[3, 2] = np.nan
    models = []
    for column in outcomes.T:
        known = ~np.isnan(column)
        models.append(OwnModel(column[known], contrast[known], nuisance[known], known))
    each = freedman_lane_each(models, np.random.default_rng(2), 4000)
    joint = freedman_lane(outcomes, contrast, nuisance, np.random.default_rng(4), 4000)
    assert each.t == pytest.approx(joint.t)
    assert each.p_fwe == pytest.approx(joint.p_fwe, abs=0.05)


def test_someone_who_has_a_level_alone_leaves_the_error_as_large_as_it_is() -> None:
    """Twelve women against eleven men and one woman: the difference rests on her."""
    rng = np.random.default_rng(5)
    contrast = (np.arange(N) < N // 2).astype(float)
    sex = (np.arange(N) >= N // 2 + 1).astype(float)
    nuisance = np.column_stack([np.ones(N), sex - sex.mean(), rng.standard_normal((N, 2))])
    fitted = fit(np.column_stack([nuisance, contrast]), rng.standard_normal((N, 4000)))
    assert list(np.flatnonzero(fitted.carried)) == [N // 2]
    p = 2 * stats.t.sf(np.abs(fitted.beta[-1] / fitted.se_hc3[-1]), fitted.df)
    assert (p <= 0.05).mean() == pytest.approx(0.05, abs=0.02)
    found = freedman_lane(
        rng.standard_normal((N, 5)), contrast, nuisance, np.random.default_rng(6), 50
    )
    assert np.isfinite(found.t).all()


def test_a_difference_that_rests_on_two_people_is_worth_little() -> None:
    contrast = (np.arange(N) < N // 2).astype(float)
    worth = {}
    for women in (2, 6):
        sex = (np.arange(N) >= N // 2 + women).astype(float)
        design = np.column_stack([np.ones(N), sex, contrast])
        worth[women] = robust_df(design, fit(design, np.zeros((N, 1))))
    assert worth[2] < 2
    assert worth[6] > 9
    alone = np.column_stack([np.ones(N), contrast])
    assert robust_df(alone, fit(alone, np.zeros((N, 1)))) == pytest.approx(N - 2)


def test_the_reported_statistic_is_the_permuted_one_where_someone_stands_alone() -> None:
    rng = np.random.default_rng(7)
    contrast = (np.arange(N) < N // 2).astype(float)
    sex = (np.arange(N) >= N // 2 + 1).astype(float)
    nuisance, outcomes = np.column_stack([np.ones(N), sex]), rng.standard_normal((N, 3))
    fitted = fit(np.column_stack([nuisance, contrast]), outcomes)
    found = freedman_lane(outcomes, contrast, nuisance, np.random.default_rng(8), 20)
    assert found.t == pytest.approx(fitted.beta[-1] / fitted.se_hc3[-1])


def test_missing_cells_use_the_same_order_of_people() -> None:
    outcomes, contrast, nuisance = data(np.random.default_rng(3))
    outcomes[:, 1] = outcomes[:, 0]
    outcomes[4, 1] = np.nan
    found = freedman_lane(outcomes, contrast, nuisance, np.random.default_rng(0), 400)
    assert found.p[1] == pytest.approx(found.p[0], abs=0.15)
    keep = np.arange(N) != 4
    alone = fit(np.column_stack([nuisance, contrast])[keep], outcomes[keep, 1:2])
    assert found.t[1] == pytest.approx(alone.beta[-1, 0] / alone.se_hc3[-1, 0])


def test_a_seed_gives_the_same_answer() -> None:
    outcomes, contrast, nuisance = data(np.random.default_rng(4))
    first, second = (
        freedman_lane(outcomes, contrast, nuisance, np.random.default_rng(9), 300) for _ in range(2)
    )
    assert first.p_fwe.tolist() == second.p_fwe.tolist()


def test_family_wise_error_under_unequal_variances() -> None:
    rng = np.random.default_rng(5)
    patients = np.arange(44) < 23
    nuisance = np.column_stack([np.ones(44), rng.standard_normal(44)])
    wrong, simulations = 0, 200
    for _ in range(simulations):
        common = rng.standard_normal((44, 1))
        outcomes = (0.7 * common + rng.standard_normal((44, 10))) * np.where(patients, 1.5, 1)[
            :, None
        ]
        found = freedman_lane(outcomes, patients.astype(float), nuisance, rng, 100)
        wrong += bool(found.p_fwe.min() <= 0.05)
    # Three standard errors of a share of 0.05 in 200.
    assert abs(wrong / simulations - 0.05) < 3 * np.sqrt(0.05 * 0.95 / simulations)
