"""The same head, however it is stored, becomes the same RAS image, and left stays left."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fibromorph.grid import Grid
from fibromorph.scans import read_scan, resample, restore_labels, working_grid, write_labels
from tests.scans import phantoms

RAS = phantoms.ras_grid()
OBLIQUE = phantoms.turned(phantoms.ras_grid((70, 80, 70)), 14.0)
AXES = ["RAS", "LAS", "LPI", "LPS", "PIR", "LIA", "SRA"]


def _write(path: Path, grid: Grid) -> Path:
    if path.suffix == ".mgz":
        return phantoms.save(
            nib.MGHImage(phantoms.head(grid), grid.affine_ijk_to_ras.astype(np.float32)), path
        )
    if path.suffix == "":
        return phantoms.write_series(path, grid, SeriesDescription="t1_mprage")
    return phantoms.save(phantoms.nifti(grid), path)


@pytest.mark.parametrize("codes", AXES)
@pytest.mark.parametrize("name", ["a.nii", "a.mgz"])
def test_any_axis_order_conforms_to_the_same_image(tmp_path: Path, codes: str, name: str) -> None:
    scan = read_scan(_write(tmp_path / name, phantoms.stored_as(RAS, codes)))
    target = working_grid(scan.grid, 2.0)
    assert "".join(nib.aff2axcodes(scan.grid.affine_ijk_to_ras)) == codes
    assert target.same_as(RAS)
    np.testing.assert_array_equal(resample(scan.data, scan.grid, target), phantoms.head(RAS))


@pytest.mark.parametrize("codes", ["LPS", "PSR", "RAS"])
def test_a_dicom_series_conforms_to_the_same_image(tmp_path: Path, codes: str) -> None:
    small = phantoms.ras_grid((36, 40, 34), (4.0, 4.0, 4.0))
    scan = read_scan(_write(tmp_path / "series", phantoms.stored_as(small, codes)))
    target = working_grid(scan.grid, 4.0)
    assert target.same_as(small)
    conformed = resample(scan.data, scan.grid, target)
    np.testing.assert_array_equal(conformed, phantoms.head(small).round())


@pytest.mark.parametrize("codes", ["RAS", "LPI", "PIR"])
def test_an_oblique_scan_conforms_to_the_same_image(tmp_path: Path, codes: str) -> None:
    grid = phantoms.stored_as(OBLIQUE, codes)
    scan = read_scan(_write(tmp_path / "a.nii", grid))
    found, expected = resample(scan.data, scan.grid, RAS), phantoms.head(RAS)
    assert np.abs(found - expected).mean() < 2.0
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.998
    assert "oblique_axes" in phantoms.codes(scan)


@pytest.mark.parametrize("grid", [RAS, phantoms.stored_as(RAS, "LPI"), OBLIQUE])
@pytest.mark.parametrize("spacing_mm", [1.5, 2.0])
def test_the_left_marker_is_left_of_the_middle(grid: Grid, spacing_mm: float) -> None:
    target = working_grid(grid, spacing_mm)
    conformed = resample(phantoms.head(grid), grid, target)
    assert nib.aff2axcodes(target.affine_ijk_to_ras) == ("R", "A", "S")
    np.testing.assert_allclose(
        phantoms.marker_ras(conformed, target), phantoms.LEFT_MARKER_RAS, atol=0.5
    )
    # In a RAS array the left half comes first.
    assert (np.argwhere(conformed > 600)[:, 0] < target.shape[0] / 2).all()


@pytest.mark.parametrize(
    "grid", [*(phantoms.stored_as(RAS, c) for c in ("RAS", "LAS", "LPI", "PIR")), OBLIQUE]
)
@pytest.mark.parametrize("spacing_mm", [1.5, 2.0])
def test_labels_come_back_on_the_scans_own_grid(
    tmp_path: Path, grid: Grid, spacing_mm: float
) -> None:
    scan = read_scan(_write(tmp_path / "a.nii", grid))
    work = working_grid(scan.grid, spacing_mm)
    labels = phantoms.head_labels(work)
    restored = restore_labels(labels, work, scan.grid)
    write_labels(tmp_path / "a_dseg.nii.gz", restored, scan.grid)
    stored = nib.load(tmp_path / "a_dseg.nii.gz")
    expected, found = phantoms.head_labels(grid), np.asarray(stored.dataobj)
    assert stored.shape == grid.shape
    np.testing.assert_allclose(stored.affine, grid.affine_ijk_to_ras, atol=1e-4)
    for label in (phantoms.LEFT_ID, phantoms.RIGHT_ID, phantoms.MIDLINE_ID):
        assert phantoms.dice(found == label, expected == label) > 0.95
        # Against what was restored: two digitised balls differ by up to 5 % between lattices.
        before_ml = (labels == label).sum() * work.voxel_ml
        assert (found == label).sum() * scan.grid.voxel_ml == pytest.approx(before_ml, rel=0.02)
    left_mm = phantoms.ras_mm(grid)[0][found == phantoms.LEFT_ID]
    assert left_mm.max() < 0
