"""Real labelled scans: found, conformed, and only blamed for what their labels draw."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from fibromorph.datasets.labelled import (
    LabelledFolder,
    LabelledScan,
    find_labelled_pairs,
    load_labelled_scan,
    load_labelled_scans,
    take_box,
    whole_brain,
)
from fibromorph.errors import ConfigError, LabelError
from fibromorph.labels import FREESURFER
from tests.datasets.phantoms import LIA, head, intensities, save

NAMES = ["background", *FREESURFER.names]


def not_told_apart(scan: LabelledScan) -> set[str]:
    """Structures that count as background where background is drawn."""
    return {NAMES[n] for n, group in enumerate(scan.groups) if group == 0 and n > 0}


def test_pairs_are_found_by_suffix_and_chosen_by_stem(scan_folder: Path) -> None:
    assert [p.stem for p in find_labelled_pairs(LabelledFolder(scan_folder))] == ["s1", "s2"]
    (pair,) = find_labelled_pairs(LabelledFolder(scan_folder, skip=("s1",)))
    assert (pair.scan.name, pair.labels.name) == ("s2_SS.nii.gz", "s2_glm.nii.gz")


def _in_tree(folder: Path, paths: tuple[str, ...]) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()


def test_a_tree_of_fmriprep_is_searched(tmp_path: Path) -> None:
    ends = ("_desc-preproc_T1w.nii.gz", "_desc-aparcaseg_dseg.nii.gz")
    starts = ("sub-01/anat/sub-01", "sub-02/ses-1/anat/sub-02_ses-1")
    standard = "sub-01/anat/sub-01_space-MNI152NLin2009cAsym"
    _in_tree(tmp_path, tuple(start + end for start in starts for end in ends))
    _in_tree(tmp_path, (standard + ends[0], f".git/annex/{starts[0]}{ends[0]}"))
    where = LabelledFolder(tmp_path, *ends, skip=("*_space-*",))
    assert tuple(p.stem for p in find_labelled_pairs(where)) == starts
    (pair,) = find_labelled_pairs(LabelledFolder(tmp_path, *ends, only=("sub-02/*",)))
    assert (pair.scan, pair.labels) == tuple(tmp_path / f"{starts[1]}{end}" for end in ends)
    told = "only and skip must name scans by their stems.*sub-01/anat/sub-01,.*found: 01"
    with pytest.raises(ConfigError, match=told):
        find_labelled_pairs(LabelledFolder(tmp_path, *ends, skip=("01",)))
    with pytest.raises(ConfigError, match=r"no scan fits.*\*_T2w\.nii\.gz"):
        find_labelled_pairs(LabelledFolder(tmp_path, "_T2w.nii.gz", ends[1], skip=("01",)))
    with pytest.raises(ConfigError, match="must leave some"):
        find_labelled_pairs(LabelledFolder(tmp_path, *ends, skip=("*",)))


@pytest.mark.parametrize(("folder", "stem"), [("/mri/", "bert"), ("", "bert/mri")])
def test_subjects_of_freesurfer_are_found(tmp_path: Path, folder: str, stem: str) -> None:
    _in_tree(tmp_path, ("bert/mri/T1.mgz", "bert/mri/aparc+aseg.mgz", "bert/mri/orig.mgz"))
    where = LabelledFolder(tmp_path, f"{folder}T1.mgz", f"{folder}aparc+aseg.mgz", only=(stem,))
    (pair,) = find_labelled_pairs(where)
    assert pair.stem == stem
    assert pair.labels == tmp_path / "bert/mri/aparc+aseg.mgz"


def test_what_is_missing_is_named(scan_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="s9"):
        find_labelled_pairs(LabelledFolder(scan_folder, only=("s9",)))
    with pytest.raises(ConfigError, match="no scan fits"):
        find_labelled_pairs(LabelledFolder(tmp_path))
    shutil.copy(scan_folder / "s1_SS.nii.gz", tmp_path)
    with pytest.raises(ConfigError, match="must have labels"):
        find_labelled_pairs(LabelledFolder(tmp_path))
    with pytest.raises(ConfigError, match="Sulcus"):
        LabelledFolder(tmp_path, unlabelled=("Sulcus",))


def test_a_scan_comes_in_ras_with_freesurfer_ids(labelled_scan: LabelledScan) -> None:
    ids = labelled_scan.ids
    assert np.argwhere(ids == 17)[:, 0].mean() < np.argwhere(ids == 53)[:, 0].mean()
    assert set(np.unique(ids).tolist()) <= {0, *FREESURFER.ids}
    white = labelled_scan.image[ids == 2].mean()
    assert white == pytest.approx(1.0, abs=0.1)
    assert labelled_scan.image[ids == 3].mean() < white


def test_a_scan_of_zero_mean_keeps_its_brain(tmp_path: Path) -> None:
    ids = head()
    ids[ids >= 500] = 0
    image = intensities(ids)
    for stem, shift in (("a", 0.0), ("b", float(image.mean()))):
        save(image - np.float32(shift), tmp_path / f"{stem}_SS.nii.gz", LIA)
        save(ids, tmp_path / f"{stem}_glm.nii.gz", LIA)
    where = LabelledFolder(tmp_path, protocol="freesurfer")
    plain, shifted = (load_labelled_scan(pair, where) for pair in find_labelled_pairs(where))
    assert (shifted.image[shifted.ids > 0] == 0).mean() < 0.01
    assert np.allclose(plain.image, shifted.image, atol=0.02)


def test_fluid_is_what_a_stripped_scan_shows_beside_its_labels(
    scan_folder: Path, tmp_path: Path
) -> None:
    where = LabelledFolder(scan_folder, only=("s1",), fluid_beside_labels=True)
    (scan,) = load_labelled_scans(where)
    assert ((scan.ids > 0) == (scan.image > 0)).mean() > 0.999
    assert scan.image[scan.ids == 24].mean() == pytest.approx(0.2, abs=0.05)
    assert "CSF" not in not_told_apart(scan)
    labels = nib.load(scan_folder / "s1_glm.nii.gz")
    whole = np.maximum(np.asanyarray(labels.dataobj), 1).astype(np.float32)
    nib.save(nib.Nifti1Image(whole, labels.affine), tmp_path / "s1_SS.nii.gz")
    shutil.copy(scan_folder / "s1_glm.nii.gz", tmp_path)
    with pytest.raises(LabelError, match=r"s1_SS.*at most 60% .* skull was removed .*found: \d+%"):
        load_labelled_scans(replace(where, folder=tmp_path))


def test_what_cannot_be_read_as_labels_is_named(tmp_path: Path, scan_folder: Path) -> None:
    shutil.copy(scan_folder / "s1_SS.nii.gz", tmp_path)
    (tmp_path / "s1_glm.nii.gz").write_bytes(b"no image")
    where = LabelledFolder(tmp_path)
    with pytest.raises(LabelError, match=r"s1_glm\.nii\.gz.*readable image"):
        load_labelled_scans(where)
    labels = nib.load(scan_folder / "s1_glm.nii.gz")
    twice = np.stack([np.asanyarray(labels.dataobj)] * 2, axis=-1)
    nib.save(nib.Nifti1Image(twice, labels.affine), tmp_path / "s1_glm.nii.gz")
    with pytest.raises(LabelError, match="three dimensions"):
        load_labelled_scans(where)


def test_labels_between_ids_and_labels_without_background_are_refused(tmp_path: Path) -> None:
    ids = head()
    ids[ids >= 500] = 0
    save(intensities(ids), tmp_path / "a_SS.nii.gz", LIA)
    where = LabelledFolder(tmp_path, protocol="freesurfer")
    colours = np.zeros(ids.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(colours, np.eye(4)), tmp_path / "a_glm.nii.gz")
    with pytest.raises(LabelError, match=r"a_glm\.nii\.gz.*must be numbers"):
        load_labelled_scans(where)
    for spoilt, rule in (
        (np.where(ids == 17, 17.5, ids).astype(np.float32), r"whole numbers.*found: 17\.5"),
        (np.where(ids == 17, np.nan, ids).astype(np.float32), r"whole numbers.*found: nan"),
        (np.where(ids == 0, 2, ids), r"must have background"),
    ):
        save(spoilt, tmp_path / "a_glm.nii.gz", LIA)
        with pytest.raises(LabelError, match=rf"a_glm\.nii\.gz.*{rule}"):
            load_labelled_scans(where)
    save((ids + 1e-4).astype(np.float32), tmp_path / "a_glm.nii.gz", LIA)
    (scan,) = load_labelled_scans(where)
    assert (scan.ids == 17).any()


def test_fluid_that_no_one_drew_is_known_to_be_unlabelled(labelled_scan: LabelledScan) -> None:
    assert not_told_apart(labelled_scan) == {"CSF"}


def test_structures_absent_from_every_scan_are_unlabelled_too(tmp_path: Path) -> None:
    ids = head()
    ids[np.isin(ids, (24, 26, 58))] = 0
    ids[ids >= 500] = 0
    save(ids.astype(np.float32), tmp_path / "a_SS.nii.gz", LIA)
    save(ids, tmp_path / "a_glm.nii.gz", LIA)
    where = LabelledFolder(tmp_path, protocol="freesurfer", unlabelled=())
    (scan,) = load_labelled_scans(where)
    assert not_told_apart(scan) == {"CSF", "Accumbens-area"}


def test_labels_on_another_grid_are_refused(tmp_path: Path, scan_folder: Path) -> None:
    shutil.copy(scan_folder / "s1_SS.nii.gz", tmp_path)
    save(head()[:, :-3], tmp_path / "s1_glm.nii.gz", LIA)
    where = LabelledFolder(tmp_path)
    with pytest.raises(LabelError, match=r"grid of their scan, s1_SS.*\(72, 72, 85\) voxels, not"):
        load_labelled_scan(find_labelled_pairs(where)[0], where)
    labels = nib.load(scan_folder / "s1_glm.nii.gz")
    moved = labels.affine + np.where(np.arange(16).reshape(4, 4) == 3, 2.5, 0)
    nib.save(nib.Nifti1Image(np.asanyarray(labels.dataobj), moved), tmp_path / "s1_glm.nii.gz")
    with pytest.raises(LabelError, match=r"corners 2\.5 mm apart"):
        load_labelled_scan(find_labelled_pairs(where)[0], where)


def test_unknown_ids_are_refused_or_ignored_but_never_all_of_the_cortex(tmp_path: Path) -> None:
    ids = head()
    ids[ids >= 500] = 0
    save(intensities(ids), tmp_path / "a_SS.nii.gz", LIA)
    strict = LabelledFolder(tmp_path, protocol="freesurfer")
    lenient = LabelledFolder(tmp_path, protocol="freesurfer", ignore_unknown=True)
    save(np.where(ids == 17, 9000, ids), tmp_path / "a_glm.nii.gz", LIA)
    with pytest.raises(LabelError, match=r"a_glm\.nii\.gz.*ignore_unknown.*9000"):
        load_labelled_scans(strict)
    (scan,) = load_labelled_scans(lenient)
    assert (scan.ids == 53).any()
    assert not (scan.ids == 17).any()
    save(np.where(np.isin(ids, (3, 42)), 9000, ids), tmp_path / "a_glm.nii.gz", LIA)
    with pytest.raises(LabelError, match=r"a_glm\.nii\.gz.*no Cerebral-Cortex"):
        load_labelled_scans(lenient)


def test_the_whole_brain_is_seen_as_in_service(labelled_scan: LabelledScan) -> None:
    sample = whole_brain(labelled_scan, 32)
    assert all(n % 32 == 0 for n in sample.image.shape)
    brain = int((labelled_scan.ids > 0).sum())
    assert int((sample.classes > 0).sum()) == brain
    assert abs(float(sample.image.mean())) < 0.1


def test_a_box_may_reach_outside() -> None:
    image = np.arange(8).reshape(2, 2, 2) + 1
    box = take_box(image, (-1, 0, 1), (4, 2, 3))
    assert box.shape == (4, 2, 3)
    assert np.array_equal(box[1:3, :, 0], image[:, :, 1])
    assert box.sum() == image[:, :, 1].sum()
    assert not take_box(image, (5, 5, 5), (2, 2, 2)).any()


def test_the_multi_atlas_challenge_is_read(data_root: Path) -> None:
    folder = data_root / "malc2012"
    if not folder.is_dir():
        pytest.skip("needs malc2012 in the data folder")
    where = LabelledFolder(folder, only=("1000",))
    assert len(find_labelled_pairs(LabelledFolder(folder))) == 15
    (scan,) = load_labelled_scans(where)
    assert not_told_apart(scan) == {"CSF"}
    brain_ml = np.count_nonzero(scan.ids) / 1000
    assert 900 < brain_ml < 1700
    left, right = (float(np.argwhere(scan.ids == i)[:, 0].mean()) for i in (17, 53))
    assert left < right
    assert torch.isfinite(whole_brain(scan, 32).image).all()
