"""A study of which thickness is measured, too: per scan, gathered, and after a correction."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fibromorph.cli import main
from fibromorph.postprocessing.thickness import read_thickness, write_thickness
from tests.serving.cohort.conftest import Finished, Run
from tests.serving.cohort.study import Study
from tests.serving.cohort.test_group import DESIGN, LEFT_CORTEX, correct, table

TABLE = "_desc-fibromorph_thickness.tsv"
Capture = pytest.CaptureFixture[str]
WHOLES = ["Left-Cerebral-Cortex", "Right-Cerebral-Cortex", "Mean-Thickness"]


@pytest.fixture(scope="module")
def thick(participant: Run, study: Study, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    out = tmp_path_factory.mktemp("thick") / "out"
    done = participant(out, "--thickness", "--workers", "2")
    assert main(["bids", str(study.root), str(out), "group"]) == 1
    return done


def test_every_scan_has_a_table_and_a_map(thick: Finished, study: Study) -> None:
    for scan in study.good:
        path = thick.out / scan.replace("_T1w.nii.gz", TABLE)
        rows = {row.name: row.thickness_mm for row in read_thickness(path)}
        # The stand-in's voxels are of 3 mm, its cortex is 5 to 15 mm thick.
        assert 3 < (rows["Mean-Thickness"] or 0) < 20
        image = f"{path.name.split('_desc')[0]}_space-conformed_desc-fibromorph_thickness.nii.gz"
        assert (path.parent / image).is_file()


def test_the_cohort_has_a_row_a_session(thick: Finished, study: Study) -> None:
    gathered = table(thick.out / "thickness.tsv")
    volumes = table(thick.out / "volumes.tsv")
    assert list(gathered.columns) == [
        *("participant_id", "session_id", "run"),
        *(*WHOLES, "quality", "verdict"),
    ]
    ids = ["participant_id", "session_id", "run", "quality", "verdict"]
    pd.testing.assert_frame_equal(gathered[ids], volumes[ids])
    rows = read_thickness(thick.out / study.good[0].replace("_T1w.nii.gz", TABLE))
    first = [gathered.iloc[0][row.name] for row in rows]
    assert first == pytest.approx([row.thickness_mm for row in rows], abs=1e-4)
    assert list(table(thick.out / "thickness_sd.tsv").columns) == list(gathered.columns)
    for what in ("responsiveness", "repeatability"):
        assert what in json.loads((thick.out / f"thickness_{what}.json").read_text())


def test_a_design_of_thickness_is_run_on_it(
    thick: Finished, finished: Finished, study: Study, tmp_path: Path, capsys: Capture
) -> None:
    out, design = tmp_path / "out", tmp_path / "design.yaml"
    shutil.copytree(thick.out, out)
    for path in out.rglob(f"*{TABLE}"):
        # As thick as of people.
        rows = read_thickness(path)
        write_thickness(path, [replace(r, thickness_mm=(r.thickness_mm or 0) / 5) for r in rows])
    design.write_text(DESIGN.replace("etiv: none", "measure: thickness"))
    call = ["bids", str(study.root), str(out), "group", "--design", str(design)]
    assert main(call) == 1
    found = table(out / "stats_thickness" / "group_comparison.tsv")
    assert "adjusted_difference_mm" in found
    assert not (out / "stats").exists()
    other = tmp_path / "other"
    shutil.copytree(finished.out, other)
    assert main([*call[:2], str(other), *call[3:]]) == 2
    assert "run it again with --thickness" in capsys.readouterr().err


def test_a_correction_makes_thickness_unknown_where_it_touched(
    thick: Finished, study: Study, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(thick.out, out)

    def shave(labels: np.ndarray) -> None:
        labels[tuple(np.argwhere(labels == LEFT_CORTEX)[:100].T)] = 0

    correct(out / study.good[0].replace("_T1w.nii.gz", "_desc-fibromorph_dseg.nii.gz"), shave)
    main(["bids", str(study.root), str(out), "group"])
    gathered = table(out / "thickness.tsv")
    known = gathered.iloc[0][WHOLES].notna().tolist()
    assert known == [False, True, False]
    assert gathered.iloc[1:][WHOLES].notna().all(axis=None)


def test_asking_for_it_or_no_longer_is_another_recipe(
    thick: Finished, participant: Run, study: Study, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(thick.out, out)
    assert "0 to segment, 0 again" in participant(out, "--thickness", "--dry-run").said
    assert "thickness" in participant(out, "--dry-run").said
    subject = Path(study.good[0]).parts[0].removeprefix("sub-")
    participant(out, "--participant-label", subject)
    assert not list((out / f"sub-{subject}").rglob("*thickness*"))


def test_without_it_nothing_is_gathered(finished: Finished, study: Study, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished.out, out)
    (out / "thickness.tsv").write_text("of an earlier run")
    main(["bids", str(study.root), str(out), "group"])
    assert not list(out.glob("thickness*"))
