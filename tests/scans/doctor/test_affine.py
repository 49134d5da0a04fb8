from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fibromorph.errors import ScanError
from fibromorph.grid import Grid
from fibromorph.scans import Finding, Scan, read_scan
from tests.scans import phantoms

GRID = phantoms.ras_grid((20, 24, 18), (6.0, 6.0, 6.0))
PIXDIM_AT, CODES_AT, SROW_AT = 76, 252, 280


def _read(path: Path, image: Any) -> Scan:
    return read_scan(phantoms.save(image, path / "a.nii"))


def _finding(scan: Scan, code: str) -> Finding:
    [finding] = [f for f in scan.findings if f.code == code]
    return finding


def _image(sform: Grid | None, qform: Grid | None) -> Any:
    image = phantoms.nifti(GRID)
    for grid, put in ((sform, image.set_sform), (qform, image.set_qform)):
        put(None if grid is None else grid.affine_ijk_to_ras, 0 if grid is None else 1)
    return image


def test_agreeing_forms_are_not_mentioned(tmp_path: Path) -> None:
    scan = _read(tmp_path, _image(GRID, GRID))
    assert scan.grid.same_as(GRID)
    assert phantoms.codes(scan) == ["coarse_voxels"]


@pytest.mark.parametrize(("sform", "qform"), [(GRID, None), (None, GRID)])
def test_one_form_is_enough(tmp_path: Path, sform: Grid | None, qform: Grid | None) -> None:
    scan = _read(tmp_path, _image(sform, qform))
    assert scan.grid.same_as(GRID)
    assert "sform_qform" not in phantoms.codes(scan)


def test_forms_that_differ_by_a_move_take_the_sform_and_say_how_far(tmp_path: Path) -> None:
    moved = GRID.affine_ijk_to_ras.copy()
    moved[0, 3] += 12.5
    scan = _read(tmp_path, _image(Grid(GRID.shape, moved), GRID))
    np.testing.assert_allclose(scan.grid.affine_ijk_to_ras, moved, atol=1e-4)
    finding = _finding(scan, "sform_qform")
    assert (finding.severity, finding.value) == ("warning", 12.5)
    assert "12.5 mm; the sform was used" in finding.message


def test_an_sform_into_a_template_must_not_change_volumes_in_ml(tmp_path: Path) -> None:
    larger = GRID.affine_ijk_to_ras.copy()
    larger[:3, :3] *= 1.1
    scan = _read(tmp_path, _image(Grid(GRID.shape, larger), GRID))
    assert scan.grid.voxel_ml == pytest.approx(GRID.voxel_ml)
    assert "qform was used" in _finding(scan, "sform_qform").message


def test_forms_that_swap_left_and_right_say_so(tmp_path: Path) -> None:
    scan = _read(tmp_path, _image(phantoms.stored_as(GRID, "LAS"), GRID))
    assert "swap left and right" in _finding(scan, "sform_qform").message


def test_no_form_at_all_is_a_guess_about_the_side(tmp_path: Path) -> None:
    scan = _read(tmp_path, _image(None, None))
    assert _finding(scan, "no_orientation").severity == "warning"
    assert "guess" in _finding(scan, "no_orientation").message
    assert scan.grid.spacing_mm == pytest.approx((6, 6, 6))


@pytest.mark.parametrize("broken", [np.nan, 0.0])
def test_a_broken_sform_gives_way_to_the_qform(tmp_path: Path, broken: float) -> None:
    path = phantoms.save(_image(GRID, GRID), tmp_path / "a.nii")
    phantoms.patched(path, SROW_AT, np.full(12, broken, "<f4").tobytes())
    scan = read_scan(path)
    assert scan.grid.same_as(GRID)
    assert _finding(scan, "broken_sform").severity == "mended"


@pytest.mark.parametrize("broken", [np.nan, np.inf, 0.0])
def test_nothing_but_a_broken_affine_is_refused(tmp_path: Path, broken: float) -> None:
    path = phantoms.save(_image(GRID, None), tmp_path / "a.nii")
    phantoms.patched(path, SROW_AT, np.full(12, broken, "<f4").tobytes())
    with pytest.raises(ScanError, match="finite and invertible"):
        read_scan(path)


@pytest.mark.parametrize("size", [0.0, -6.0, np.nan])
def test_impossible_voxel_sizes_give_way_to_the_sform(tmp_path: Path, size: float) -> None:
    path = phantoms.save(_image(GRID, None), tmp_path / "a.nii")
    scan = read_scan(phantoms.patched(path, PIXDIM_AT + 4, np.full(3, size, "<f4").tobytes()))
    assert scan.grid.same_as(GRID)
    assert _finding(scan, "voxel_size").severity == "mended"


@pytest.mark.parametrize("size", [0.0, np.nan])
def test_impossible_voxel_sizes_and_no_affine_are_refused(tmp_path: Path, size: float) -> None:
    path = phantoms.save(_image(None, None), tmp_path / "a.nii")
    phantoms.patched(path, PIXDIM_AT + 4, np.full(3, size, "<f4").tobytes())
    phantoms.patched(path, CODES_AT, bytes(4))
    with pytest.raises(ScanError, match="voxel sizes must be positive"):
        read_scan(path)


def test_an_oblique_scan_is_noted_with_its_angle(tmp_path: Path) -> None:
    oblique = phantoms.turned(GRID, 20.0)
    finding = _finding(_read(tmp_path, _image(oblique, oblique)), "oblique_axes")
    assert finding.severity == "note"
    assert finding.value == pytest.approx(22.3, abs=0.5)


@pytest.mark.parametrize("degrees", [5.0, 40.0])
def test_sheared_axes_warn_or_are_refused_with_the_angle(tmp_path: Path, degrees: float) -> None:
    affine = GRID.affine_ijk_to_ras.copy()
    affine[:2, 1] = 6 * np.sin(np.radians(degrees)), 6 * np.cos(np.radians(degrees))
    image = _image(Grid(GRID.shape, affine), None)
    if degrees > 30:
        with pytest.raises(ScanError, match=r"right angles.*40\.0"):
            _read(tmp_path, image)
        return
    finding = _finding(_read(tmp_path, image), "sheared_axes")
    assert finding.value == pytest.approx(degrees, abs=0.01)


def test_coarse_and_anisotropic_voxels_warn_with_the_number(tmp_path: Path) -> None:
    grid = phantoms.ras_grid((60, 70, 20), (2.0, 2.0, 6.0))
    scan = _read(tmp_path, phantoms.nifti(grid))
    assert "6.00 mm" in _finding(scan, "coarse_voxels").message
    assert "3.0 times" in _finding(scan, "anisotropic_voxels").message
    assert _finding(scan, "anisotropic_voxels").value == [2.0, 2.0, 6.0]


@pytest.mark.parametrize("spacing_mm", [0.05, 9.0])
def test_voxels_no_scanner_makes_are_refused(tmp_path: Path, spacing_mm: float) -> None:
    grid = phantoms.ras_grid((20, 24, 18), (spacing_mm,) * 3)
    with pytest.raises(ScanError, match=r"0\.1 to 8\.0 mm a side"):
        _read(tmp_path, phantoms.nifti(grid, np.ones(grid.shape, np.float32)))
