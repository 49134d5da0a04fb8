"""Effect sizes and what could have been found."""

from __future__ import annotations

import numpy as np
import pytest

from fibromorph.postprocessing.stats.models.effects import (
    detectable_effect,
    equivalence_p,
    false_discovery,
    g_interval,
    hedges_g,
    jzs_bayes_factor,
    noncentrality,
    power_of,
    small_sample_factor,
)


def test_reference_study_finds_large_effects_only() -> None:
    factor = 1 / 23 + 1 / 21
    assert detectable_effect(42, factor, 0.05, 0.8) == pytest.approx(0.87, abs=0.005)
    assert detectable_effect(42, factor, 0.05 / 12, 0.8) == pytest.approx(1.18, abs=0.005)


def test_g_is_smaller_than_d() -> None:
    assert small_sample_factor(42) == pytest.approx(1 - 3 / (4 * 42 - 1), abs=1e-4)
    assert hedges_g(1.0, 2.0, 42) == pytest.approx(0.5 * small_sample_factor(42))


@pytest.mark.parametrize("t", [-12.0, -2.0, 0.0, 0.5, 3.0, 25.0])
def test_intervals_contain_the_effect_and_mirror(t: float) -> None:
    low, high = g_interval(t, 42, 0.1, 0.95)
    assert low < t * small_sample_factor(42) * 0.1**0.5 < high
    assert g_interval(-t, 42, 0.1, 0.95) == pytest.approx((-high, -low))


def test_power_at_no_effect_is_the_level() -> None:
    assert power_of(0.0, 30, 0.05) == pytest.approx(0.05)
    assert noncentrality(0.0, 30, 0.5) == pytest.approx(0.0, abs=1e-9)


def test_bayes_factor_speaks_for_nothing_when_there_is_nothing() -> None:
    assert jzs_bayes_factor(0.0, 198, 0.02) < 1 / 5
    assert jzs_bayes_factor(5.0, 198, 0.02) > 1000


def test_thousands_of_people_do_not_exceed_the_bayes_factor() -> None:
    factor = 1 / 1100 + 1 / 1000
    assert 1e200 < jzs_bayes_factor(40.0, 2095, factor) < jzs_bayes_factor(99.0, 2095, factor)


def test_equivalence_needs_a_narrow_interval() -> None:
    assert equivalence_p(0.0, 0.1, 40, 0.5) < 0.001
    assert equivalence_p(0.0, 1.0, 40, 0.5) > 0.05
    assert equivalence_p(0.6, 0.1, 40, 0.5) > 0.5


def test_unknown_p_values_do_not_count() -> None:
    found = false_discovery(np.array([0.01, np.nan, 0.04]))
    assert found[[0, 2]] == pytest.approx([0.02, 0.04])
    assert np.isnan(found[1])
