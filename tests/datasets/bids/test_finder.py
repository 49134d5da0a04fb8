"""What a walk takes and leaves, on trees of small files with true headers."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fibromorph.datasets.bids import Wanted, find_t1w, open_dataset, require_dataset
from fibromorph.datasets.bids.finder import pick_subjects, require_sessions
from fibromorph.errors import ConfigError, ScanError


def scan(root: Path, name: str, shape: tuple[int, ...] = (20, 20, 20)) -> Path:
    """A scan in the folder that its name says."""
    parts = [part for part in name.split("_") if part.startswith(("sub-", "ses-"))]
    path = root.joinpath(*parts, "anat", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.zeros(shape, np.uint8), np.eye(4)), path)
    return path


def sidecar(path: Path, **facts: object) -> None:
    path.write_text(json.dumps(facts))


def look(root: Path, **wanted: object) -> tuple[list[str], dict[str, str]]:
    found = find_t1w(root, open_dataset(root).subjects, Wanted(**wanted))  # type: ignore[arg-type]
    return [c.path.name for c in found.taken], {Path(x.where).name: x.reason for x in found.left}


def test_scans_with_and_without_sessions_are_taken(tmp_path: Path) -> None:
    scan(tmp_path, "sub-01_T1w.nii.gz")
    scan(tmp_path, "sub-02_ses-1_T1w.nii")
    scan(tmp_path, "sub-02_ses-2_run-1_T1w.nii.gz")
    scan(tmp_path, "sub-02_ses-2_T2w.nii.gz")
    taken, left = look(tmp_path)
    assert taken == ["sub-01_T1w.nii.gz", "sub-02_ses-1_T1w.nii", "sub-02_ses-2_run-1_T1w.nii.gz"]
    assert left == {}


def test_an_uncompressed_scan_stands_in_for_one_that_was_not_fetched(tmp_path: Path) -> None:
    scan(tmp_path, "sub-01_T1w.nii")
    pointer = tmp_path / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    pointer.symlink_to("../../.git/annex/objects/none")
    taken, left = look(tmp_path)
    assert taken == ["sub-01_T1w.nii"]
    assert list(left) == ["sub-01_T1w.nii.gz"]


def test_zeros_before_an_index_say_nothing(tmp_path: Path) -> None:
    for run in ("01", "02"):
        scan(tmp_path, f"sub-01_run-{run}_T1w.nii.gz")
    assert look(tmp_path, entities={"run": "1"})[0] == ["sub-01_run-01_T1w.nii.gz"]


def test_sessions_that_nobody_has_are_named(tmp_path: Path) -> None:
    scan(tmp_path, "sub-01_ses-01_T1w.nii.gz")
    scan(tmp_path, "sub-02_ses-02_T1w.nii.gz")
    require_sessions(tmp_path, ["sub-01", "sub-02"], ("01", "ses-02"))
    with pytest.raises(ConfigError, match=r"they have ses-01, ses-02\).*found: ses-1"):
        require_sessions(tmp_path, ["sub-01", "sub-02"], ("1",))


def test_all_runs_are_taken_and_say_so(tmp_path: Path) -> None:
    for run in (1, 2):
        scan(tmp_path, f"sub-01_run-{run}_T1w.nii.gz")
    found = find_t1w(tmp_path, ["sub-01"])
    assert len(found.taken) == 2
    assert all("one of 2 of this session" in c.notes[-1] for c in found.taken)


@pytest.mark.parametrize(
    ("name", "shape", "reason"),
    [
        ("sub-01_ce-gadolinium_T1w.nii.gz", (20, 20, 20), "contrast agent"),
        ("sub-01_part-phase_T1w.nii.gz", (20, 20, 20), "not a magnitude image"),
        ("sub-01_echo-2_T1w.nii.gz", (20, 20, 20), "a later echo"),
        ("sub-01_flat_T1w.nii.gz", (20, 20, 20), "does not follow BIDS"),
        ("sub-01_T1w.nii.gz", (200, 200, 5), "fewer than 16 slices"),
        ("sub-01_T1w.nii.gz", (20, 20, 20, 3), "several volumes"),
    ],
)
def test_what_is_left_has_a_reason(
    name: str, shape: tuple[int, ...], reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "sub-01" / "anat" / name
    path.parent.mkdir(parents=True)
    nib.save(nib.Nifti1Image(np.zeros(shape, np.uint8), np.eye(4)), path)
    taken, left = look(tmp_path)
    assert taken == []
    assert reason in left[name]


def test_files_that_are_not_there_are_left(tmp_path: Path) -> None:
    scan(tmp_path, "sub-01_T1w.nii.gz")
    anat = tmp_path / "sub-01" / "anat"
    (anat / "sub-01_run-1_T1w.nii.gz").symlink_to("../../.git/annex/objects/x/y/key/key")
    (anat / "sub-01_run-2_T1w.nii.gz").symlink_to("nowhere.nii.gz")
    (anat / "sub-01_run-3_T1w.nii.gz").write_text("/annex/objects/SHA256E-s1--0.nii.gz\n")
    (anat / "sub-01_run-4_T1w.nii.gz").write_bytes(b"")
    (anat / "sub-01_run-5_T1w.nii.gz").write_bytes(b"\x1f\x8b\x08broken")
    (anat / "sub-01_run-6_T1w.nii.gz").write_bytes(b"text" * 200)
    taken, left = look(tmp_path)
    assert taken == ["sub-01_T1w.nii.gz"]
    words = ("annexed", "link to nowhere", "annexed", "empty", "cannot be read", "not NIfTI")
    for run, word in enumerate(words, start=1):
        assert word in left[f"sub-01_run-{run}_T1w.nii.gz"]


def test_a_scan_in_the_wrong_folder_and_a_doubled_one_are_left(tmp_path: Path) -> None:
    scan(tmp_path, "sub-01_T1w.nii.gz")
    scan(tmp_path, "sub-01_T1w.nii")
    scan(tmp_path, "sub-02_T1w.nii.gz").rename(tmp_path / "sub-02" / "anat" / "sub-03_T1w.nii.gz")
    taken, left = look(tmp_path)
    assert taken == ["sub-01_T1w.nii.gz"]
    assert "as .nii.gz" in left["sub-01_T1w.nii"]
    assert "its folder another" in left["sub-03_T1w.nii.gz"]


def test_subjects_and_sessions_without_a_scan_are_named(tmp_path: Path) -> None:
    (tmp_path / "sub-01" / "func").mkdir(parents=True)
    (tmp_path / "sub-02" / "ses-1" / "anat").mkdir(parents=True)
    assert look(tmp_path) == ([], {"sub-01": "no T1w scan", "ses-1": "no T1w scan"})


def test_an_mp2rage_image_is_left_with_its_reason(tmp_path: Path) -> None:
    scan(tmp_path, "sub-01_T1w.nii.gz")
    scan(tmp_path, "sub-01_UNIT1.nii.gz")
    scan(tmp_path, "sub-02_UNIT1.nii.gz")
    taken, left = look(tmp_path)
    assert taken == ["sub-01_T1w.nii.gz"]
    assert "MP2RAGE" in left["sub-01_UNIT1.nii.gz"]
    assert left["sub-02"] == "no T1w scan"
    assert "MP2RAGE" in left["sub-02_UNIT1.nii.gz"]


def test_a_sidecar_may_be_missing_inherited_or_damaged(tmp_path: Path) -> None:
    for subject in ("01", "02", "03"):
        scan(tmp_path, f"sub-{subject}_T1w.nii.gz")
    sidecar(tmp_path / "sub-02" / "sub-02_T1w.json", Modality="MR")
    (tmp_path / "sub-03" / "anat" / "sub-03_T1w.json").write_text("{")
    notes = [c.notes for c in find_t1w(tmp_path, ["sub-01", "sub-02", "sub-03"]).taken]
    assert notes == [("no sidecar",), (), ("its sidecar cannot be read",)]


def test_a_contrast_agent_in_the_sidecar_is_noticed(tmp_path: Path) -> None:
    scan(tmp_path, "sub-01_T1w.nii.gz")
    sidecar(tmp_path / "T1w.json", ContrastBolusIngredient="GADOLINIUM")
    _, left = look(tmp_path)
    assert "contrast agent (GADOLINIUM)" in left["sub-01_T1w.nii.gz"]


def test_a_user_picks(tmp_path: Path) -> None:
    for name in ("ses-1_acq-a", "ses-1_acq-b", "ses-2_acq-a"):
        scan(tmp_path, f"sub-01_{name}_T1w.nii.gz")
    taken, left = look(tmp_path, sessions=("1",), entities={"acq": "a"})
    assert taken == ["sub-01_ses-1_acq-a_T1w.nii.gz"]
    assert left == {"sub-01_ses-1_acq-b_T1w.nii.gz": "not acq-a (--filter)"}
    assert pick_subjects(["sub-01", "sub-02"], ("02",)) == ["sub-02"]
    with pytest.raises(ConfigError, match="sub-9"):
        pick_subjects(["sub-01"], ("9",))


def test_derivatives_and_sources_are_no_subjects(tmp_path: Path) -> None:
    scan(tmp_path, "sub-01_T1w.nii.gz")
    for other in ("derivatives", "sourcedata", "code"):
        (tmp_path / other / "sub-02").mkdir(parents=True)
    (tmp_path / "sub-03").write_text("a file")
    assert open_dataset(tmp_path).subjects == ("sub-01",)


def test_a_folder_that_is_not_bids_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match="sub-LABEL"):
        open_dataset(tmp_path)
    with pytest.raises(ScanError, match="existing folder"):
        open_dataset(tmp_path / "no")
    with pytest.raises(ScanError, match=r"dataset_description.json"):
        require_dataset(tmp_path)
    (tmp_path / "dataset_description.json").write_text('{"Name": "x"}')
    with pytest.raises(ScanError, match="no BIDSVersion"):
        require_dataset(tmp_path)
