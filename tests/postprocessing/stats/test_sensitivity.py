"""The same contrast under other choices."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from fibromorph.postprocessing.stats import Results
from tests.postprocessing.stats.cohorts import PUTAMEN, Cohort, write, write_cohort
from tests.postprocessing.stats.conftest import run


def test_every_combination_of_choices_once(results: Results) -> None:
    table = results.sensitivity
    choices = table[["etiv", "covariates", "exclusions", "volumes", "model"]]
    part = choices[table["region"] == PUTAMEN]
    assert not part.duplicated().any()
    assert len(part) == part.nunique().prod()
    assert {"covariate", "residual", "power"} == set(part["etiv"])
    assert {"soft", "hard"} == set(part["volumes"])
    assert {"least squares", "weighted by sd_ml"} == set(part["model"])


def test_the_designs_own_choice_repeats_the_main_result(results: Results) -> None:
    own = results.sensitivity[results.sensitivity["designed"]].set_index("region")
    main = results.groups
    assert len(own) == len(main)
    for column in ("adjusted_difference_ml", "p", "hedges_g"):
        assert (own[column] - main[column]).abs().max() < 1e-9


def test_a_region_whose_variation_is_one_person_s(folder: Path) -> None:
    table = pd.read_csv(folder / "volumes.tsv", sep="\t", dtype=object, keep_default_na=False)
    write(folder / "volumes.tsv", table.assign(**{PUTAMEN: ["5.1"] + ["5.0"] * 43}))
    found = run(folder).sensitivity
    assert "Left-Caudate" in set(found["region"])
    soft = found[(found["region"] == PUTAMEN) & (found["volumes"] == "soft")]
    assert set(soft["exclusions"]) < set(found["exclusions"])
    assert (found["se_ml"] > 0).all()


def test_shares_that_agree(results: Results) -> None:
    shares = results.sensitivity.groupby("region")[["share_same_sign", "share_significant"]].first()
    assert list(shares.loc[PUTAMEN]) == [1.0, 1.0]
    assert (shares["share_significant"] <= shares["share_same_sign"]).all()


def test_methods_that_need_etiv_are_no_choice_where_it_is_mostly_missing(folder: Path) -> None:
    volumes = pd.read_csv(folder / "volumes.tsv", sep="\t", dtype=str)
    volumes.loc[volumes.index[3:], "eTIV"] = "n/a"
    volumes.to_csv(folder / "volumes.tsv", sep="\t", index=False)
    table = run(folder, etiv="none").sensitivity
    assert set(table["etiv"]) == {"none"}


def test_methods_that_need_etiv_leave_those_out_whose_is_missing(folder: Path) -> None:
    volumes = pd.read_csv(folder / "volumes.tsv", sep="\t", dtype=str)
    volumes.loc[volumes.index[:3], "eTIV"] = "n/a"
    volumes.to_csv(folder / "volumes.tsv", sep="\t", index=False)
    found = run(folder, etiv="none")
    table = found.sensitivity[found.sensitivity["exclusions"] == "as designed"]
    counted = (table["n_patients"] + table["n_controls"]).groupby(table["etiv"]).max()
    assert dict(counted) == {"none": 44, "covariate": 41, "residual": 41, "power": 41}
    assert not any("follow from the others" in note for note in found.notes)


def test_a_scan_of_unknown_error_is_left_out_of_what_is_weighted(folder: Path) -> None:
    errors = pd.read_csv(folder / "volumes_sd.tsv", sep="\t", dtype=str, keep_default_na=False)
    errors.loc[errors.index[0], PUTAMEN] = "n/a"
    errors.to_csv(folder / "volumes_sd.tsv", sep="\t", index=False)
    found = run(folder)
    table = found.sensitivity[found.sensitivity["region"] == PUTAMEN]
    by_model = table[table["exclusions"] == "as designed"].groupby("model")["n_patients"].first()
    assert by_model["least squares"] == 23
    assert by_model["weighted by sd_ml"] == 22
    assert found.groups["weighted_difference_ml"].notna().all()
    assert any("error of 1 volumes is not known" in note for note in found.notes)


def test_exclusions_that_leave_too_few_are_no_choice(tmp_path: Path) -> None:
    write_cohort(tmp_path, Cohort(patients=5, controls=12))
    volumes = pd.read_csv(tmp_path / "volumes.tsv", sep="\t", keep_default_na=False)
    volumes.loc[0, "quality"] = 0.6
    write(tmp_path / "volumes.tsv", volumes)
    found = run(tmp_path, covariates=["age"])
    assert "lowest tenth by quality out" not in set(found.sensitivity["exclusions"])
    assert any("lowest tenth by quality out: a comparison needs 5" in n for n in found.notes)


def test_another_limit_that_leaves_nobody_out_is_no_other_choice(folder: Path) -> None:
    found = run(folder, exclusions={"quality_below": 0.5})
    assert set(found.sensitivity["exclusions"]) == {"as designed", "without influential"}


@pytest.mark.parametrize(("age", "sex"), [("Alter", "Geschlecht"), ("age_at_scan", "sexe")])
def test_age_and_sex_are_known_by_other_names(folder: Path, age: str, sex: str) -> None:
    table = pd.read_csv(folder / "participants.tsv", sep="\t", keep_default_na=False)
    write(folder / "participants.tsv", table.rename(columns={"age": age, "sex": sex}))
    found = run(folder, covariates=[age, sex, "pain"])
    kinds = {"as designed", "without pain", "age and sex only"}
    assert set(found.sensitivity["covariates"]) <= kinds
    assert len(set(found.sensitivity["covariates"])) == 2


def test_a_level_of_one_person_whose_scan_is_poor(tmp_path: Path) -> None:
    people = write_cohort(tmp_path, Cohort())
    volumes = pd.read_csv(tmp_path / "volumes.tsv", sep="\t", keep_default_na=False)
    people.loc[0, "sex"], volumes.loc[0, "quality"] = "O", 0.6
    write(tmp_path / "participants.tsv", people)
    write(tmp_path / "volumes.tsv", volumes)
    found = run(tmp_path, covariates=["age", "sex"])
    strict = found.sensitivity["exclusions"] == "lowest tenth by quality out"
    assert set(found.sensitivity[strict]["n_patients"]) == {22}


def test_without_a_factor_all_its_levels_are_gone(tmp_path: Path) -> None:
    people = write_cohort(tmp_path, Cohort())
    n = len(people)
    people["school"] = ["a", "b", "c"][:1] * n
    people.loc[people["group"] == "FM", "school"] = ["c"] * 20 + ["a", "b", "a"]
    people.loc[people["group"] == "HC", "school"] = ["a", "b"] * 10 + ["c"]
    write(tmp_path / "participants.tsv", people)
    found = run(tmp_path, covariates=["age", "school"])
    (school,) = (c for c in found.collinear if c.name == "school")
    assert school.column == "school[c]"
    assert set(found.otherwise) >= {"school"}
    assert {"without school"} <= set(found.sensitivity["covariates"])
    own = found.sensitivity[found.sensitivity["designed"]].iloc[0]
    without = found.sensitivity[found.sensitivity["covariates"] == "without school"].iloc[0]
    assert without["adjusted_difference_ml"] != own["adjusted_difference_ml"]


def test_a_model_without_covariates_is_called_so(folder: Path) -> None:
    table = pd.read_csv(folder / "participants.tsv", sep="\t", keep_default_na=False)
    write(folder / "participants.tsv", table.rename(columns={"age": "Alter_bei_Beginn"}))
    found = run(folder, covariates=["Alter_bei_Beginn"])
    assert set(found.sensitivity["covariates"]) == {"as designed", "no covariates"}


@pytest.mark.parametrize("found", [0, 1, 3])
def test_a_structure_that_wins_a_voxel_in_hardly_anybody(found: int, folder: Path) -> None:
    hard = pd.read_csv(folder / "volumes_hard.tsv", sep="\t", keep_default_na=False)
    hard.loc[found:, PUTAMEN] = 0
    write(folder / "volumes_hard.tsv", hard)
    results = run(folder, inference={"permutations": 200})
    table = results.sensitivity
    assert any(f"too few are known: {PUTAMEN}." in note for note in results.notes)
    assert set(table[table["region"] == PUTAMEN]["volumes"]) == {"soft"}
    assert set(table["volumes"]) == {"soft", "hard"}


@pytest.mark.parametrize("method", ["none", "covariate"])
def test_one_person_alone_at_a_site_costs_no_volumes(method: str, tmp_path: Path) -> None:
    people = write_cohort(tmp_path, Cohort(sites=("a", "b")))
    people.loc[0, "site"] = "c"
    write(tmp_path / "participants.tsv", people)
    table = run(tmp_path, site={"column": "site", "method": method}).sensitivity
    assert set(table[table["region"] == PUTAMEN]["volumes"]) == {"soft", "hard"}
