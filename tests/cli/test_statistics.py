"""`fibromorph stats` and `fibromorph power`, as a user calls them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fibromorph.cli import main
from tests.postprocessing.stats.cohorts import Cohort, write_cohort

DESIGN = """\
groups: {column: group, patients: FM, controls: HC}
families: {putamen: ['*-Putamen']}
inference: {permutations: 200}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_cohort(tmp_path, Cohort())
    (tmp_path / "design.yaml").write_text(DESIGN)
    return tmp_path


def call(folder: Path, *more: str) -> int:
    tables = ["--volumes", str(folder / "volumes.tsv"), "--participants"]
    tables += [str(folder / "participants.tsv"), "--config", str(folder / "design.yaml")]
    return main(["stats", *tables, *more])


def test_tables_in_report_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(folder, "--out", str(folder / "out")) == 0
    assert "23 patients, 21 controls, 2 regions: 1 lower" in capsys.readouterr().out
    assert (folder / "out" / "report.html").exists()


def test_wrong_input_leaves_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (folder / "participants.tsv").read_text().replace("sub-003\tFM\t", "sub-003\tFM\tx")
    (folder / "participants.tsv").write_text(text)
    assert call(folder, "--out", str(folder / "out")) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "line 4, column age" in error
    assert not (folder / "out").exists()


@pytest.mark.parametrize("name", ["volumes.tsv", "participants.tsv", "design.yaml"])
def test_a_file_that_is_not_there(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / name).unlink()
    assert call(folder, "--out", str(folder / "out")) == 2
    assert name in capsys.readouterr().err


def test_out_is_needed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(folder) == 2
    assert "--out" in capsys.readouterr().err


def test_out_must_be_a_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(folder, "--out", str(folder / "design.yaml")) == 2
    assert "results need a folder to go into" in capsys.readouterr().err


def test_init_writes_a_design_that_runs(folder: Path) -> None:
    (folder / "design.yaml").unlink()
    assert call(folder, "--init") == 0
    text = (folder / "design.yaml").read_text().replace("10000", "100")
    (folder / "design.yaml").write_text(text)
    assert call(folder, "--out", str(folder / "out")) == 0


def test_init_does_not_overwrite(folder: Path) -> None:
    assert call(folder, "--init") == 2
    assert (folder / "design.yaml").read_text() == DESIGN


def test_power_by_region(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "power.tsv"
    arguments = ["--percent", "5", "--regions", "*-Putamen", "--out", str(table)]
    assert main(["power", *arguments]) == 0
    assert "Left putamen" in capsys.readouterr().out
    assert len(table.read_text().splitlines()) == 3
    assert main(["power", "--n", "23", "21", "--change"]) == 0
    assert main(["power", "--d", "0.5", "--regions", "Nowhere"]) == 2
    assert main(["power", "--d", "-1"]) == 2
    assert main(["power", "--percent", "nan"]) == 2
