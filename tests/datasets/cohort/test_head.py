from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fibromorph.datasets.cohort.anatomy import Anatomy, read_anatomy
from fibromorph.datasets.cohort.head import LAYERS, with_head
from fibromorph.errors import LabelError
from fibromorph.postprocessing.intracranial import looks_stripped


def test_a_head_makes_a_stripped_brain_whole(anatomy: Anatomy) -> None:
    whole = with_head(anatomy, np.random.default_rng(0))
    assert looks_stripped(anatomy.intensities, anatomy.labels)
    assert not looks_stripped(whole.intensities, whole.labels)
    assert np.count_nonzero(whole.labels == 12) == np.count_nonzero(anatomy.labels == 12)
    shell_mm = LAYERS[0].outer_mm
    grown = np.count_nonzero(whole.labels) / np.count_nonzero(anatomy.labels)
    assert 1.0 < grown < (1 + 1.5 * shell_mm / 40) ** 3


def test_the_head_leaves_the_brain_where_it_was(anatomy: Anatomy) -> None:
    whole = with_head(anatomy, np.random.default_rng(0))
    voxel = np.argwhere(anatomy.labels == 12)[0]
    mm = anatomy.grid.affine_ijk_to_ras @ [*voxel, 1]
    i, j, k = np.rint(whole.grid.affine_ras_to_ijk @ mm)[:3].astype(int)
    assert whole.labels[i, j, k] == 12
    assert whole.intensities[i, j, k] == anatomy.intensities[tuple(voxel)]


def test_an_anatomy_of_ones_own(anatomy: Anatomy, tmp_path: Path) -> None:
    """A scan stored left to right, in its own unit, with labels on another grid."""
    affine = anatomy.grid.affine_ijk_to_ras
    flipped = affine @ np.diag([-1.0, 1, 1, 1])
    flipped[:3, 3] = affine[:3, :3] @ [anatomy.labels.shape[0] - 1, 0, 0] + affine[:3, 3]
    scan, labels = tmp_path / "t1.nii.gz", tmp_path / "dseg.nii.gz"
    nib.save(nib.Nifti1Image(300 * anatomy.intensities[::-1], flipped), scan)
    nib.save(nib.Nifti1Image(anatomy.labels, affine), labels)
    own = read_anatomy(scan, labels)
    assert own.ids == anatomy.ids
    assert np.median(own.intensities[own.labels == 2]) == pytest.approx(1)
    x = (np.argwhere(own.labels == 12) @ own.grid.affine_ijk_to_ras[0, :3]).mean()
    assert x + own.grid.affine_ijk_to_ras[0, 3] == pytest.approx(-19, abs=0.5)


def test_labels_that_are_not_of_this_scan(anatomy: Anatomy, tmp_path: Path) -> None:
    scan, labels = tmp_path / "t1.nii.gz", tmp_path / "dseg.nii.gz"
    affine = anatomy.grid.affine_ijk_to_ras.copy()
    nib.save(nib.Nifti1Image(anatomy.intensities, affine), scan)
    affine[:3, 3] += 500
    nib.save(nib.Nifti1Image(anatomy.labels, affine), labels)
    with pytest.raises(LabelError, match="cover the scan"):
        read_anatomy(scan, labels)
