from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fibromorph.errors import LabelError
from fibromorph.scans import write_labels
from tests.scans import phantoms

GRID = phantoms.turned(phantoms.ras_grid((20, 24, 18), (6.0, 6.0, 6.0)), 8.0)
LABELS = phantoms.head_labels(GRID)


@pytest.mark.parametrize("name", ["a_dseg.nii.gz", "a_dseg.nii"])
def test_the_file_holds_the_labels_and_the_grid_twice(tmp_path: Path, name: str) -> None:
    write_labels(tmp_path / name, LABELS, GRID)
    image = nib.load(tmp_path / name)
    np.testing.assert_array_equal(np.asarray(image.dataobj), LABELS)
    for affine, code in (image.get_sform(coded=True), image.get_qform(coded=True)):
        assert code == 1
        np.testing.assert_allclose(affine, GRID.affine_ijk_to_ras, atol=1e-4)
    assert image.get_data_dtype() == np.uint8
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_the_same_labels_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "b.nii.gz"):
        write_labels(tmp_path / name, LABELS, GRID)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_large_ids_are_kept(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.nii.gz", LABELS.astype(np.int32) * 100, GRID)
    assert np.asarray(nib.load(tmp_path / "a.nii.gz").dataobj).max() == phantoms.RIGHT_ID * 100


@pytest.mark.parametrize(
    ("name", "labels", "message"),
    [
        ("a.nii.gz", LABELS - 1, "-1 to"),
        ("a.nii.gz", LABELS.astype(np.int32) * 1000, "to 53000"),
        ("a.nii.gz", LABELS[1:], "shape of its grid"),
        ("a.mgz", LABELS, r"\.nii\.gz"),
    ],
)
def test_what_cannot_be_written_leaves_nothing(
    tmp_path: Path, name: str, labels: np.ndarray[tuple[int, ...], np.dtype[np.int32]], message: str
) -> None:
    with pytest.raises(LabelError, match=message):
        write_labels(tmp_path / name, labels, GRID)
    assert not list(tmp_path.iterdir())


def test_an_older_result_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_bytes(b"old")
    write_labels(path, LABELS, GRID)
    assert nib.load(path).shape == GRID.shape
