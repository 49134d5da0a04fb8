from __future__ import annotations

import numpy as np
import pytest

from fibromorph.datasets.cohort.effects import Effect, parse_effects
from fibromorph.datasets.cohort.people import CONTROL, PATIENT, Person
from fibromorph.datasets.cohort.targets import draw_constitution, norm_of, target_volumes
from fibromorph.errors import ConfigError

IDS = (10, 11, 12, 49, 50, 51)
REFERENCE = dict.fromkeys(IDS, 5.0)


def person(group: str) -> Person:
    return Person("sub-01", group, 45.0, "F", {}, 1)


def test_spread_and_correlation_are_those_of_the_norms() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_constitution(rng, "F", IDS, 1).deviations for _ in range(3000)]
    table = np.array([[d[i] for i in IDS] for d in drawn])
    assert np.allclose(table.std(axis=0), [norm_of(i).cv for i in IDS], rtol=0.06)
    between = np.corrcoef(table.T)
    assert between[2, 5] == pytest.approx(0.85, abs=0.03)
    assert between[0, 2] == pytest.approx(0.15, abs=0.06)


def test_only_patients_change_and_therapy_closes_the_gap() -> None:
    constitution = draw_constitution(np.random.default_rng(1), "F", IDS, 2)
    effects = (Effect(12, "Left-Putamen", -0.08),)
    patient, control, treated = (
        target_volumes(person(group), constitution, REFERENCE, effects, gap_open=gap_open)
        for group, gap_open in ((PATIENT, 1.0), (CONTROL, 1.0), (PATIENT, 0.0))
    )
    assert patient[12] / control[12] == pytest.approx(0.92)
    assert patient[51] == control[51]
    assert treated == control


def test_a_region_without_a_side_means_both() -> None:
    effects = parse_effects(["Putamen=-8%", "Left-Thalamus = +5 %".replace(" = ", "=")], IDS)
    assert {(e.region, e.change) for e in effects} == {
        ("Left-Putamen", -0.08),
        ("Right-Putamen", -0.08),
        ("Left-Thalamus", 0.05),
    }


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("Putamen", "REGION=PERCENT%"),
        ("Putamen=big%", "REGION=PERCENT%"),
        ("Putamen=-80%", "within 30%"),
        ("Putmen=-8%", "Caudate, Putamen, Thalamus"),
    ],
)
def test_effects_that_mean_nothing_are_refused(text: str, rule: str) -> None:
    with pytest.raises(ConfigError, match=rule) as refused:
        parse_effects([text], IDS)
    assert text in str(refused.value)


def test_a_region_may_change_once() -> None:
    with pytest.raises(ConfigError, match="once"):
        parse_effects(["Putamen=-8%", "Left-Putamen=-5%"], IDS)
