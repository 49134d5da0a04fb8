"""Scores and volumes: in whom, how strongly, and what may not be said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fibromorph.postprocessing.stats import Results, build_model
from fibromorph.postprocessing.stats.models.permutation import freedman_lane
from fibromorph.postprocessing.stats.report import write_study
from fibromorph.postprocessing.stats.scores.associations import associate
from fibromorph.postprocessing.stats.scores.correlation import (
    linearised,
    partial_correlation,
    percentage_bend,
)
from fibromorph.postprocessing.stats.scores.scope import scope_of
from tests.postprocessing.stats.cohorts import write
from tests.postprocessing.stats.conftest import built, run


def test_pain_that_all_controls_lack_is_asked_of_patients_only(results: Results) -> None:
    table = results.associations
    assert set(table[table["score"] == "pain_intensity"]["group"]) == {"patients"}
    (scope,) = [s for s in results.scopes if s.name == "pain_intensity"]
    assert "every control has 0" in scope.reason


def test_a_score_of_both_groups_compares_their_slopes(results: Results) -> None:
    table = results.associations
    both = table[(table["score"] == "depression_bdi") & (table["group"] == "both")]
    assert set(table[table["score"] == "depression_bdi"]["group"]) == {
        "patients",
        "controls",
        "both",
    }
    assert both["p_slope_difference"].between(0, 1).all()
    assert set(both["method"]) == {"pearson", "spearman", "percentage_bend"}


def test_questionnaires_of_the_illness_are_never_asked_of_controls(folder: Path) -> None:
    scope = scope_of(built(folder, scores={"fiq": "age"})[0], "fiq")
    assert scope.groups == ("patients",)
    assert "by definition" in scope.reason


def test_a_planted_correlation_comes_out(folder: Path) -> None:
    people = pd.read_csv(folder / "participants.tsv", sep="\t", keep_default_na=False)
    volumes = pd.read_csv(folder / "volumes.tsv", sep="\t", keep_default_na=False)
    patients = people["group"] == "FM"
    pain = people["pain"].to_numpy(float) - 6
    volumes.loc[patients, "Right-Caudate"] -= 0.12 * pain[patients]
    write(folder / "volumes.tsv", volumes)
    study, _ = built(folder, scores={"pain_intensity": "pain"})
    table = associate(study, build_model(study), [scope_of(study, "pain_intensity")])
    row = table[(table["region"] == "Right-Caudate") & (table["method"] == "pearson")].iloc[0]
    assert row["p_fwe"] <= 0.05
    assert row["ci_high"] < 0
    assert row["slope_ml"] == pytest.approx(-0.12, abs=0.05)
    assert abs(row["r_corrected"]) > abs(row["r"])


def test_a_covariate_that_says_who_is_ill_is_shown_with_and_without(folder: Path) -> None:
    found = run(folder, covariates=["age", "sex", "bdi"])
    (covariate,) = found.collinear
    assert covariate.name == "bdi"
    assert covariate.d > 1.5
    assert "cannot tell the two apart" in covariate.sentence
    with_it = found.groups["g_ci_high"] - found.groups["g_ci_low"]
    without = found.otherwise["bdi"]["g_ci_high"] - found.otherwise["bdi"]["g_ci_low"]
    assert (with_it > without).all()
    assert "without bdi" in set(found.sensitivity["covariates"])


def test_a_score_that_says_who_is_ill_is_shown_in_the_model_as_well(folder: Path) -> None:
    found = run(folder, scores={"depression_bdi": "bdi", "pain_intensity": "pain"})
    (score,) = found.collinear
    assert score.name == "depression_bdi"
    assert "not in the model of the groups" in score.sentence
    with_it = found.otherwise["depression_bdi"]
    assert (with_it["g_ci_high"] - with_it["g_ci_low"]).mean() > (
        found.groups["g_ci_high"] - found.groups["g_ci_low"]
    ).mean()


def test_a_score_is_not_adjusted_for_itself(folder: Path) -> None:
    alone = run(folder, scores={"depression_bdi": "bdi"})
    also = run(folder, covariates=["age", "sex", "bdi"], scores={"depression_bdi": "bdi"})
    assert also.associations["r"].to_numpy() == pytest.approx(alone.associations["r"].to_numpy())
    assert "is a covariate, too" in also.scopes[0].reason


def test_a_covariate_that_is_another_one_in_patients_does_no_harm(folder: Path) -> None:
    people = pd.read_csv(folder / "participants.tsv", sep="\t", keep_default_na=False)
    ill = people["group"] == "FM"
    people["hand"] = np.where(ill, people["sex"].map({"F": "R", "M": "L"}), "R")
    people.loc[people.index[~ill][::3], "hand"] = "L"
    write(folder / "participants.tsv", people)
    scores = {"pain_intensity": "pain"}
    once = run(folder, covariates=["age", "sex"], scores=scores).associations
    twice = run(folder, covariates=["age", "sex", "hand"], scores=scores).associations
    pearson = twice["method"] == "pearson"
    assert twice["r"][pearson].to_numpy() == pytest.approx(once["r"][pearson].to_numpy())
    assert (twice["df"] == once["df"]).all()


def test_too_few_with_a_score_are_counted_in_words(folder: Path) -> None:
    people = pd.read_csv(folder / "participants.tsv", sep="\t", keep_default_na=False)
    people["pain"] = people["pain"].astype(object)
    people.loc[people.index[7:23], "pain"] = "n/a"
    write(folder / "participants.tsv", people)
    found = run(folder, scores={"pain_intensity": "pain"})
    assert found.associations.empty
    assert "nothing is computed in patients, because 7 have the score" in found.scopes[0].reason


def test_a_region_that_too_few_with_the_score_have_ends_nothing(folder: Path) -> None:
    volumes = pd.read_csv(folder / "volumes.tsv", sep="\t", keep_default_na=False)
    volumes["Left-Amygdala"] = volumes["Left-Amygdala"].astype(object)
    volumes.loc[volumes.index[5:23], "Left-Amygdala"] = "n/a"
    write(folder / "volumes.tsv", volumes)
    scores = {"pain_intensity": "pain"}
    found = run(folder, scores=scores)
    table = found.associations
    few = table["region"] == "Left-Amygdala"
    assert (table.loc[few, "n"] == 5).all()
    assert table.loc[few, ["r", "p", "p_permutation", "p_fdr", "p_fwe"]].isna().all(axis=None)
    assert table.loc[~few, ["r", "p", "p_permutation", "p_fdr", "p_fwe"]].notna().all(axis=None)
    write_study(found, folder / "out")
    assert "nan" not in (folder / "out" / "associations.tsv").read_text()


def test_a_region_that_too_few_with_a_collinear_score_have_ends_nothing(folder: Path) -> None:
    people = pd.read_csv(folder / "participants.tsv", sep="\t", keep_default_na=False)
    people["bdi"] = people["bdi"].astype(object)
    people.loc[people.index[6:18], "bdi"] = "n/a"
    write(folder / "participants.tsv", people)
    volumes = pd.read_csv(folder / "volumes.tsv", sep="\t", keep_default_na=False)
    volumes["Left-Amygdala"] = volumes["Left-Amygdala"].astype(object)
    volumes.loc[[*volumes.index[:5], *volumes.index[18:21]], "Left-Amygdala"] = "n/a"
    write(folder / "volumes.tsv", volumes)
    found = run(folder, scores={"depression_bdi": "bdi"})
    table = found.otherwise["depression_bdi"]
    assert table["hedges_g"].isna().to_dict() == {r: r == "Left-Amygdala" for r in table.index}
    write_study(found, folder / "out")
    assert "nan" not in (folder / "out" / "report.html").read_text().split("</style>")[-1]


def test_a_covariate_and_its_square_are_one_in_ranks() -> None:
    rng = np.random.default_rng(3)
    age, x, y = rng.uniform(20, 70, 30), rng.standard_normal(30), rng.standard_normal(30)
    once = partial_correlation(x, y, age[:, None], "spearman", 0.95)
    both = partial_correlation(x, y, np.column_stack([age, age**2]), "spearman", 0.95)
    assert (both.r, both.df) == pytest.approx((once.r, once.df))
    assert linearised(x[:, None], y, np.column_stack([age, age**2]), "spearman")[2].shape[1] == 1


def test_permutations_are_of_what_is_correlated(results: Results) -> None:
    table = results.associations
    for method in ("pearson", "spearman", "percentage_bend"):
        of_method = table[table["method"] == method]
        assert np.abs(of_method["p_permutation"] - of_method["p"]).mean() < 0.08
    ranks, lines = (
        table.loc[table["method"] == m, "p_permutation"].to_numpy() for m in ("spearman", "pearson")
    )
    assert np.abs(ranks - lines).max() > 0.1


def test_false_discovery_rates_rest_on_the_permutations(results: Results) -> None:
    table = results.associations
    for _, family in table.groupby(["score", "group", "method", "family"]):
        ordered = family.sort_values("p_permutation")
        # Benjamini and Hochberg: the largest is as it is, none is below its own p.
        assert ordered["p_fdr"].iloc[-1] == ordered["p_permutation"].iloc[-1]
        assert (ordered["p_fdr"] >= ordered["p_permutation"]).all()


def test_a_robust_correlation_is_not_moved_by_one_person() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(40)
    y = 0.8 * x + 0.3 * rng.standard_normal(40)
    before = percentage_bend(x, y)
    x[0], y[0] = 30.0, -30.0
    assert percentage_bend(x, y) == pytest.approx(before, abs=0.12)
    none = np.empty((40, 0))
    assert partial_correlation(x, y, none, "pearson", 0.95).r < 0


def test_intervals_of_ranks_are_wider() -> None:
    rng = np.random.default_rng(1)
    x, covariates = rng.standard_normal(50), np.empty((50, 0))
    y = x + rng.standard_normal(50)
    pearson = partial_correlation(x, y, covariates, "pearson", 0.95)
    ranks = partial_correlation(np.exp(x), np.exp(y), covariates, "spearman", 0.95)
    assert ranks.ci_low < ranks.r < ranks.ci_high
    assert np.arctanh(ranks.ci_high) - np.arctanh(ranks.ci_low) > np.arctanh(
        pearson.ci_high
    ) - np.arctanh(pearson.ci_low)


def test_bent_residuals_pay_for_their_covariates() -> None:
    rng = np.random.default_rng(2)
    small, n = 0, 23
    for _ in range(60):
        covariates = rng.standard_normal((n, 10))
        volumes, score = rng.standard_normal((n, 6)), rng.standard_normal(n)
        outcomes, contrast, nuisance = linearised(volumes, score, covariates, "percentage_bend")
        nuisance = np.column_stack([np.ones(n), nuisance])
        found = freedman_lane(outcomes, contrast, nuisance, rng, 200, lambda _: None)
        small += int((found.p <= 0.05).sum())
    # 0.124 where the covariates are forgotten once they are taken out.
    assert small / 360 < 0.085
