"""`stats --init`: what it understands of a study's tables, and what it says of the rest."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from fibromorph.errors import TableError
from fibromorph.postprocessing.stats import load_design
from fibromorph.postprocessing.stats.designs.starter import write_starter
from tests.postprocessing.stats.cohorts import Cohort, write, write_cohort


def told(folder: Path, name: str = "design.yaml") -> str:
    """What `--init` prints."""
    lines = write_starter(folder / name, [folder / "volumes.tsv"], folder / "participants.tsv")
    return "\n".join(lines)


def people(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "participants.tsv", sep="\t", dtype=object, keep_default_na=False)


@pytest.mark.parametrize(
    ("patients", "controls"),
    [("FM", "HC"), ("FMS", "Kontrolle"), ("patient", "control"), ("Patientin", "gesunde Person")],
)
def test_groups_are_known_by_their_cells(folder: Path, patients: str, controls: str) -> None:
    table = people(folder)
    table["Einteilung"] = table["group"].map({"FM": patients, "HC": controls})
    write(folder / "participants.tsv", table.drop(columns="group"))
    told(folder)
    groups = load_design(folder / "design.yaml").groups
    assert (groups.column, groups.patients, groups.controls) == ("Einteilung", patients, controls)


def test_codes_are_groups_where_the_column_is_called_so(folder: Path) -> None:
    table = people(folder)
    table["Gruppe"] = table["group"].map({"FM": "1", "HC": "0"})
    write(folder / "participants.tsv", table.drop(columns="group").assign(note="no"))
    told(folder)
    groups = load_design(folder / "design.yaml").groups
    assert (groups.column, groups.patients, groups.controls) == ("Gruppe", "1", "0")


def test_codes_that_may_mean_anything_are_shown(folder: Path) -> None:
    table = people(folder)
    table["group"] = table["group"].map({"FM": "1", "HC": "2"})
    write(folder / "participants.tsv", table)
    with pytest.raises(TableError, match=r"no column tells patients.*found: group: 1, 2"):
        told(folder)


def test_age_and_sex_in_german(folder: Path) -> None:
    table = people(folder).rename(columns={"age": "Alter", "sex": "Geschlecht"})
    write(folder / "participants.tsv", table)
    assert "adjusted for: Alter, Geschlecht; eTIV: covariate" in told(folder)


def test_columns_that_are_not_used_are_named_with_the_reason(folder: Path) -> None:
    table = people(folder)
    table["vas"] = [str(10 * int(pain)) for pain in table["pain"]]
    table["pcs"] = ["-999", "12"] * 22
    table["cesd"] = ["12", "7,5"] * 22
    table["mqs"] = ["pregabalin", "none at all"] * 22
    table["nrs"], table["sex"], table["stai"] = table["pain"], "F", "40"
    table["remark"] = None
    table.loc[5, "remark"] = "moved"
    table.loc[3, "stai"], table.loc[2, "bdi"] = "41", "630"
    write(folder / "participants.tsv", table)
    last = told(folder).splitlines()[-1]
    assert last.startswith("not used: ")
    for reason in (
        "sex (F in everybody)",
        "remark (moved or nothing in everybody)",
        "bdi (630 in line 4, beyond depression_bdi's 0-63)",
        "vas (pain_intensity is taken from pain)",
        "nrs (pain_intensity is taken from pain)",
        "pcs (-999 in line 2: a missing code?)",
        "cesd (7,5 in line 3: a decimal comma)",
        "mqs (text)",
        "stai (no name that is known: name what is a score or covariate)",
    ):
        assert reason in last
    write(folder / "participants.tsv", table.drop(columns=["pain", "nrs"]))
    assert "vas (0-100, beyond pain_intensity's 0-10)" in told(folder, "again.yaml")


def test_scores_where_bids_has_them_are_read(folder: Path) -> None:
    (folder / "sub-001").mkdir()
    measured = {"session_id": ["ses-01"], "acq_time": ["n/a"], "pain": [4], "sleep": [2]}
    write(folder / "sub-001" / "sub-001_sessions.tsv", pd.DataFrame(measured))
    assert "read from sub-*_sessions.tsv: pain, sleep" in told(folder)


def test_who_fits_is_told(folder: Path) -> None:
    table = people(folder)
    stripped = table.assign(participant_id=[str(i + 1) for i in range(len(table))])
    write(folder / "participants.tsv", stripped)
    said = told(folder)
    assert "23 patients and 21 controls fit" in said
    assert "matched by number: 1 is sub-001" in said


def test_sessions_called_otherwise_are_told_before_the_analysis(tmp_path: Path) -> None:
    write_cohort(tmp_path, Cohort(sessions=("ses-01", "ses-02")))
    write(tmp_path / "participants.tsv", people(tmp_path).assign(session_id="baseline"))
    said = told(tmp_path)
    assert "does not fit yet: " in said
    assert "must name those of the scans (ses-01, ses-02) (found: baseline)" in said


def test_a_person_without_a_row_is_told_before_the_analysis(folder: Path) -> None:
    write(folder / "participants.tsv", people(folder).iloc[:-1])
    assert "every scan's participant must be in" in told(folder)
