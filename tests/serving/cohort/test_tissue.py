"""A study whose scans come with brain masks and tissue."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fibromorph.cli import main
from fibromorph.file_names import TISSUE
from tests.serving.cohort.conftest import Run
from tests.serving.cohort.study import Study, folded_head, scan_path, write_scan


def images_of(out: Path, scan: str) -> dict[str, Path]:
    return {what: out / scan.replace("_T1w.nii.gz", end) for what, end in TISSUE.items()}


def test_every_scan_that_was_asked_for_has_them(
    participant: Run, study: Study, tmp_path: Path
) -> None:
    out, scan = tmp_path / "out", study.good[0]
    subject = scan.partition("/")[0].removeprefix("sub-")
    asked = ("--participant-label", subject, "--session-label", "01")
    assert participant(out, *asked).status == 0
    images = images_of(out, scan)
    assert not any(path.exists() for path in images.values())
    assert "1 again" in participant(out, "--tissue", "--dry-run", *asked).said
    assert participant(out, "--tissue", *asked).status == 0
    assert all(path.is_file() for path in images.values())
    assert "1 present" in participant(out, "--tissue", "--dry-run", *asked).said
    assert json.loads((out / "desc-brain_mask.json").read_text())["Type"] == "Brain"
    assert json.loads((out / "desc-brain_T1w.json").read_text())["SkullStripped"] is True
    assert participant(out, *asked).status == 0
    assert not any(path.exists() for path in images.values())


def test_of_sessions_seen_jointly_each_lies_on_its_own_scan(
    participant: Run, study: Study, tmp_path: Path
) -> None:
    bids, out = tmp_path / "bids", tmp_path / "out"
    scans = [scan_path(1, session) for session in ("01", "02")]
    for noise, scan in enumerate(scans):
        moved = np.roll(folded_head(1, noise), 3 * noise, axis=1)
        write_scan(bids / scan, moved)
    shutil.copy(study.root / "dataset_description.json", bids)
    done = participant(out, "--tissue", "--longitudinal", bids=bids)
    assert done.status == 0, done.said
    assert "half-way to 1 other" in (out / "logs/sub-01/sub-01_ses-01.log").read_text()
    for scan in scans:
        own, images = nib.load(bids / scan), images_of(out, scan)
        mask = nib.load(images["brain_mask"])
        assert np.allclose(mask.affine, own.affine)
        inside, head = np.asarray(mask.dataobj) > 0, np.asarray(own.dataobj) > 0
        assert 2 * (inside & head).sum() > 0.95 * (inside.sum() + head.sum())
        grey, white = (np.asarray(nib.load(images[what]).dataobj) for what in ("grey", "white"))
        assert (grey + white)[inside].mean() > 0.8
        stripped = np.asarray(nib.load(images["brain"]).dataobj)
        assert np.array_equal(stripped, np.where(inside, np.asarray(own.dataobj), 0))


def test_the_group_stage_does_not_take_it(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bids", str(study.root), str(tmp_path), "group", "--tissue"]) == 2
    assert "--tissue" in capsys.readouterr().err
