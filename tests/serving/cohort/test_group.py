"""The group stage on the finished messy study."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from fibromorph.cli import main
from fibromorph.postprocessing.volumes import read_volumes
from fibromorph.serving.cohort.group.gather import gather
from fibromorph.serving.cohort.group.outliers import robust_z
from fibromorph.serving.cohort.store import STATE, Store
from tests.serving.cohort.conftest import Finished
from tests.serving.cohort.study import Study

LEFT_CORTEX = 3


def table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", na_values="n/a", keep_default_na=False)


def named(scan: str) -> tuple[str, str]:
    subject, session = scan.split("/")[:2]
    return subject, session


def test_a_row_a_session_with_the_better_run(gathered: Path, study: Study) -> None:
    volumes = table(gathered / "volumes.tsv")
    rows = list(zip(volumes.participant_id, volumes.session_id, strict=True))
    assert rows == sorted({named(scan) for scan in study.good})
    runs = table(gathered / "runs.tsv")
    assert list(runs.use) == ["yes", "no"]
    assert all(
        scan.split("_")[2] == run for scan, run in zip(study.worse, runs.run[1:], strict=True)
    )
    assert set(volumes.run.dropna()) == {"run-1"}


def test_the_cells_are_those_of_the_scans(gathered: Path, study: Study) -> None:
    scan = study.good[0]
    rows = {
        row.name: row
        for row in read_volumes(
            gathered / scan.replace("_T1w.nii.gz", "_desc-fibromorph_volumes.tsv")
        )
    }
    for name, attribute in (
        ("volumes.tsv", "soft_volume_ml"),
        ("volumes_hard.tsv", "volume_ml"),
        ("volumes_sd.tsv", "sd_ml"),
    ):
        first = table(gathered / name).iloc[0]
        assert (first.participant_id, first.session_id) == named(scan)
        for region in ("Left-Cerebral-Cortex", "Total-Brain", "eTIV"):
            # One head size in all tables, what lies inside the skull.
            own = "volume_ml" if (region, name) == ("eTIV", "volumes.tsv") else attribute
            value = getattr(rows[region], own)
            expected = np.nan if value is None else value
            assert first[region] == pytest.approx(expected, nan_ok=True)
    assert table(gathered / "volumes.tsv").quality.between(0, 1).all()


def test_a_scan_that_stands_out_is_one_click_away(gathered: Path, study: Study) -> None:
    page = (gathered / "quality.html").read_text()
    report = study.odd.replace("_T1w.nii.gz", "_desc-fibromorph_report.html")
    assert (gathered / report).is_file()
    assert page.count(f'href="{report}"') > 2
    assert "http" not in page.replace("http://www.w3.org", "")
    quality = table(gathered / "quality.tsv").set_index(["participant_id", "session_id"])
    odd = named(study.odd)
    assert "Total-White-Matter -" in quality.outliers[odd]
    assert quality.tilt_deg.between(0, 15).all()
    assert "Tilt of the head" in page
    # The most unusual volume of a scan is told first.
    most = quality.outliers.str.extract(r" ([-+][0-9.]+)", expand=False).astype(float).abs()
    assert (most.drop([odd]).dropna() < most[odd] / 2).all()


def test_participants_get_the_ids_of_their_folders(gathered: Path) -> None:
    people = table(gathered / "participants.tsv")
    assert list(people.columns) == ["participant_id", "group", "age"]
    assert people.participant_id[0] == "sub-01"


def test_when_scans_were_made_goes_along(gathered: Path) -> None:
    times = table(gathered / "sub-01" / "sub-01_sessions.tsv")
    assert times.acq_time.tolist() == ["1843-02-03T10:00:00"]


@pytest.fixture
def copied(gathered: Path, study: Study, tmp_path: Path) -> tuple[Path, Path]:
    """BIDS_DIR and OUT_DIR of the gathered study, to be changed."""
    bids, out = tmp_path / "bids", tmp_path / "out"
    shutil.copytree(gathered, out)
    shutil.copytree(study.root, bids, symlinks=True)
    return bids, out


def test_times_that_cannot_be_read_are_told_and_end_nothing(
    gathered: Path, copied: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    bids, out = copied
    (out / "participants.tsv").unlink()
    for subject in ("sub-02", "sub-03"):
        (bids / subject / f"{subject}_sessions.tsv").symlink_to("../.git/annex/objects/x")
    assert main(["bids", str(bids), str(out), "group"]) == 1
    told = capsys.readouterr().out
    assert "tables of scans or sessions that cannot be read: 2" in told
    assert (out / "participants.tsv").read_bytes() == (gathered / "participants.tsv").read_bytes()
    assert (out / "sub-01" / "sub-01_sessions.tsv").exists()


def exclude(path: Path, subject: str, session: str, reason: str) -> None:
    """What a person writes into the table: over the row of a scan if it has one."""
    header, *rows = path.read_text().splitlines()
    others = [row for row in rows if not row.startswith(f"{subject}\t{session}\t")]
    mine = f"{subject}\t{session}\tyes\t{reason}"
    path.write_text("\n".join((header, *others, mine)) + "\n")


def test_a_person_decides(gathered: Path, study: Study, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(gathered, out)
    swap = {"yes": "no", "no": "yes"}
    runs = table(out / "runs.tsv")
    runs.assign(use=runs.use.map(swap)).to_csv(out / "runs.tsv", sep="\t", index=False)
    subject, session = named(study.good[0])
    exclude(out / "exclusions.tsv", subject, session, "moved house")
    assert main(["bids", str(study.root), str(out), "group"]) == 1
    assert set(table(out / "volumes.tsv").run.dropna()) == {"run-2"}
    assert f"{subject}\t{session}\tyes\tmoved house" in (out / "exclusions.tsv").read_text()
    assert "<b>1</b>excluded" in (out / "quality.html").read_text()


def test_rows_name_scans_as_people_do_and_strangers_do_not_count(
    gathered: Path, study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(gathered, out)
    subject, session = named(study.good[0])
    exclusions = table(out / "exclusions.tsv")
    gone = {subject, *exclusions.participant_id[exclusions.exclude == "yes"]}
    people = table(out / "volumes.tsv").participant_id
    other = next(person for person in people if person not in gone)
    with (out / "exclusions.tsv").open("a") as stream:
        stream.write(f"{subject.partition('-')[2]}\t{session.partition('-')[2]}\tyes\t\n")
        stream.write("sub-99\tNA\tyes\t\n")
        # As spreadsheets leave a cell that means all sessions.
        stream.write(f"{other}\t\tyes\twrong person\n")
    before = (out / "quality.html").read_text()
    assert main(["bids", str(study.root), str(out), "group"]) == 1
    count = re.compile(r"<b>(\d+)</b>excluded")
    excluded, proposed = (
        int(_first(count, page)) for page in ((out / "quality.html").read_text(), before)
    )
    assert excluded == proposed + 1 + (people == other).sum()
    told = capsys.readouterr().out
    assert "rows of exclusions.tsv that fit no scan of these and do nothing: sub-99" in told


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    assert found is not None
    return found[1]


DESIGN = """
groups: {column: group, patients: patient, controls: control}
covariates: [age]
etiv: none
families: {structures: ['*-Cerebral-Cortex']}
inference: {permutations: 100}
"""


def test_the_statistics_leave_out_whom_a_person_excluded(
    gathered: Path, study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, design = tmp_path / "out", tmp_path / "design.yaml"
    shutil.copytree(gathered, out)
    design.write_text(DESIGN)
    call = ["bids", str(study.root), str(out), "group", "--design", str(design)]
    assert main(call) == 1
    assert (out / "stats" / "report.html").is_file()
    first = table(out / "stats" / "group_comparison.tsv").iloc[0]
    assert (first.n_patients, first.n_controls) == (5, 5)
    exclude(out / "exclusions.tsv", "sub-01", "ses-01", "moved house")
    assert main(call) == 2
    assert "a comparison needs 5 patients at least after exclusions" in capsys.readouterr().err


def test_a_wrong_design_stops_before_anything_is_written(
    gathered: Path, study: Study, tmp_path: Path
) -> None:
    out, design = tmp_path / "out", tmp_path / "design.yaml"
    shutil.copytree(gathered, out)
    (out / "volumes.tsv").unlink()
    design.write_text("groups: {colour: red}\n")
    call = ["bids", str(study.root), str(out), "group", "--design", str(design)]
    assert main(call) == 2
    assert not (out / "volumes.tsv").exists()


def test_two_runs_of_a_session_cannot_both_count(
    gathered: Path, study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(gathered, out)
    text = (out / "runs.tsv").read_text()
    (out / "runs.tsv").write_text(text.replace("\tno\t", "\tyes\t"))
    assert main(["bids", str(study.root), str(out), "group"]) == 2
    assert "one scan of a session may be used" in capsys.readouterr().err


def test_the_group_stage_comes_second(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bids", str(study.root), str(tmp_path), "group"]) == 2
    assert "run the participant stage first" in capsys.readouterr().err


def test_a_scan_that_was_withdrawn_leaves_the_tables(
    copied: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    bids, out = copied
    subject = table(out / "volumes.tsv").participant_id[0]
    for path in sorted((bids / subject).rglob("*.nii.gz")):
        path.unlink()
    main(["bids", str(bids), str(out), "group"])
    assert subject not in set(table(out / "volumes.tsv").participant_id)
    assert f"no longer in {bids} and left out: {subject}" in capsys.readouterr().out


def test_who_has_not_been_measured_is_named(
    copied: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    bids, out = copied
    (bids / "sub-late").mkdir()
    main(["bids", str(bids), str(out), "group"])
    said = capsys.readouterr().out
    [line] = [line for line in said.splitlines() if "without a measured scan" in line]
    assert "sub-late" in line
    assert "without a measured scan" in (out / "quality.html").read_text()


def test_scans_of_several_engines_are_told_once(
    gathered: Path, study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(gathered, out)
    first, *_ = sorted((out / STATE / "done").rglob("*.json"))
    record = json.loads(first.read_text())
    record["recipe"]["engine"] = "openvino 2026.4.1 on openvino-bf16"
    first.write_text(json.dumps(record))
    main(["bids", str(study.root), str(out), "group"])
    said = capsys.readouterr().out
    assert said.count("measured in several ways") == 1
    assert "on cpu" in said
    assert "on openvino-bf16" in said
    assert "segmented in more than one way" in (out / "quality.html").read_text()
    assert "segmented in more than one way" not in (gathered / "quality.html").read_text()


@pytest.mark.parametrize(
    ("level", "option"), [("group", ["--dry-run"]), ("participant", ["--design", "x.yaml"])]
)
def test_options_of_the_other_stage_are_refused(
    level: str, option: list[str], study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bids", str(study.root), str(tmp_path), level, *option]) == 2
    assert f"{option[0]}: this stage does not take the option" in capsys.readouterr().err


def test_memory_of_a_scan_in_the_cohort_is_its_numbers(finished: Finished, study: Study) -> None:
    cohort, gone, damaged = gather(Store(finished.out), study.root)
    assert not gone
    assert not damaged
    assert cohort.soft_ml.shape == (len(cohort), len(cohort.regions))
    assert cohort.regions[-1] == "eTIV"


def test_robust_z_ignores_what_is_far_or_missing() -> None:
    column = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 1000.0, np.nan])
    z = robust_z(column[:, None])[:, 0]
    # Median 3.5, median absolute deviation 1.5.
    assert z[0] == pytest.approx(-2.5 / (1.4826 * 1.5))
    assert z[5] > 400
    assert np.isnan(z[6])
    assert np.isnan(robust_z(np.full((4, 1), np.nan))).all()


def correct(path: Path, change: Callable[[np.ndarray], None]) -> None:
    """Save a label image as an editor would, in place."""
    image = nib.load(path)
    labels = np.asanyarray(image.dataobj).copy()
    change(labels)
    path.write_bytes(gzip.compress(nib.Nifti1Image(labels, image.affine).to_bytes()))


def test_labels_corrected_by_hand_are_measured(
    gathered: Path, study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(gathered, out)
    before = table(out / "volumes.tsv").iloc[0]
    saved, edited = (
        out / scan.replace("_T1w.nii.gz", "_desc-fibromorph_dseg.nii.gz")
        for scan in study.good[1::-1]
    )

    def shave(labels: np.ndarray) -> None:
        cortex = np.argwhere(labels == LEFT_CORTEX)
        labels[tuple(cortex[: len(cortex) // 2].T)] = 0

    correct(edited, shave)
    correct(saved, lambda _: None)
    main(["bids", str(study.root), str(out), "group"])
    assert "1 of them measured by labels corrected by hand" in capsys.readouterr().out
    after = table(out / "volumes.tsv").iloc[0]
    half = pytest.approx(0.5, abs=0.01)
    assert after["Left-Cerebral-Cortex"] / before["Left-Cerebral-Cortex"] == half
    assert after["Right-Cerebral-Cortex"] == before["Right-Cerebral-Cortex"]
    design = tmp_path / "design.yaml"
    design.write_text(DESIGN)
    main(["bids", str(study.root), str(out), "group", "--design", str(design)])
    assert "follow labels that were corrected by hand" in (out / "stats/report.html").read_text()
    corrections = table(out / "corrected.tsv")
    assert list(corrections.regions) == ["Left-Cerebral-Cortex"]
    assert "Labels of 1 scan" in (out / "quality.html").read_text()


def test_corrected_labels_that_cannot_be_measured_leave_their_scan_out(
    gathered: Path, study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(gathered, out)
    scans = [named(scan) for scan in study.good[:3]]
    unknown, moved, cut = (
        out / scan.replace("_T1w.nii.gz", "_desc-fibromorph_dseg.nii.gz") for scan in study.good[:3]
    )
    correct(unknown, lambda labels: labels.__setitem__(labels == LEFT_CORTEX, 99))
    moved.write_bytes(gzip.compress(nib.load(moved).slicer[1:].to_bytes()))
    cut.write_bytes(cut.read_bytes()[:-100])
    kept = cut.read_bytes()
    call = ["bids", str(study.root), str(out), "group"]
    assert main(call) == 1

    volumes = table(out / "volumes.tsv")
    rows = set(zip(volumes.participant_id, volumes.session_id, strict=True))
    assert rows == {named(scan) for scan in study.good} - set(scans)
    failures = table(out / "failures.tsv").set_index(["participant_id", "session_id"])
    assert set(failures.index) == {named(scan) for scan in study.bad} | set(scans)
    said, page = capsys.readouterr().out, (out / "quality.html").read_text()
    assert "3 left out, as their corrected labels cannot be measured" in said
    reasons = (
        "desc-fibromorph_dseg.tsv (found: [99])",
        "must lie on the scan's voxels",
        "must be a readable image",
    )
    for scan, reason in zip(scans, reasons, strict=True):
        assert failures.step[scan] == "correction"
        assert reason in failures.reason[scan]
        assert reason in said
    assert "must be a readable image" in page
    assert cut.read_bytes() == kept

    for path in (unknown, moved, cut):
        shutil.copy(gathered / path.relative_to(out), path)
    assert main(call) == 1
    assert len(table(out / "volumes.tsv")) == len(table(gathered / "volumes.tsv"))
    assert len(table(out / "failures.tsv")) == len(study.bad)


def test_a_cohort_without_a_measurable_scan_says_why(
    gathered: Path, study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(gathered, out)
    for labels in out.rglob("*_dseg.nii.gz"):
        labels.write_bytes(b"no image")
    assert main(["bids", str(study.root), str(out), "group"]) == 2
    assert "must be a readable image" in capsys.readouterr().err


def test_whole_and_stripped_heads_are_told_apart(
    gathered: Path, study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "skull-stripped" not in (gathered / "quality.html").read_text()
    out = tmp_path / "out"
    shutil.copytree(gathered, out)
    path = out / study.good[0].replace("_T1w.nii.gz", "_desc-fibromorph_volumes.tsv")
    *rows, etiv = path.read_text().splitlines()
    assert etiv.split("\t")[1] == "eTIV"
    whole = "n/a\teTIV\tboth\tn/a\t1500\t1500\t10\tn/a"
    path.write_text("\n".join((*rows, whole)) + "\n")
    capsys.readouterr()
    assert main(["bids", str(study.root), str(out), "group"]) == 1
    scans = len(table(out / "volumes.tsv"))
    assert f"{scans - 1} of {scans} scans are skull-stripped" in capsys.readouterr().out
    assert "are skull-stripped" in (out / "quality.html").read_text()
