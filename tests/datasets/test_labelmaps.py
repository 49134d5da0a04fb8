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


def test_white_matter_without_a_side_goes_to_the_nearer_one(tmp_path: Path) -> None:
    ids = head()
    half = ids.shape[0] // 2
    plain = load_label_map(save(ids, tmp_path / "plain.nii.gz", RAS))
    for label_id, where in ((77, slice(half, None)), (80, slice(0, half)), (253, slice(0, None))):
        white = np.isin(ids, (2, 41)) & (np.arange(ids.shape[1]) == 44)[:, None]
        white[: where.start], white[where.stop or ids.shape[0] :] = False, False
        path = save(np.where(white, label_id, ids), tmp_path / f"{label_id}.nii.gz", RAS)
        assert np.array_equal(load_label_map(path).index, plain.index)


def test_a_map_without_a_brain_is_refused_by_name(tmp_path: Path) -> None:
    ids = head()
    _refused(tmp_path, np.where(np.isin(ids, (511, 515)), ids, 0), RAS, "must show the brain")


def _in_regions(ids: NDArray[np.int16]) -> NDArray[np.int16]:
    """The cortex in regions, as `aparc+aseg` has it."""
    front = np.arange(ids.shape[1])[:, None] > ids.shape[1] // 2
    for whole, (frontal, other) in ((3, (1024, 1012)), (42, (2024, 2012))):
        ids = np.where(ids == whole, np.where(front, frontal, other), ids)
    return ids.astype(np.int16)


def test_regions_of_aparc_aseg_are_the_cortex_of_their_side(tmp_path: Path) -> None:
    plain = load_label_map(save(head(), tmp_path / "aseg.nii.gz", RAS))
    found = load_label_map(save(_in_regions(head()), tmp_path / "aparc+aseg.nii.gz", RAS))
    assert np.array_equal(found.index, plain.index)


@pytest.mark.parametrize(
    ("lost", "said"), [((3, 42), "no Cerebral-Cortex"), ((2, 41), "no Cerebral-White-Matter")]
)
def test_unknown_ids_may_not_be_all_of_the_cortex_or_the_white_matter(
    tmp_path: Path, lost: tuple[int, int], said: str
) -> None:
    ids = head()
    path = save(np.where(np.isin(ids, lost), 9000, ids), tmp_path / "map.nii.gz", RAS)
    with pytest.raises(LabelError, match=rf"map\.nii\.gz.*{said}"):
        load_label_map(path, ignore_unknown=True)


@pytest.mark.parametrize("place", [-8, -2000])
def test_a_damaged_map_is_refused(tmp_path: Path, place: int) -> None:
    """Also in the checksum, which is behind the last voxel."""
    path = save(head(), tmp_path / "map.nii.gz", RAS)
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(LabelError, match=r"map\.nii\.gz.*readable"):
        load_label_map(path)


def test_a_folder_without_maps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="label maps"):
        find_label_maps(tmp_path)
