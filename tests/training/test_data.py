"""Which sample comes when, and which files it comes from."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
from torch.utils.data import DistributedSampler

from fibromorph.datasets.labelled import LabelledFolder
from fibromorph.errors import ConfigError
from fibromorph.training.data import LabelMapData
from fibromorph.training.sampling import part_of
from fibromorph.training.slots import SampleNumbers
from tests.datasets.phantoms import write_label_maps, write_labelled_scans


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> LabelMapData:
    folder = tmp_path_factory.mktemp("data")
    maps = write_label_maps(folder / "maps")
    real = write_labelled_scans(folder / "real", ("s1", "s2"))
    data = LabelMapData(
        maps,
        held_out=1,
        batch_size=2,
        steps_per_epoch=3,
        labelled_scans=LabelledFolder(real, only=("s1",)),
        validation_scans=LabelledFolder(real, only=("s2",)),
    )
    data.setup("fit")
    return data


def test_numbers_never_meet_twice_over_epochs_devices_and_slices() -> None:
    seen: list[int] = []
    for rank in range(2):
        used = iter((12, 18))
        numbers = SampleNumbers(3, used.__next__, replicas=2, rank=rank)
        seen += [*numbers, *numbers]
    assert sorted(seen) == list(range(12, 24))


def test_held_out_maps_are_not_trained_on(data: LabelMapData) -> None:
    assert [m.name for m in data.training_maps] == ["head_1.nii.gz", "head_2.nii.gz"]
    assert [m.name for m in data.validation_maps] == ["head_3.nii.gz"]
    assert len(data.val_dataloader()) == 2


def test_devices_validate_every_head_once_and_wait_for_one_another(
    data: LabelMapData, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = []
    for rank in range(3):
        monkeypatch.setattr(data, "trainer", SimpleNamespace(world_size=3, global_rank=rank))
        loader = data.val_dataloader()
        # Lightning leaves such samplers as they are.
        assert isinstance(loader.sampler, DistributedSampler)
        numbers.append([slot.number for batch in loader for slot in batch])
    assert numbers == [[0], [1], [2]]
    assert data.validation_count == 2  # 2 is nobody's


def test_heads_that_the_weights_know_are_no_validation(data: LabelMapData) -> None:
    hashes = data.hashes()
    with pytest.warns(UserWarning, match="from 2 of the 2 heads that validation scores"):
        data.warn_of_learnt({**hashes["validation_label_maps"], **hashes["validation_scans"]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.warn_of_learnt(data.hashes()["label_maps"])


def test_every_file_is_on_record(data: LabelMapData) -> None:
    hashes = data.hashes()
    assert set(hashes["label_maps"]) == {"head_1.nii.gz", "head_2.nii.gz"}
    assert set(hashes["validation_scans"]) == {"s2", "s2 labels"}
    assert all(len(sha) == 64 for part in hashes.values() for sha in part.values())


def test_real_scans_come_in_their_share_and_crop(data: LabelMapData) -> None:
    data.mix_real_scans(0.5, (64, 64, 64), seed=1)
    slots = [slot for batch in data.train_dataloader() for slot in batch]
    real = [slot.real for slot in slots if slot.real is not None]
    assert 0 < len(real) < len(slots) == 6
    part = part_of(real[0], (32, 32, 32), seed=1)
    assert part.image.shape == part.classes.shape == part.sides.shape == (32, 32, 32)


def test_real_scans_and_their_share_belong_together(data: LabelMapData) -> None:
    with pytest.raises(ConfigError, match="belong together"):
        data.require_real_scans(0.0)


def test_at_least_one_map_stays_to_train_on(tmp_path: Path) -> None:
    maps = write_label_maps(tmp_path / "maps", 1)
    with pytest.raises(ConfigError, match="held_out"):
        LabelMapData(maps, held_out=1)
