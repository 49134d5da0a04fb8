from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from fibromorph.cli import main
from fibromorph.datasets.cohort.anatomy import Anatomy
from fibromorph.datasets.cohort.settings import CohortSettings
from fibromorph.datasets.cohort.simulate import Study, simulate_cohort
from fibromorph.errors import ConfigError
from fibromorph.scans import read_scan

SMALL = CohortSettings(patients=2, controls=2, voxel_mm=2.5, effects=("Putamen=-8%",))


def table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", na_values="n/a")


@pytest.fixture(scope="module")
def study(anatomy: Anatomy, tmp_path_factory: pytest.TempPathFactory) -> Study:
    return simulate_cohort(tmp_path_factory.mktemp("s") / "study", [anatomy], SMALL, seed=1)


def test_the_layout_is_bids(study: Study) -> None:
    names = [p.relative_to(study.folder).as_posix() for p in study.scans]
    assert names == [f"sub-0{n}/anat/sub-0{n}_T1w.nii.gz" for n in (1, 2, 3, 4)]
    description = json.loads((study.folder / "dataset_description.json").read_text())
    assert description["DatasetType"] == "raw"
    assert description["BIDSVersion"]
    people = table(study.folder / "participants.tsv")
    sidecar = json.loads((study.folder / "participants.json").read_text())
    assert list(people.columns) == ["participant_id", *sidecar]
    assert sorted(people["group"]) == ["control", "control", "patient", "patient"]
    assert (people.loc[people["group"] == "control", "pain_intensity"] == 0).all()


def test_the_truth_lies_beside_it(study: Study) -> None:
    truth = table(study.folder / "derivatives" / "truth" / "volumes.tsv")
    assert list(truth["participant_id"]) == ["sub-01", "sub-02", "sub-03", "sub-04"]
    regions = truth.drop(columns=["participant_id", "session_id", "eTIV"])
    assert np.allclose(regions.sum(axis=1), truth["eTIV"], rtol=3e-3)
    record = json.loads((study.folder / "derivatives" / "truth" / "simulation.json").read_text())
    assert record["seed"] == 1
    assert [e["region"] for e in record["effects"]] == ["Left-Putamen", "Right-Putamen"]


def test_scans_have_sound_headers(study: Study) -> None:
    for path in study.scans:
        scan = read_scan(path)
        assert not [f for f in scan.findings if f.severity == "mended"]
        assert np.allclose(scan.grid.spacing_mm, 2.5, rtol=0.051)
        white = np.percentile(scan.data[scan.data > 300], 75)
        assert 700 < white < 1400


def test_the_seed_decides_and_workers_do_not(
    study: Study, anatomy: Anatomy, tmp_path: Path
) -> None:
    again = simulate_cohort(tmp_path / "again", [anatomy], SMALL, seed=1, workers=2)
    files = sorted(p.relative_to(study.folder) for p in study.folder.rglob("*") if p.is_file())
    assert all((again.folder / f).read_bytes() == (study.folder / f).read_bytes() for f in files)
    other = simulate_cohort(tmp_path / "other", [anatomy], SMALL, seed=2)
    assert other.scans[0].read_bytes() != study.scans[0].read_bytes()


def test_sessions_repeat_a_person_and_some_leave(anatomy: Anatomy, tmp_path: Path) -> None:
    settings = CohortSettings(
        patients=4, controls=2, voxel_mm=3.0, sessions=2, dropout=0.5, gap_closed=1.0,
        effects=("Left-Putamen=-20%",), true_labels=True,
    )  # fmt: skip
    study = simulate_cohort(tmp_path / "study", [anatomy], settings, seed=3)
    truth = table(study.folder / "derivatives" / "truth" / "volumes.tsv")
    scans = truth.groupby("participant_id")["session_id"].agg(list)
    assert {tuple(s) for s in scans} == {("ses-01",), ("ses-01", "ses-02")}
    assert len(study.scans) == len(truth) == len(list(study.folder.rglob("*_dseg.nii.gz")))
    change = truth.groupby("participant_id")["Left-Putamen"].agg(lambda v: v.iloc[-1] / v.iloc[0])
    group = table(study.folder / "participants.tsv").set_index("participant_id")["group"]
    stayed = scans.map(len) == 2
    assert change[stayed & (group == "patient")].to_numpy() == pytest.approx(1.25, abs=0.02)
    assert change[stayed & (group == "control")].to_numpy() == pytest.approx(1.0, abs=0.02)


def test_what_is_there_is_not_overwritten(anatomy: Anatomy, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(ConfigError, match="new or empty"):
        simulate_cohort(tmp_path, [anatomy], SMALL, seed=1)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_nothing_is_left_of_a_study_that_is_ended(anatomy: Anatomy, tmp_path: Path) -> None:
    scan, labels, out = tmp_path / "t1.nii.gz", tmp_path / "dseg.nii.gz", tmp_path / "out"
    affine = anatomy.grid.affine_ijk_to_ras
    nib.save(nib.Nifti1Image(anatomy.intensities, affine), scan)
    nib.save(nib.Nifti1Image(anatomy.labels, affine), labels)
    call = ["-m", "fibromorph", "synth", "cohort", "--out"]
    call += [str(out / "s"), "--anatomy", str(scan), str(labels)]
    process = subprocess.Popen([sys.executable, *call], stderr=subprocess.PIPE, text=True)
    while not any(out.rglob("*_T1w.nii.gz")) and process.poll() is None:
        time.sleep(0.05)
    process.terminate()
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told.endswith("fibromorph: stopped\n")
    assert [*out.iterdir()] == []


def test_a_wrong_effect_writes_nothing(anatomy: Anatomy, tmp_path: Path) -> None:
    settings = CohortSettings(effects=("Amygdala=-8%",))
    with pytest.raises(ConfigError, match="must be one of"):
        simulate_cohort(tmp_path / "study", [anatomy], settings, seed=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("option", "value"),
    [("patients", 0), ("sessions", 0), ("dropout", 1.0), ("voxel_mm", 0.2), ("noise", 0.5)],
)
def test_settings_out_of_range(option: str, value: float) -> None:
    with pytest.raises(ConfigError, match="must be"):
        CohortSettings(**{option: value})  # type: ignore[arg-type]


def test_what_is_wrong_is_told_before_an_anatomy_is_segmented(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr("fibromorph.serving.simulate.template_anatomy")
    out = str(tmp_path / "study")
    for options, message in (
        (["--out", out, "--effect", "Thalamos=-8%"], "Thalamos"),
        (["--out", out, "--dropout", "0.2"], "--dropout: needs --sessions 2 or more"),
        (["--out", str(Path(__file__).parent)], "new or empty"),
    ):
        assert main(["synth", "cohort", *options]) == 2
        assert message in capsys.readouterr().err
