"""Brain mask and tissue of a real head on its own voxels, thin and thick ones."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from fibromorph.cli import main
from fibromorph.file_names import TISSUE
from fibromorph.postprocessing.volumes import SULCAL_CSF, read_volumes

THIN, THICK = "template", "thick"


@pytest.fixture(scope="module")
def scans(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the template, and of the same head in slices of 3 mm, lying otherwise."""
    folder = tmp_path_factory.mktemp("scans")
    image = nib.load(template)
    whole = np.asarray(image.dataobj, np.float32)
    whole = np.rint(whole * (1000 / whole.max())).astype(np.int16)
    nib.save(nib.Nifti1Image(whole, image.affine), folder / f"{THIN}.nii.gz")
    slices = whole[:, :, : whole.shape[2] // 3 * 3].astype(np.float32)
    slices = slices.reshape(*whole.shape[:2], -1, 3).mean(axis=3)
    affine = image.affine @ np.diag([1.0, 1.0, 3.0, 1.0])
    affine[:3, 3] += image.affine[:3, 2]
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]]
    nib.save(nib.Nifti1Image(slices, turn @ affine), folder / f"{THICK}.nii.gz")
    return folder


@pytest.fixture(scope="module")
def out(scans: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What comes out of both."""
    folder = tmp_path_factory.mktemp("tissue") / "out"
    paths = [str(scans / f"{name}.nii.gz") for name in (THIN, THICK)]
    assert main(["segment", *paths, "--out", str(folder), "--tissue"]) == 0
    return folder


def voxels(out: Path, name: str, what: str) -> np.ndarray:
    return np.asarray(nib.load(out / f"{name}{TISSUE[what]}").dataobj)


def labels_of(out: Path, name: str) -> np.ndarray:
    return np.asarray(nib.load(out / f"{name}_dseg.nii.gz").dataobj)


@pytest.mark.parametrize("name", [THIN, THICK])
def test_all_images_lie_where_the_labels_lie(out: Path, name: str) -> None:
    labels = nib.load(out / f"{name}_dseg.nii.gz")
    types = {}
    for what, end in TISSUE.items():
        image = nib.load(out / f"{name}{end}")
        assert image.shape == labels.shape
        for found, expected in (
            (image.get_sform(coded=True), labels.get_sform(coded=True)),
            (image.get_qform(coded=True), labels.get_qform(coded=True)),
        ):
            assert found[1] == expected[1]
            np.testing.assert_array_equal(found[0], expected[0])
        types[what] = image.get_data_dtype()
    assert types.pop("brain_mask") == np.uint8
    assert types.pop("brain") == (np.int16 if name == THIN else np.float32)
    assert set(types.values()) == {np.dtype(np.float32)}
    facts = json.loads((out / f"{name}.json").read_text())
    assert set(facts["outputs"]) >= {f"{name}{end}" for end in TISSUE.values()}
    assert facts["tissue"]["csf"] == "what skull-stripping has left"


@pytest.mark.parametrize("name", [THIN, THICK])
def test_the_mask_is_one_solid_around_the_brain(out: Path, name: str) -> None:
    mask, labels = voxels(out, name, "brain_mask"), labels_of(out, name)
    assert set(np.unique(mask)) == {0, 1}
    assert ndimage.label(mask)[1] == 1
    assert ndimage.label(np.pad(1 - mask, 1, constant_values=1))[1] == 1
    brain = (labels > 0) & (labels != SULCAL_CSF)
    assert mask[brain].mean() > 0.999
    assert brain.sum() <= mask.sum() < 1.1 * brain.sum()


@pytest.mark.parametrize("name", [THIN, THICK])
def test_the_stripped_scan_has_the_scans_own_intensities(out: Path, scans: Path, name: str) -> None:
    mask, brain = voxels(out, name, "brain_mask") > 0, voxels(out, name, "brain")
    scan = np.asarray(nib.load(scans / f"{name}.nii.gz").dataobj)
    np.testing.assert_array_equal(brain[mask], scan[mask])
    assert not brain[~mask].any()


@pytest.mark.parametrize("name", [THIN, THICK])
def test_shares_sum_to_the_volumes(out: Path, name: str) -> None:
    image = nib.load(out / f"{name}_dseg.nii.gz")
    voxel_ml = abs(np.linalg.det(image.affine)) / 1000
    rows = {row.name: row.soft_volume_ml for row in read_volumes(out / f"{name}_volumes.tsv")}
    for what, total in (("grey", "Total-Grey-Matter"), ("white", "Total-White-Matter")):
        shares = voxels(out, name, what)
        assert shares.sum(dtype=float) * voxel_ml == pytest.approx(rows[total], rel=0.02)
    shares = np.stack([voxels(out, name, what) for what in ("grey", "white", "fluid")])
    assert shares.min() >= 0
    assert shares.sum(axis=0).max() <= 1 + 1e-6


def test_a_whole_head_has_fluid_around_the_brain(data_root: Path, tmp_path: Path) -> None:
    scan = data_root / "scans" / "chris_t1.nii.gz"
    assert main(["segment", str(scan), "--out", str(tmp_path), "--tissue"]) == 0
    mask, fluid = (voxels(tmp_path, "chris_t1", what) for what in ("brain_mask", "fluid"))
    voxel_ml = abs(np.linalg.det(nib.load(scan).affine)) / 1000
    assert fluid[mask == 0].sum() * voxel_ml > 100
    facts = json.loads((tmp_path / "chris_t1.json").read_text())
    assert facts["tissue"]["csf"] == "all within the skull"


def test_a_later_call_without_it_leaves_none(out: Path, scans: Path, tmp_path: Path) -> None:
    for path in out.glob(f"{THICK}*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert main(["segment", str(scans / f"{THICK}.nii.gz"), "--out", str(tmp_path)]) == 0
    assert not [end for end in TISSUE.values() if (tmp_path / f"{THICK}{end}").exists()]
