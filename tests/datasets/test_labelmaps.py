"""Reading label maps, and refusing what is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fibromorph.datasets.labelmaps import LabelMap, find_label_maps, load_label_map
from fibromorph.datasets.tissues import GENERATION_IDS
from fibromorph.errors import LabelError
from tests.datasets.phantoms import RAS, head, save


def test_a_map_stored_lia_is_read_in_ras_order(head_map: LabelMap) -> None:
    left, right = GENERATION_IDS.index(17), GENERATION_IDS.index(53)
    left_i = np.argwhere(head_map.index == left)[:, 0].mean()
    right_i = np.argwhere(head_map.index == right)[:, 0].mean()
    assert left_i < right_i
    assert len(head_map.sha256) == 64


def test_the_brain_box_leaves_fluid_out(head_map: LabelMap) -> None:
    size = np.subtract(head_map.brain_stop, head_map.brain_start)
    assert np.all(size < head_map.index.shape)
    assert np.abs(size - (54, 70, 54)).max() <= 2


def _refused(tmp_path: Path, ids: NDArray[np.int16], affine: NDArray[np.float64], say: str) -> None:
    path = save(ids, tmp_path / "map.nii.gz", RAS)
    if affine is not RAS:
        import nibabel as nib

        nib.save(nib.Nifti1Image(ids, affine), path)
    with pytest.raises(LabelError, match=say) as caught:
        load_label_map(path)
    assert "map.nii.gz" in str(caught.value)


def test_two_millimetre_maps_are_refused(tmp_path: Path) -> None:
    _refused(tmp_path, head(), np.diag([2.0, 2.0, 2.0, 1.0]), "1 mm")


def test_maps_without_background_are_refused(tmp_path: Path) -> None:
    _refused(tmp_path, np.full((8, 8, 8), 2, dtype=np.int16), RAS, "background")


def test_unknown_ids_are_refused_or_ignored_when_asked(tmp_path: Path) -> None:
    ids = head()
    ids[ids == 17] = 999
    _refused(tmp_path, ids, RAS, "999")
    ignored = load_label_map(tmp_path / "map.nii.gz", ignore_unknown=True)
    assert not (ignored.index == GENERATION_IDS.index(17)).any()


def test_a_folder_without_maps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="label maps"):
        find_label_maps(tmp_path)
