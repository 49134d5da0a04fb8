"""Left against right: a one-sided effect is told from one that was found on one side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fibromorph.postprocessing.names import twins
from fibromorph.postprocessing.stats import Results
from fibromorph.postprocessing.stats.report import write_study
from fibromorph.postprocessing.stats.report.limits import limits
from tests.postprocessing.stats.cohorts import Cohort, write, write_cohort
from tests.postprocessing.stats.conftest import run


def analysed(folder: Path, effects: dict[str, float], **changes: object) -> Results:
    write_cohort(folder, Cohort(effects=effects, seed=3))
    return run(folder, **changes)


def asymmetry_of(results: Results) -> pd.DataFrame:
    assert results.asymmetry is not None
    return results.asymmetry


def test_an_effect_of_one_side_is_one_of_asymmetry(tmp_path: Path) -> None:
    results = analysed(tmp_path, {"Left-Putamen": -0.15})
    table = asymmetry_of(results)
    assert table.index.tolist() == ["Thalamus", "Caudate", "Putamen", "Amygdala"]
    row = table.loc["Putamen"]
    assert row["ci_low_percent"] < -15 < row["ci_high_percent"]
    assert row["conclusion"] == "left relatively lower in patients"
    assert (table["conclusion"] == "left relatively lower in patients").sum() == 1
    assert not any("one side" in text for text in limits(results))
    groups = results.groups["difference_percent"]
    assert row["left_difference_percent"] == groups["Left-Putamen"]
    assert row["right_difference_percent"] == groups["Right-Putamen"]


@pytest.mark.parametrize(
    ("region", "effect", "said"),
    [
        ("Left-Putamen", 0.2, "left relatively higher in patients"),
        ("Right-Putamen", -0.2, "right relatively lower in patients"),
        ("Right-Putamen", 0.2, "right relatively higher in patients"),
    ],
)
def test_the_side_that_differs_is_the_one_named(
    tmp_path: Path, region: str, effect: float, said: str
) -> None:
    table = asymmetry_of(analysed(tmp_path, {region: effect}))
    assert table.loc["Putamen"]["conclusion"] == said


def test_an_effect_of_both_sides_is_none_of_asymmetry(tmp_path: Path) -> None:
    results = analysed(tmp_path, {"Left-Putamen": -0.15, "Right-Putamen": -0.15})
    assert set(results.groups.index[results.groups["p_fwe"] <= 0.05]) == {
        "Left-Putamen",
        "Right-Putamen",
    }
    row = asymmetry_of(results).loc["Putamen"]
    assert row["p_fwe"] > 0.05
    assert row["ci_low_percent"] < 0 < row["ci_high_percent"]


def test_found_on_one_side_only_is_told_as_such(tmp_path: Path) -> None:
    """Half the effect on the other side: found on the left alone, and no difference of sides."""
    results = analysed(tmp_path, {"Left-Putamen": -0.08, "Right-Putamen": -0.04})
    found = results.groups.index[results.groups["p_fwe"] <= 0.05].tolist()
    assert found == ["Left-Putamen"]
    assert asymmetry_of(results).loc["Putamen"]["p_fwe"] > 0.05
    [said] = [text for text in limits(results) if "one side" in text]
    assert said.startswith("Left putamen: found on one side, but not shown")


def test_a_bound_in_percent_is_one_of_points(tmp_path: Path) -> None:
    smallest = {"value": 30, "unit": "percent"}
    table = asymmetry_of(analysed(tmp_path, {}, smallest_effect=smallest))
    assert (table["equivalence_bound_percent"] == 30).all()
    assert set(table["conclusion"]) == {"both sides alike"}


def test_a_pair_that_few_people_have_is_left_out(tmp_path: Path) -> None:
    write_cohort(tmp_path, Cohort())
    volumes = pd.read_csv(tmp_path / "volumes.tsv", sep="\t", dtype=object, keep_default_na=False)
    volumes.loc[:9, "Left-Caudate"] = "n/a"
    volumes.loc[10:18, "Right-Caudate"] = "n/a"
    write(tmp_path / "volumes.tsv", volumes)
    assert "Caudate" not in asymmetry_of(run(tmp_path)).index


def test_what_is_imputed_of_a_side_is_known_less_well(folder: Path) -> None:
    volumes = pd.read_csv(folder / "volumes.tsv", sep="\t", keep_default_na=False)
    volumes["Left-Putamen"] = volumes["Left-Putamen"].astype(object)
    volumes.loc[volumes.index[::3], "Left-Putamen"] = "n/a"
    write(folder / "volumes.tsv", volumes)
    found = run(folder, missing={"method": "impute", "imputations": 10}).asymmetry
    assert found is not None
    df = found["df"]
    assert df["Putamen"] < 0.9 * df["Thalamus"]


def test_a_family_without_twins_has_none(tmp_path: Path) -> None:
    write_cohort(tmp_path, Cohort())
    results = run(tmp_path, families={"planned": ["Left-Putamen", "Right-Thalamus"]})
    assert results.asymmetry is None
    write_study(results, tmp_path / "out")
    assert not (tmp_path / "out" / "asymmetry.tsv").exists()
    assert "Left against right" not in (tmp_path / "out" / "report.html").read_text()


def test_the_table_and_the_page_have_it(results: Results, tmp_path: Path) -> None:
    write_study(results, tmp_path)
    table = pd.read_csv(tmp_path / "asymmetry.tsv", sep="\t")
    assert table["pair"].tolist() == ["Thalamus", "Caudate", "Putamen", "Amygdala"]
    assert np.isfinite(table.drop(columns=["pair", "family", "left", "right", "conclusion"])).all(
        axis=None
    )
    page = (tmp_path / "report.html").read_text()
    assert "Left against right" in page
    assert "left relatively lower in patients" in page
    assert "Nieuwenhuis" in page


@pytest.mark.parametrize(
    ("left", "right", "bare"),
    [
        ("Left-Putamen", "Right-Putamen", "Putamen"),
        ("ctx-lh-insula", "ctx-rh-insula", "ctx-insula"),
        ("Insula_L", "Insula_R", "Insula"),
        ("lh_G_front_middle", "rh_G_front_middle", "G_front_middle"),
    ],
)
def test_twins_are_told_by_their_names(left: str, right: str, bare: str) -> None:
    assert twins([right, "Brain-Stem", left, "Left-VentralDC"]) == {bare: (left, right)}


def test_what_two_regions_are_called_is_no_twin() -> None:
    assert twins(["Left-Insula", "Insula_L", "Right-Insula"]) == {}
