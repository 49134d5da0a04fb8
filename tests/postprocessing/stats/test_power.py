"""Planning: effects for people, people for effects, and the price of noise."""

from __future__ import annotations

import pytest

from fibromorph.errors import ConfigError
from fibromorph.postprocessing.stats.power import (
    Plan,
    RegionSpread,
    people_for,
    plan_for_effect,
    plan_for_people,
)

CLEAN, NOISY = RegionSpread("clean", 0.07, 0.0), RegionSpread("noisy", 0.07, 0.05)


def test_textbook_numbers() -> None:
    assert people_for(0.5, Plan(covariates=0), 0.05) == (64, 64)
    assert people_for(0.8, Plan(covariates=0), 0.05) == (26, 26)


def test_noise_costs_people() -> None:
    table = plan_for_effect([CLEAN, NOISY], Plan(tests=12), percent=5.0).set_index("region")
    assert table.loc["clean"]["d_true"] == table.loc["noisy"]["d_true"]
    expected = 1 / Plan().reliability(NOISY)
    assert table.loc["noisy"]["reliability"] == pytest.approx(0.07**2 / (0.07**2 + 0.05**2))
    ratio = table.loc["noisy"]["patients"] / table.loc["clean"]["patients"]
    assert ratio == pytest.approx(expected, rel=0.08)
    assert (table["patients_family"] > table["patients"]).all()


def test_reliability_of_change_is_that_of_what_is_compared() -> None:
    plan = Plan(question="change", change_sd=0.01)
    table = plan_for_effect([NOISY], plan, percent=5.0).set_index("region").loc["noisy"]
    assert table["reliability"] == pytest.approx(0.01**2 / (0.01**2 + 2 * 0.05**2))
    assert (table["d_measured"] / table["d_true"]) ** 2 == pytest.approx(table["reliability"])


def test_what_a_volume_hardly_shows_costs_people() -> None:
    half = RegionSpread("half", 0.07, 0.0, share=0.5)
    table = plan_for_effect([CLEAN, half], Plan(), percent=5.0).set_index("region")
    assert table["d_true"].nunique() == 1
    assert table["patients"]["half"] / table["patients"]["clean"] == pytest.approx(4, rel=0.08)
    found = plan_for_people([CLEAN, half], Plan(), 40, 40).set_index("region")["percent"]
    assert found["half"] == pytest.approx(2 * found["clean"])


def test_one_question_undoes_the_other() -> None:
    plan = Plan(covariates=2)
    found = plan_for_people([NOISY], plan, 40, 40)
    people = plan_for_effect([NOISY], plan, percent=float(found["percent"].iloc[0]) * 1.0001)
    assert people["patients"].iloc[0] == 40


def test_change_is_found_with_fewer_people_than_a_difference_of_that_size() -> None:
    change = Plan(question="change")
    groups = plan_for_effect([CLEAN], Plan(), percent=2.0)["patients"].iloc[0]
    assert plan_for_effect([CLEAN], change, percent=2.0)["treated"].iloc[0] < groups


def test_arms_of_a_therapy_are_not_patients_and_controls() -> None:
    columns = plan_for_effect([CLEAN], Plan(question="change"), percent=2.0).columns
    assert list(columns[-4:]) == ["treated", "untreated", "treated_family", "untreated_family"]
    assert list(plan_for_effect([CLEAN], Plan()).columns[-4:-2]) == ["patients", "controls"]


@pytest.mark.parametrize(
    "changes", [{"alpha": 0.0}, {"power": 1.0}, {"ratio": -1.0}, {"tests": 0}, {"change_sd": 0.0}]
)
def test_options_out_of_range(changes: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        Plan(**changes)  # type: ignore[arg-type]


def test_more_covariates_than_people() -> None:
    with pytest.raises(ConfigError, match="more people than covariates"):
        plan_for_people([CLEAN], Plan(covariates=10), 4, 4)
