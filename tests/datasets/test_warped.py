"""Real scans, warped where training runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fibromorph.datasets.labelled import LabelledFolder, LabelledScan, load_labelled_scans
from fibromorph.datasets.labelmaps import LabelMap
from fibromorph.datasets.synthesis import SynthesisSettings
from fibromorph.datasets.warped import Head, ScanOnDevice, warp
from fibromorph.labels import FREESURFER

SHAPE = (96, 128, 96)
PLACING = ("rotation_deg", "scaling", "shear", "elastic_mm", "local_scaling", "flip", "jitter_mm")
ACQUIRING = ("noise_sd", "bias", "gamma", "blur_mm", "thick", "stripped", "cut")
OFF: dict[str, Any] = dict.fromkeys((*PLACING, *ACQUIRING), 0.0)
STILL = SynthesisSettings(**OFF)
FLUID = FREESURFER.class_of_name("CSF")


@pytest.fixture(scope="module")
def on_device(labelled_scan: LabelledScan) -> ScanOnDevice:
    return ScanOnDevice.of(labelled_scan, torch.device("cpu"))


def test_left_stays_left_in_a_mirror(on_device: ScanOnDevice) -> None:
    for flip in (0.0, 1.0):
        sample = warp(on_device, SHAPE, replace(STILL, flip=flip), seed=1)
        left, right = ((sample.sides == side).nonzero()[:, 0].float().mean() for side in (1, 2))
        assert left < right - 10


def test_labels_move_with_the_image(on_device: ScanOnDevice) -> None:
    settings = SynthesisSettings(stripped=0.0, noise_sd=0.02, thick=0.0, cut=0.0)
    for seed in range(3):
        sample = warp(on_device, SHAPE, settings, seed)
        white, cortex = (sample.image[sample.classes == c].mean() for c in (1, 2))
        assert white > cortex + 0.3
        assert sample.groups == on_device.scan.groups


def test_lesions_are_planted_in_the_white_matter_of_a_real_scan(on_device: ScanOnDevice) -> None:
    plain, spotted = (warp(on_device, SHAPE, replace(STILL, lesions=x), seed=2) for x in (0.0, 1.0))
    assert torch.equal(plain.classes, spotted.classes)
    darker = plain.image - spotted.image
    # Both are normalised, so that all of the picture moves a little.
    assert (plain.classes[darker > 0.3] == FREESURFER.class_of_name("Cerebral-White-Matter")).all()
    assert (darker > 0.3).any()


def test_a_head_is_put_around_the_brain_and_leaves_it_alone(
    on_device: ScanOnDevice, head_map: LabelMap, head_index: Tensor
) -> None:
    bare = warp(on_device, SHAPE, STILL, seed=3)
    dressed = warp(on_device, SHAPE, STILL, seed=3, head=Head(head_map, head_index))
    assert torch.equal(bare.classes, dressed.classes)
    air = bare.image == bare.image.min()
    assert dressed.image[air].std() > 0.2
    brain = bare.classes > 0
    both = torch.stack([bare.image[brain], dressed.image[brain]])
    assert torch.corrcoef(both)[0, 1] > 0.98


def test_the_skull_of_a_head_that_was_put_around_a_brain_is_removed_again(
    on_device: ScanOnDevice, head_map: LabelMap, head_index: Tensor
) -> None:
    head = Head(head_map, head_index)
    dressed, bare = (
        warp(on_device, SHAPE, replace(STILL, stripped=share), 3, head) for share in (0.0, 1.0)
    )
    removed = bare.image == bare.image.min()
    assert removed.float().mean() > (dressed.image == dressed.image.min()).float().mean() + 0.1
    assert torch.equal(bare.classes[~removed], dressed.classes[~removed])
    brain = (dressed.classes > 0) & (dressed.classes != FLUID)
    assert not removed[brain].any()
    # A scan without a skull has none to lose.
    alone = warp(on_device, SHAPE, replace(STILL, stripped=1.0), seed=3)
    assert torch.equal(alone.image, warp(on_device, SHAPE, STILL, seed=3).image)


def test_fluid_in_a_roomier_skull_is_known_and_the_brain_is_the_same(
    scan_folder: Path, head_map: LabelMap, head_index: Tensor
) -> None:
    where = LabelledFolder(scan_folder, only=("s1",), fluid_beside_labels=True)
    (scan,) = load_labelled_scans(where)
    on_device = ScanOnDevice.of(scan, torch.device("cpu"))
    head = Head(head_map, head_index)
    bare = warp(on_device, SHAPE, STILL, seed=3)
    full = warp(on_device, SHAPE, replace(STILL, atrophy=0.0), 3, head)
    roomy = warp(on_device, SHAPE, replace(STILL, atrophy=1.0, atrophy_most=0.2), 3, head)
    fluid = [int((sample.classes == FLUID).sum()) for sample in (bare, full, roomy)]
    assert 0.8 * fluid[0] < fluid[1] < 1.3 * fluid[0]
    assert fluid[2] > 1.3 * fluid[1]
    for sample in (full, roomy):
        assert sample.groups[FLUID] == FLUID
        brain = (sample.classes > 0) & (sample.classes != FLUID)
        assert torch.equal(sample.classes[brain], bare.classes[brain])
        shown = sample.image[sample.classes == FLUID]
        assert shown.quantile(0.9) < sample.image[sample.classes == 2].quantile(0.1)


def test_the_same_seed_gives_the_same_sample(on_device: ScanOnDevice) -> None:
    first, again = (warp(on_device, SHAPE, SynthesisSettings(), seed=5) for _ in range(2))
    assert torch.equal(first.image, again.image)
    assert not torch.equal(first.image, warp(on_device, SHAPE, SynthesisSettings(), 6).image)
