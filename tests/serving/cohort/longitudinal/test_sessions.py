"""`--longitudinal` on two people: what it computes, and when it computes it again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from fibromorph.cli import main
from fibromorph.postprocessing.volumes import read_volumes
from tests.serving.cohort.conftest import Run, contents
from tests.serving.cohort.study import SHAPE, Study, folded_head, head, scan_path, write_scan

TWO = ("--participant-label", "01", "08", "--longitudinal")


def test_sessions_meet_half_way(participant: Run, study: Study, tmp_path: Path) -> None:
    bids, out = tmp_path / "bids", tmp_path / "out"
    for subject, session in ((1, "01"), (1, "02"), (8, "01")):
        write_scan(bids / scan_path(subject, session), head(np.random.default_rng(subject)))
    (bids / "dataset_description.json").write_text(
        (study.root / "dataset_description.json").read_text()
    )
    first = participant(out, *TWO, bids=bids)
    assert first.status == 0, first.said
    # Twice the same scan: whatever the middle is, both sessions must look the same from there.
    tables = [
        read_volumes(next(out.glob(f"sub-01/ses-{session}/anat/*_volumes.tsv")))
        for session in ("01", "02")
    ]
    soft = [
        [row.soft_volume_ml for row in table if row.soft_volume_ml is not None] for table in tables
    ]
    assert soft[0] == pytest.approx(soft[1], rel=1e-3, nan_ok=True)
    logs = {path.stem: path.read_text() for path in out.glob("logs/*/*.log")}
    assert "half-way to 1 other sessions" in logs["sub-01_ses-01"]
    assert "half-way" not in logs["sub-08_ses-01"]
    record = json.loads((out / ".fibromorph/done/sub-01/sub-01_ses-01.json").read_text())
    assert list(record["siblings"]) == [scan_path(1, "02")]

    assert "3 present" in participant(out, *TWO, "--dry-run", bids=bids).said
    before = contents(out)
    other = bids / scan_path(1, "02")
    os.utime(other, ns=(0, other.stat().st_mtime_ns + 10**9))
    touched = participant(out, *TWO, bids=bids)
    assert "3 present" in touched.said
    assert "0 again" in touched.said
    renewed = {name for name, content in contents(out).items() if before[name] != content}
    # That it is the same has been noted: it need not be read again.
    assert renewed == {f".fibromorph/done/sub-01/sub-01_ses-{s}.json" for s in ("01", "02")}
    write_scan(bids / scan_path(1, "02"), head(np.random.default_rng(2)))
    said = participant(out, *TWO, "--dry-run", bids=bids).said
    assert "2 again, 1 present" in said
    assert "another session changed" in said
    alone = participant(out, *TWO[:-1], "--dry-run", bids=bids).said
    assert "sessions jointly -> alone" in alone


def test_what_is_asked_for_decides_which_scans_are_computed_and_never_how(
    participant: Run, study: Study, tmp_path: Path
) -> None:
    bids, out, by_label = tmp_path / "bids", tmp_path / "at once", tmp_path / "by label"
    facts = (study.root / "dataset_description.json").read_text()

    def arrive(session: str, rest: str = "") -> None:
        write_scan(bids / scan_path(1, session, rest), folded_head(1, int(session) + len(rest)))

    arrive("01")
    (bids / "dataset_description.json").write_text(facts)
    # A clinic: every visit is processed when it comes, and no other is asked for.
    visit = ("--participant-label", "01", "--longitudinal", "--session-label")
    assert participant(by_label, *visit, "01", bids=bids).status == 0
    # A visit without a brain costs nothing of what the first one gave.
    finished = contents(by_label)
    nothing = np.zeros(SHAPE, np.float32)
    nothing[8:12, 8:12, 8:12] = 100
    write_scan(bids / scan_path(1, "02"), nothing)
    assert participant(by_label, *visit, "02", bids=bids).status == 1
    assert finished.items() <= contents(by_label).items()
    notes = sorted(by_label.glob(".fibromorph/failed/*/*.json"))
    lasting = {path.stem: json.loads(path.read_text())["lasting"] for path in notes}
    assert lasting == {"sub-01_ses-01": False, "sub-01_ses-02": True}
    arrive("02")
    said = participant(by_label, *visit, "02", bids=bids).said
    assert "1 to segment, 1 again" in said
    assert "another session changed" in said
    assert participant(out, *visit[:-1], bids=bids).status == 0
    assert contents(by_label) == contents(out)
    log = (by_label / "logs/sub-01/sub-01_ses-02.log").read_text()
    assert "half-way to 1 other sessions" in log
    for session in ("01", "02"):
        assert (
            "0 to segment, 0 again, 1 present"
            in participant(out, *visit, session, "--dry-run", bids=bids).said
        )

    # Of two scans of the other session, the one that is named like the scan itself.
    for session in ("01", "02"):
        arrive(session, "acq-fast_")
    asked = ("--filter", "acq=fast")
    assert participant(out, *visit[:-1], *asked, bids=bids).status == 0
    done = out / ".fibromorph/done/sub-01"
    record = json.loads((done / "sub-01_ses-01_acq-fast.json").read_text())
    assert list(record["siblings"]) == [scan_path(1, "02", "acq-fast_")]
    said = participant(out, *visit[:-1], "--dry-run", bids=bids).said
    assert "0 to segment, 0 again, 4 present" in said


def test_a_session_without_a_brain_is_named_and_its_mending_is_noticed(
    participant: Run, study: Study, tmp_path: Path
) -> None:
    bids, out = tmp_path / "bids", tmp_path / "out"
    good = head(np.random.default_rng(1))
    write_scan(bids / scan_path(1, "01"), good)
    blob = np.zeros_like(good)
    blob[8:12, 8:12, 8:12] = good.max()
    write_scan(bids / scan_path(1, "02"), blob)
    (bids / "dataset_description.json").write_text(
        (study.root / "dataset_description.json").read_text()
    )
    one = ("--participant-label", "01", "--longitudinal")
    assert participant(out, *one, bids=bids).status == 1
    failures = (out / "failures.tsv").read_text()
    [own] = [line for line in failures.splitlines() if "ses-01_" in line.split("\t")[2]]
    assert "all sessions of a person must be readable" in own
    assert "ses-02" in own
    write_scan(bids / scan_path(1, "02"), head(np.random.default_rng(2)))
    assert "2 to segment" in participant(out, *one, "--dry-run", bids=bids).said


def test_another_persons_head_is_told_wherever_quality_is(
    participant: Run, study: Study, tmp_path: Path
) -> None:
    bids, out = tmp_path / "bids", tmp_path / "out"
    for subject, session, person in ((1, "01", 1), (1, "02", 2), (8, "01", 8), (8, "02", 8)):
        image = folded_head(person, int(session))
        write_scan(bids / scan_path(subject, session), image)
    (bids / "dataset_description.json").write_text(
        (study.root / "dataset_description.json").read_text()
    )
    assert participant(out, *TWO, bids=bids).status == 0
    log = (out / "logs/sub-01/sub-01_ses-01.log").read_text()
    assert f"another head, it seems: {scan_path(1, '02')}" in log
    sidecar = json.loads(next(out.glob("sub-01/ses-01/anat/*_dseg.json")).read_text())
    assert sidecar["Sources"] == [f"bids:raw:{scan_path(1, '01')}"]
    assert sidecar["Fibromorph"]["findings"][-1]["code"] == "sessions_differ"
    assert "4 present" in participant(out, *TWO, "--dry-run", bids=bids).said
    assert main(["bids", str(bids), str(out), "group"]) == 0
    quality = (out / "quality.tsv").read_text().splitlines()[1:]
    told = [line.split("\t")[0] for line in quality if "seem to show another head" in line]
    assert told == ["sub-01", "sub-01"]
    assert (out / "quality.html").read_text().count("seem to show another head") == 2
    # Once the right scan is there, both are computed again, jointly.
    write_scan(bids / scan_path(1, "02"), folded_head(1, 2))
    assert "2 again, 2 present" in participant(out, *TWO, bids=bids).said
    log = (out / "logs/sub-01/sub-01_ses-01.log").read_text()
    assert "half-way to 1 other sessions" in log
