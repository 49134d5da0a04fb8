"""Scans of real people, which lie beside the repository and never in it."""

from __future__ import annotations

import nibabel as nib
import pytest

from fibromorph.scans import read_scan
from tests.scans import phantoms


def test_the_t1_of_a_mixed_zip_with_a_gap() -> None:
    scan = read_scan(phantoms.shared_data("scans/adi_brain_dicom.zip"))
    by_code = {f.code: f for f in scan.findings}
    assert "series 5: 175 slices" in by_code["dicom_series"].message
    assert by_code["missing_slices"].value == {"missing": 1, "of": 176, "at": [115]}
    assert scan.data.shape == (192, 192, 176)


def test_a_series_with_sparse_headers() -> None:
    scan = read_scan(phantoms.shared_data("scans/studyforrest_dicom.zip"))
    assert sorted(scan.data.shape) == [274, 384, 384]
    assert sorted(scan.grid.spacing_mm) == pytest.approx([0.667, 0.667, 0.7], abs=0.01)


@pytest.mark.parametrize("name", ["scans/chris_t1.nii.gz", "malc2012/1000_SS.nii.gz"])
def test_nifti_as_nibabel_reads_it(name: str) -> None:
    path = phantoms.shared_data(name)
    scan, image = read_scan(path), nib.load(path)
    assert scan.data.shape == image.shape[:3]
    assert scan.data[::7, ::7, ::7] == pytest.approx(image.get_fdata()[::7, ::7, ::7], rel=1e-5)
    assert scan.grid.affine_ijk_to_ras == pytest.approx(image.affine, abs=1e-3)
