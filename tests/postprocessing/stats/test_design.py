"""The design file: what it refuses and how it says so; the designs that ship."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from fibromorph.cli import main
from fibromorph.errors import ConfigError
from fibromorph.postprocessing.stats import Design, load_design
from fibromorph.postprocessing.stats.designs.contract import measure_called
from fibromorph.postprocessing.stats.designs.starter import write_starter
from tests.postprocessing.stats.cohorts import Cohort, write, write_cohort

CONFIGS = Path(__file__).parents[3] / "configs"
GROUPS = "groups: {column: group, patients: FM, controls: HC}\n"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "design.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("covariates: [age]", r"design.yaml, key groups: the key must be there"),
        (GROUPS + "etiv: both", r"key etiv: .*covariate.*found: both"),
        (GROUPS + "inference: {alpha: 2}", r"key inference.alpha: .*less than 0.5.*found: 2"),
        (GROUPS + "colour: red", r"key colour: there is no such key; keys are title, "),
        (GROUPS + "covariats: [age]", r"key covariats: .*is it covariates\?"),
        (GROUPS + "site: {colunm: x}", r"key site.colunm: .*is it column\?"),
        ("groups: {column: pain, patients: yes, controls: no}", "put it in quotes"),
        ("groups: {column: g, patients: A, controls: A}", "two different levels"),
        (GROUPS + "sessions: {rule: '('}", "regular expression"),
        (GROUPS + "sessions: {rule: 'sub-.*'}", "must have a group"),
        (GROUPS + "sessions: {arm: arm}", "both of its levels"),
        (GROUPS + "covariates: [group]", "must not be a covariate"),
        ("just text", "mapping of keys"),
        ("a: [1", "readable YAML"),
    ],
)
def test_one_line_names_file_key_and_value(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_design(written(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_levels_may_be_numbers(tmp_path: Path) -> None:
    path = written(tmp_path, "groups: {column: Dx, patients: 1, controls: 0}")
    assert load_design(path).groups.patients == "1"


@pytest.mark.parametrize("name", ["stats-fibromyalgia", "stats-therapy"])
def test_designs_that_ship_show_every_key(name: str) -> None:
    path = CONFIGS / f"{name}.yaml"
    shown = yaml.safe_load(path.read_text())

    def missing(full: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
        gaps = []
        for key, value in full.items():
            if key not in found:
                gaps.append(key)
            elif isinstance(value, dict) and isinstance(found[key], dict):
                gaps += missing(value, found[key])
        return gaps

    full = load_design(path).model_dump(mode="json", exclude={"scores", "families"})
    assert missing(full, shown) == []


def test_users_names_are_mapped_to_the_contract() -> None:
    names = ("pi", "FIQR", "BDI-II", "ces-d", "PCS", "fm_years", "ppt", "MQS", "height")
    found = [measure.name if (measure := measure_called(n)) else None for n in names]
    assert found == [
        "pain_intensity",
        "fiqr",
        "depression_bdi",
        "depression_cesd",
        "catastrophising",
        "duration",
        "pressure_threshold",
        "medication",
        None,
    ]


def test_a_design_written_from_tables_fits_them(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "made.yaml"
    write_starter(path, [folder / "volumes.tsv"], folder / "participants.tsv")
    design = load_design(path)
    assert (design.groups.patients, design.groups.controls) == ("FM", "HC")
    assert design.covariates == ("age", "sex")
    assert set(design.scores) == {"pain_intensity", "depression_bdi"}
    with pytest.raises(ConfigError, match="never overwritten"):
        write_starter(path, [folder / "volumes.tsv"], folder / "participants.tsv")


def started(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, arms: tuple[str, str]
) -> tuple[Design, str]:
    """The design that `--init` writes for a trial with these arms, and what it prints."""
    people = write_cohort(folder, Cohort(sessions=("ses-01", "ses-02")))
    people["arm"] = people["arm"].replace(dict(zip(("therapy", "waiting"), arms, strict=True)))
    write(folder / "participants.tsv", people.rename(columns={"arm": name}))
    tables = ["--volumes", str(folder / "volumes.tsv")]
    tables += ["--participants", str(folder / "participants.tsv")]
    path = folder / "made.yaml"
    assert main(["stats", "--init", *tables, "--config", str(path)]) == 0
    return load_design(path), capsys.readouterr().out


@pytest.mark.parametrize("name", ["arm", "Treatment", "randomised_to", "allocation"])
def test_the_arms_of_a_trial_are_taken_over_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    design, printed = started(tmp_path, capsys, name, ("therapy", "waiting"))
    assert design.sessions.arm == name
    assert (design.sessions.treated, design.sessions.untreated) == ("therapy", "waiting")
    assert f"treated: {name} = therapy; untreated: waiting" in printed


def test_arms_that_nothing_tells_apart_are_named_and_left_to_the_user(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    design, printed = started(tmp_path, capsys, "arm", ("A", "B"))
    assert design.sessions.arm == ""
    assert "column arm found (A, B); if these are arms, set sessions.arm, treated" in printed
