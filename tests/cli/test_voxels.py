"""`fibromorph vbm`, as a user calls it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fibromorph.cli import main
from tests.postprocessing.voxelwise.heads import Heads, write_heads

DESIGN = """\
groups: {column: group, patients: FM, controls: HC}
vbm: {permutations: 100, tfce: false, cluster_forming_p: null}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_heads(tmp_path, Heads(8, 8))
    (tmp_path / "design.yaml").write_text(DESIGN)
    return tmp_path


def call(folder: Path, *more: str) -> int:
    places = ["--maps", str(folder / "maps"), "--volumes", str(folder / "volumes.tsv")]
    places += ["--participants", str(folder / "participants.tsv")]
    places += ["--config", str(folder / "design.yaml"), "--out", str(folder / "out")]
    return main(["vbm", *places, *more])


def test_maps_in_report_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(folder) == 0
    assert "8 patients, 8 controls, " in capsys.readouterr().out
    assert (folder / "out" / "report.html").exists()


def test_wrong_input_leaves_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    next((folder / "maps").rglob("sub-04*.nii.gz")).write_bytes(b"text")
    assert call(folder) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "sub-04" in error
    assert not (folder / "out").exists()


def test_workers_are_counted_from_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(folder, "--workers", "0") == 2
    assert "--workers: must be 1 or more (found: 0)" in capsys.readouterr().err
