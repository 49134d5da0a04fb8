"""Joining and excluding: who is counted where, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fibromorph.errors import ConfigError, FibromorphError, TableError
from fibromorph.postprocessing.stats import (
    Study,
    build_study,
    load_design,
    read_cohort,
    read_people,
)
from fibromorph.postprocessing.stats.designs.starter import guess_design
from fibromorph.postprocessing.stats.tables import read_participants
from tests.postprocessing.stats.cohorts import PUTAMEN, design, write

CONFIGS = Path(__file__).parents[3] / "configs"


def build(folder: Path, **changes: Any) -> Study:
    asked = design(**changes)
    cohort = read_cohort([folder / "volumes.tsv"], asked.ids)
    return build_study(asked, cohort, read_people(asked, folder / "participants.tsv"))[0]


def change(folder: Path, name: str, row: int, column: str, value: object) -> None:
    table = pd.read_csv(folder / name, sep="\t", dtype=str, keep_default_na=False)
    table.loc[row, column] = str(value)
    write(folder / name, table)


def test_the_flow_names_everybody_who_is_left_out(folder: Path) -> None:
    change(folder, "participants.tsv", 0, "age", "n/a")
    change(folder, "participants.tsv", 1, "group", "other")
    change(folder, "volumes.tsv", 2, "quality", 0.2)
    study = build(folder, exclusions={"participants": ["sub-004"]})
    left_out = {step.rule: step.left_out for step in study.flow if step.left_out}
    assert left_out == {
        "not excluded by name": ("sub-004",),
        "quality at least 0.5": ("sub-003",),
        "group known and FM or HC": ("sub-002",),
        "covariates and eTIV known": ("sub-001",),
    }
    assert study.flow[-1].remain == len(study.volumes) == 40


THALAMI = {"Thalamus": ("Left-Thalamus", "Right-Thalamus")}


def test_a_sum_of_regions_is_analysed_where_it_is_named(folder: Path) -> None:
    change(folder, "volumes.tsv", 5, "Left-Thalamus", "n/a")
    study = build(
        folder, combined=THALAMI, families={"a": ("Thalamus", "*-Putamen"), "b": ("*-T*",)}
    )
    assert study.families["a"] == ["Left-Putamen", "Right-Putamen", "Thalamus"]
    assert study.families["b"] == ["Left-Thalamus", "Right-Thalamus"]
    parts = [study.volumes[part] for part in THALAMI["Thalamus"]]
    pd.testing.assert_series_equal(
        study.volumes["Thalamus"], parts[0] + parts[1], check_names=False
    )
    assert study.volumes["Thalamus"].isna().sum() == 1
    assert study.sd is not None
    left, right, both = (study.sd[r].dropna() for r in (*THALAMI["Thalamus"], "Thalamus"))
    assert ((both > left) & (both < left + right)).loc[both.index].all()


@pytest.mark.parametrize(
    ("combined", "rule"),
    [
        ({"Left-Putamen": ("Left-Thalamus", "Right-Thalamus")}, "needs a name that"),
        ({"eTIV": ("Left-Thalamus", "Right-Thalamus")}, "needs a name that"),
        ({"Thalamus": ("Left-Thalamus",)}, "two or more"),
        ({"Thalamus": ("Left-Thalamus", "Left-Thalamus")}, "each once"),
        ({"Thalamus": ("Left-Thalamus", "Thalamus-R")}, "must be a region of the volume table"),
    ],
)
def test_a_sum_that_cannot_be_is_refused(
    folder: Path, combined: dict[str, tuple[str, ...]], rule: str
) -> None:
    with pytest.raises(ConfigError, match=rule) as error:
        build(folder, combined=combined)
    assert f"combined.{next(iter(combined))}" in str(error.value)


def test_a_sum_that_no_family_names_is_not_forgotten(folder: Path) -> None:
    with pytest.raises(ConfigError, match="must be named in a family") as error:
        build(folder, combined=THALAMI)
    assert "Thalamus" in str(error.value)


def test_missing_volumes_stay_and_are_counted(folder: Path) -> None:
    change(folder, "volumes.tsv", 5, PUTAMEN, "n/a")
    study = build(folder)
    assert len(study.volumes) == 44
    assert "Missing volumes, counted by region in the tables: 1." in study.notes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"covariates": ["agee"]}, r"covariates.*must have the column.*agee"),
        (
            {"groups": {"column": "group", "patients": "MS", "controls": "HC"}},
            r"groups.patients: the level must be in column group.*FM, HC.*MS",
        ),
        ({"exclusions": {"participants": ["sub-999"]}}, r"exclusions.participants.*sub-999"),
        ({"families": {"a": ["Left-Nowhere"]}}, r"families.a.*must be in the table.*Nowhere"),
        ({"families": {"a": ["Left-Thalamos"]}}, r"families.a.*is it Left-Thalamus\?"),
        (
            {"families": {"a": ["Left-*"], "b": ["*-Putamen"]}},
            r"families.b.*one family only, this one is in a too.*Left-Putamen",
        ),
        ({"sessions": {"follow_up": ["ses-02"]}}, r"sessions.*among those of the scans.*ses-02"),
    ],
)
def test_what_is_refused(folder: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(FibromorphError, match=message):
        build(folder, **changes)


def test_errors_about_the_design_name_its_file(folder: Path) -> None:
    path = folder / "fm.yaml"
    text = "groups: {column: group, patients: MS, controls: HC}\n"
    for more, key in (("", "groups.patients"), ("covariates: [height]", "covariates")):
        path.write_text(text + more)
        text = text.replace("MS", "FM")
        asked = load_design(path)
        cohort = read_cohort([folder / "volumes.tsv"], asked.ids)
        with pytest.raises(FibromorphError, match=re.escape(f"{path}, key {key}")):
            build_study(asked, cohort, read_people(asked, folder / "participants.tsv"))


def test_a_score_out_of_range_names_the_cell(folder: Path) -> None:
    change(folder, "participants.tsv", 3, "pain", 70)
    with pytest.raises(TableError, match=r"line 5, column pain: .*within 0 to 10.*found: 70"):
        build(folder, scores={"pain_intensity": "pain"})


def test_an_age_that_nobody_has_is_named(folder: Path) -> None:
    change(folder, "participants.tsv", 3, "age", 999)
    with pytest.raises(TableError, match=r"participants\.tsv.*age.*0 to 120 years.*999"):
        build(folder)


def test_a_level_in_two_spellings_is_named(folder: Path) -> None:
    change(folder, "participants.tsv", 3, "group", "fm")
    with pytest.raises(TableError, match=r"spelled alike"):
        build(folder)


@pytest.mark.parametrize(
    ("spelled", "message"),
    [("f", "spelled alike in all rows"), ("w", "3 levels.*found: F, M, diverse, w")],
)
def test_each_spelling_of_sex_would_be_a_sex_of_its_own(
    folder: Path, spelled: str, message: str
) -> None:
    change(folder, "participants.tsv", 3, "sex", spelled)
    change(folder, "participants.tsv", 4, "sex", "diverse")
    with pytest.raises(TableError, match=rf"participants\.tsv, column sex: .*{message}"):
        build(folder, covariates=["age", "sex"])
    build(folder, covariates=["age", "sex"], table={"categorical": ["sex"]})


def test_a_sex_in_numbers_has_two_of_them(folder: Path) -> None:
    table = pd.read_csv(folder / "participants.tsv", sep="\t", dtype=str)
    write(folder / "participants.tsv", table.assign(sex=table["sex"].map({"F": "0", "M": "1"})))
    assert "sex" in build(folder, covariates=["age", "sex"]).covariates
    change(folder, "participants.tsv", 3, "sex", "9")
    with pytest.raises(TableError, match=r"column sex: .*missing_codes.*found: 0, 1, 9"):
        build(folder, covariates=["age", "sex"])
    asked = build(folder, covariates=["age", "sex"], table={"missing_codes": ["9"]})
    assert "sub-004" not in asked.volumes.index.get_level_values(0)


def test_a_code_is_one_however_its_number_is_written(folder: Path) -> None:
    for row, text in enumerate(("-999", "-999.0", "-9.99e2")):
        change(folder, "participants.tsv", row, "age", text)
    study = build(folder, table={"missing_codes": ["-999"]})
    (step,) = [step for step in study.flow if step.rule == "covariates and eTIV known"]
    assert step.left_out == ("sub-001", "sub-002", "sub-003")


def test_head_sizes_in_another_unit_are_refused(folder: Path) -> None:
    table = pd.read_csv(folder / "volumes.tsv", sep="\t", keep_default_na=False)
    write(folder / "volumes.tsv", table.assign(eTIV=table["eTIV"].astype(float) * 1000))
    with pytest.raises(TableError, match=r"column eTIV: .*its median 4000 at most"):
        build(folder)
    build(folder, etiv="none")


def test_too_few_are_told_with_who_was_left_out(folder: Path) -> None:
    table = pd.read_csv(folder / "participants.tsv", sep="\t", dtype=str, keep_default_na=False)
    patients = table.index[table["group"] == "FM"]
    table.loc[patients[4:], "age"] = "n/a"
    write(folder / "participants.tsv", table)
    told = f"of both groups: {len(patients) - 4} by 'covariates and eTIV known'"
    with pytest.raises(TableError, match=rf"5 patients .*{told}.*found: 4"):
        build(folder)


def test_whom_a_person_keeps_stays_whatever_the_quality(folder: Path) -> None:
    change(folder, "volumes.tsv", 2, "quality", 0.2)
    assert "sub-003" not in build(folder).volumes.index.get_level_values(0)
    head = "participant_id\tsession_id\texclude\treason"
    (folder / "exclusions.tsv").write_text(f"{head}\nsub-003\tn/a\tno\tlooked at\n")
    assert "sub-003" in build(folder).volumes.index.get_level_values(0)


def test_a_scan_of_nobody(folder: Path) -> None:
    lines = (folder / "participants.tsv").read_text().splitlines()
    (folder / "participants.tsv").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(TableError, match=r"add the row, or list it.*sub-044"):
        build(folder)
    assert len(build(folder, exclusions={"participants": ["sub-044"]}).volumes) == 43


def test_ids_that_a_spreadsheet_stripped_are_matched_by_number(folder: Path) -> None:
    table = pd.read_csv(folder / "participants.tsv", sep="\t", keep_default_na=False)
    stripped = table.assign(participant_id=[str(i + 1) for i in range(len(table))])
    write(folder / "participants.tsv", stripped)
    study = build(folder)
    assert study.participants == [f"sub-{i + 1:03d}" for i in range(44)]
    assert any("matched by number: 1 is sub-001, 2 is sub-002" in note for note in study.notes)
    # 1 and 01 are two people then, and who is sub-001 is not known.
    stripped.loc[1, "participant_id"] = "01"
    write(folder / "participants.tsv", stripped)
    with pytest.raises(TableError, match=r"every scan's participant must be in.*sub-001, sub-002"):
        build(folder)


def test_a_constant_covariate(folder: Path) -> None:
    table = pd.read_csv(folder / "participants.tsv", sep="\t", keep_default_na=False)
    write(folder / "participants.tsv", table.assign(sex="F", age=50))
    study = build(folder, covariates=["age", "sex", "bdi"])
    assert list(study.covariates) == ["bdi"]
    assert study.design.covariates == ("bdi",)
    assert "sex is F in everybody analysed: not adjusted for it." in study.notes
    assert "age is 50 in everybody analysed: not adjusted for it." in study.notes


def test_the_design_that_ships_fits_a_study_of_women(folder: Path) -> None:
    table = pd.read_csv(folder / "participants.tsv", sep="\t", keep_default_na=False)
    table = table.rename(columns={"pain": "pi", "bdi": "cesd"})
    write(folder / "participants.tsv", table.assign(sex="F", pcs=table["cesd"]))
    shipped = load_design(CONFIGS / "stats-fibromyalgia.yaml")
    asked = shipped.model_copy(update={"families": {"regions": ("*",)}})
    cohort = read_cohort([folder / "volumes.tsv"], asked.ids)
    study, _ = build_study(asked, cohort, read_people(asked, folder / "participants.tsv"))
    assert study.design.covariates == ("age",)


def test_a_covariate_that_says_nothing_leaves_nobody_out(folder: Path) -> None:
    table = pd.read_csv(folder / "participants.tsv", sep="\t", dtype=object, keep_default_na=False)
    table["sex"] = ["F"] * 43 + ["n/a"]
    write(folder / "participants.tsv", table)
    assert len(build(folder).volumes) == 44
    # The only man is left out for another reason.
    table.loc[0, ["sex", "age"]] = "M", "n/a"
    write(folder / "participants.tsv", table)
    study = build(folder)
    assert (len(study.volumes), list(study.covariates)) == (42, ["age"])
    assert "sex is F in everybody analysed: not adjusted for it." in study.notes


def test_a_constant_region(folder: Path) -> None:
    volumes = pd.read_csv(folder / "volumes.tsv", sep="\t", keep_default_na=False)
    write(folder / "volumes.tsv", volumes.assign(**{"Left-Caudate": 3.5}))
    with pytest.raises(TableError, match=r"volume must vary.*Left-Caudate: always 3.5 ml"):
        build(folder)


def test_too_few_people(folder: Path) -> None:
    names = [f"sub-{i:03d}" for i in range(1, 20)]
    with pytest.raises(TableError, match=r"needs 5 patients.*found: 4"):
        build(folder, exclusions={"participants": names})


def test_no_head_size(folder: Path) -> None:
    table = pd.read_csv(folder / "volumes.tsv", sep="\t", keep_default_na=False)
    write(folder / "volumes.tsv", table.drop(columns="eTIV"))
    with pytest.raises(TableError, match="set etiv: none"):
        build(folder)
    assert build(folder, etiv="none").etiv is None


def test_skull_stripped_scans_have_no_head_size(folder: Path) -> None:
    table = pd.read_csv(folder / "volumes.tsv", sep="\t", keep_default_na=False)
    write(folder / "volumes.tsv", table.assign(eTIV="n/a"))
    with pytest.raises(TableError, match="skull-stripped scans lack; set etiv: none"):
        build(folder)
    guessed = guess_design(
        read_cohort([folder / "volumes.tsv"]), read_participants(folder / "participants.tsv")
    )
    assert guessed.etiv == "none"


def test_a_person_of_both_groups(folder: Path) -> None:
    people = pd.read_csv(folder / "participants.tsv", sep="\t", dtype=object, keep_default_na=False)
    again = people.iloc[[0]].assign(group="HC", session_id="ses-2")
    both = pd.concat([people.assign(session_id="ses-1"), again])
    write(folder / "participants.tsv", both)
    with pytest.raises(TableError, match=r"line 46, column group.*same in all rows.*sub-001: HC"):
        build(folder)


def test_a_region_that_differs_between_groups_alone(folder: Path) -> None:
    table = pd.read_csv(folder / "volumes.tsv", sep="\t", keep_default_na=False)
    write(folder / "volumes.tsv", table.assign(**{PUTAMEN: [5.0] * 23 + [6.0] * 21}))
    with pytest.raises(TableError, match=r"must vary within groups.*Left-Putamen"):
        build(folder)


def test_covariates_that_follow_from_each_other(folder: Path) -> None:
    from fibromorph.postprocessing.stats import build_model

    table = pd.read_csv(folder / "participants.tsv", sep="\t", keep_default_na=False)
    write(folder / "participants.tsv", table.assign(months=table["age"] * 12))
    study = build(folder, covariates=["age", "months"])
    with pytest.raises(TableError, match=r"must not follow from the others.*months"):
        build_model(study)


def test_hard_volumes_on_request(folder: Path) -> None:
    soft, hard = build(folder), build(folder, volumes="hard")
    assert soft.other_volumes is not None
    assert hard.volumes.equals(soft.other_volumes)


def test_unknown_session_of_baseline(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"sessions.*ses-09"):
        build(folder, sessions={"baseline": "ses-09"})


def test_a_region_known_in_too_few_for_the_model(folder: Path) -> None:
    table = pd.read_csv(folder / "volumes.tsv", sep="\t", dtype=str, keep_default_na=False)
    table.loc[~table.index.isin([*range(5), *range(30, 36)]), PUTAMEN] = "n/a"
    write(folder / "volumes.tsv", table)
    with pytest.raises(TableError, match=r"needs 12 people for its 7.*Left-Putamen: 11"):
        build(folder, covariates=["age", "sex", "bdi", "pain"])


def test_scores_of_sessions_that_no_scan_has(folder: Path) -> None:
    table = pd.read_csv(folder / "participants.tsv", sep="\t", dtype=str, keep_default_na=False)
    write(folder / "participants.tsv", table.assign(session_id="ses-pre"))
    build(folder)
    with pytest.raises(TableError, match=r"pain belong to a session.*found: ses-pre"):
        build(folder, scores={"pain_intensity": "pain"})


def test_a_session_is_left_for_the_baseline(folder: Path) -> None:
    table = pd.read_csv(folder / "volumes.tsv", sep="\t", dtype=str, keep_default_na=False)
    for name in ("volumes.tsv", "volumes_sd.tsv", "volumes_hard.tsv"):
        table = pd.read_csv(folder / name, sep="\t", dtype=str, keep_default_na=False)
        write(folder / name, table.assign(session_id="ses-1"))
    with pytest.raises(ConfigError, match=r"left for the baseline.*found: ses-1"):
        build(folder, sessions={"follow_up": ["ses-1"]})


def test_nobody_is_left(folder: Path) -> None:
    with pytest.raises(TableError, match=r"left out by 'quality at least 0.95'.*sub-001"):
        build(folder, exclusions={"quality_below": 0.95})


def test_a_covariate_named_like_a_level_of_another(folder: Path) -> None:
    table = pd.read_csv(folder / "participants.tsv", sep="\t", dtype=str, keep_default_na=False)
    table["dose"] = ["low", "high"] * 22
    write(folder / "participants.tsv", table.assign(**{"dose[mg]": table["bdi"]}))
    study = build(folder, covariates=["dose", "dose[mg]"])
    assert list(study.columns_of(["dose[mg]"])) == ["dose[mg]"]
    assert list(study.columns_of(["dose"])) == ["dose[low]"]
