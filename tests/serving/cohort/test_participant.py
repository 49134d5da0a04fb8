"""The participant stage on a study with everything that goes wrong in real ones."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fibromorph.cli import main
from fibromorph.postprocessing.volumes import read_volumes
from tests.serving.cohort.conftest import Finished, Run, contents, lines_of
from tests.serving.cohort.study import Study, head, write_scan
from tests.serving.stand_in import Seen, write_stand_in

ACTION = re.compile(r"(segment|again|present|failed before|left) +(\S+)")


def actions(said: str) -> dict[str, str]:
    """Scan -> what the plan says of it."""
    found = map(ACTION.match, said.splitlines())
    return {match[2]: match[1] for match in found if match}


def test_all_good_scans_are_segmented(finished: Finished, study: Study) -> None:
    assert finished.status == 1  # two scans fail, the rest is written
    for scan in study.good:
        source, stem = nib.load(study.root / scan), finished.out / scan.replace("_T1w.nii.gz", "")
        labels = nib.load(f"{stem}_desc-fibromorph_dseg.nii.gz")
        assert labels.shape == source.shape
        assert np.allclose(labels.affine, source.affine)
        rows = {row.name: row for row in read_volumes(Path(f"{stem}_desc-fibromorph_volumes.tsv"))}
        # Ellipsoids of 60, 72 and 64 mm: 4/3 pi abc is 1158 ml, radii within 5 %.
        assert 950 < (rows["Total-Brain"].volume_ml or 0) < 1400
        assert "<svg" in Path(f"{stem}_desc-fibromorph_report.html").read_text()


def test_what_fails_is_named_and_what_is_left_has_a_reason(
    finished: Finished, study: Study
) -> None:
    header, *rows = (finished.out / "failures.tsv").read_text().splitlines()
    assert header.split("\t")[:3] == ["participant_id", "session_id", "scan"]
    assert [row.split("\t")[2] for row in rows] == sorted(study.bad)
    assert "truncated" in rows[0]
    assert "brain of at least 250 ml" in rows[1]
    for row in rows:
        assert "failed at" in (finished.out / row.split("\t")[5]).read_text()
    for where, reason in study.left.items():
        assert re.search(rf"^left +{re.escape(where)}  \(.*{reason}", finished.said, re.MULTILINE)
    assert "column 'Subject ID' names the participants" in finished.said
    assert "1 in the table without a folder: sub-99" in finished.said
    assert "2 failed (failures.tsv):" in finished.said


def test_labels_that_a_person_corrected_are_set_aside_and_not_lost(
    finished: Finished, study: Study, tmp_path: Path, participant: Run
) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished.out, out)
    scan = study.good[0].replace("_T1w.nii.gz", "_desc-fibromorph")
    labels, report = out / f"{scan}_dseg.nii.gz", out / f"{scan}_report.html"
    labels.write_bytes(b"hours of work")
    report.unlink()
    participant(out)
    assert labels.with_name(labels.name.replace(".nii", ".edited.nii")).read_bytes() == (
        b"hours of work"
    )
    assert labels.read_bytes() == (finished.out / f"{scan}_dseg.nii.gz").read_bytes()
    assert report.is_file()


def test_a_dry_run_says_what_then_happens_and_writes_nothing(
    finished: Finished, participant: Run, study: Study, tmp_path: Path
) -> None:
    dry = participant(tmp_path / "out", "--dry-run")
    assert dry.status == 0
    assert not (tmp_path / "out").exists()
    said = actions(dry.said)
    assert said == actions(finished.said)
    to_segment = {scan for scan, action in said.items() if action == "segment"}
    done = {name for name, count in lines_of(finished.out, "finished").items() if count == 1}
    failed = {row.split("\t")[2] for row in failures(finished.out)}
    assert {Path(scan).name.replace("_T1w.nii.gz", "") for scan in to_segment - failed} == done
    assert to_segment == {*study.good, *study.bad}


def test_a_second_run_does_nothing(finished: Finished, participant: Run) -> None:
    before = stamps(finished.out)
    again = participant(finished.out, "--workers", "2")
    assert again.status == 1
    assert set(actions(again.said).values()) == {"present", "failed before", "left"}
    assert "0 to segment, 0 again" in again.said
    assert {k: v for k, v in stamps(finished.out).items() if k in before} == before


def test_only_what_changed_is_computed_again(
    finished: Finished, participant: Run, study: Study, tmp_path: Path
) -> None:
    bids, out = tmp_path / "bids", tmp_path / "out"
    shutil.copytree(study.root, bids, symlinks=True)
    shutil.copytree(finished.out, out)
    changed, touched, incomplete, mended = study.good[0], study.good[1], study.good[2], study.bad[0]
    write_scan(bids / changed, head(np.random.default_rng(99)))
    write_scan(bids / mended, head(np.random.default_rng(98)))
    (bids / touched).touch()
    (out / incomplete.replace("_T1w.nii.gz", "_desc-fibromorph_report.html")).unlink()
    run = participant(out, bids=bids)
    said = {scan: action for scan, action in actions(run.said).items() if action != "left"}
    assert {scan for scan, action in said.items() if action == "again"} == {changed, incomplete}
    assert {scan for scan, action in said.items() if action == "segment"} == {mended}
    twice = {name for name, count in lines_of(out, "finished").items() if count == 2}
    assert twice == {Path(scan).name.replace("_T1w.nii.gz", "") for scan in (changed, incomplete)}
    before, after = contents(finished.out), contents(out)
    volumes = changed.replace("_T1w.nii.gz", "_desc-fibromorph_volumes.tsv")
    assert before[volumes] != after[volumes]
    assert len(failures(out)) == 1


def test_another_bundle_is_another_result(
    finished: Finished, participant: Run, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished.out, out)
    other = write_stand_in(tmp_path / "other", version="1.1", seen=Seen(white_above=1.4))
    run = participant(out, "--model", str(other), "--participant-label", "01", "--dry-run")
    assert set(actions(run.said).values()) == {"again"}
    assert "model stand-in 1.0 -> stand-in 1.1" in run.said


def test_what_is_complete_outlives_an_upgrade_to_which_its_scan_is_damaged(
    finished: Finished, participant: Run, study: Study, tmp_path: Path
) -> None:
    bids, out = tmp_path / "bids", tmp_path / "out"
    shutil.copytree(study.root, bids, symlinks=True)
    shutil.copytree(finished.out, out)
    scan = study.good[0]
    whole = (bids / scan).read_bytes()
    (bids / scan).write_bytes(whole[: len(whole) // 2])
    other = write_stand_in(tmp_path / "other", version="1.1")
    call = ("--model", str(other), "--participant-label", "01", "--session-label", "01")
    assert participant(out, *call, bids=bids).status == 1
    [row] = [row for row in failures(out) if row.split("\t")[2] == scan]
    assert "truncated" in row
    before, after = contents(finished.out), contents(out)
    kept = {name for name in before if Path(scan).name.removesuffix("_T1w.nii.gz") in name}
    assert len(kept) == 5  # four files and the record
    assert {name: after.get(name) for name in kept} == {name: before[name] for name in kept}
    again = participant(out, *call, "--dry-run", bids=bids)
    assert actions(again.said) == {scan: "failed before"}
    (bids / scan).write_bytes(whole)
    assert actions(participant(out, *call, bids=bids).said) == {scan: "again"}
    record = Path(scan).name.replace("_T1w.nii.gz", ".json")
    [renewed] = [content for name, content in contents(out).items() if name.endswith(f"/{record}")]
    assert "stand-in 1.1" in renewed.decode()
    assert scan not in {row.split("\t")[2] for row in failures(out)}


def test_outputs_are_a_bids_derivative(finished: Finished, study: Study) -> None:
    description = json.loads((finished.out / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert description["GeneratedBy"][0]["Name"] == "fibromorph"
    table = (finished.out / "desc-fibromorph_dseg.tsv").read_text().splitlines()
    assert table[0] == "index\tname\tcolor"
    assert table[1] == "2\tLeft-Cerebral-White-Matter\t#f5f5f5"
    scan = study.good[0]
    path = finished.out / scan.replace("_T1w.nii.gz", "_desc-fibromorph_dseg.json")
    facts = json.loads(path.read_text())
    assert facts["Sources"] == [f"bids:raw:{scan}"]
    assert facts["Manual"] is False
    assert "created" not in facts["Fibromorph"]


def test_nothing_is_left_behind(finished: Finished) -> None:
    strays = [path for path in contents(finished.out) if path.endswith(".tmp")]
    assert strays == []
    assert list((finished.out / ".fibromorph" / "leases").iterdir()) == []
    assert list((finished.out / ".fibromorph" / "staging").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (("--shard", "0/4"), "must be I/N"),
        (("--shard", "5/4"), "must be I/N"),
        (("--workers", "0"), "must be 1 or more"),
        (("--participant-label", "77"), "must name subjects of BIDS_DIR"),
        (("--filter", "acq"), "must be ENTITY=LABEL"),
        (("--model", "no-such"), "folder of a bundle"),
        (("--readers", "-1"), "must be 0 or more"),
    ],
)
def test_a_wrong_call_is_one_line_and_writes_nothing(
    options: tuple[str, ...],
    rule: str,
    study: Study,
    bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    call = ["bids", str(study.root), str(tmp_path / "out"), "participant", "--model", str(bundle)]
    assert main([*call, *options]) == 2
    assert rule in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_description_needs_skip_validation(
    study: Study, participant: Run, tmp_path: Path
) -> None:
    bids = tmp_path / "bids"
    shutil.copytree(study.root / "sub-01", bids / "sub-01")
    refused = participant(tmp_path / "out", bids=bids)
    assert refused.status == 2
    assert "dataset_description.json" in refused.said
    assert participant(tmp_path / "out", "--skip-validation", "--dry-run", bids=bids).status == 0


def failures(out: Path) -> list[str]:
    return (out / "failures.tsv").read_text().splitlines()[1:]


def stamps(out: Path) -> dict[str, int]:
    """When the files were written; failures.tsv is written by every run."""
    paths = (p for p in out.rglob("*") if p.is_file() and p.name != "failures.tsv")
    return {p.relative_to(out).as_posix(): p.stat().st_mtime_ns for p in paths}
