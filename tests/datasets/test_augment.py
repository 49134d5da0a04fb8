"""TorchIO's augmentation of real scans."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from fibromorph.datasets.augment import AugmentationSettings, augment
from fibromorph.datasets.labelled import LabelledScan
from fibromorph.errors import ConfigError

SHAPE = (64, 64, 64)
STILL = AugmentationSettings(
    rotation_deg=0, scaling=0, elastic_mm=0, flip=0, jitter_mm=0, bias=0, log_gamma=0, noise_sd=0
)


def test_the_same_seed_gives_the_same_sample(labelled_scan: LabelledScan) -> None:
    before = torch.random.get_rng_state()
    settings = AugmentationSettings()
    first, again, other = (augment(labelled_scan, settings, SHAPE, seed) for seed in (5, 5, 6))
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.classes, again.classes)
    assert not torch.equal(first.image, other.image)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_left_is_left_also_in_a_mirror(labelled_scan: LabelledScan, flip: float) -> None:
    from dataclasses import replace

    sample = augment(labelled_scan, replace(STILL, flip=flip), SHAPE, 1)
    left = (sample.sides == 1).nonzero()[:, 0].float().mean()
    right = (sample.sides == 2).nonzero()[:, 0].float().mean()
    assert left < right - 10


def test_labels_move_with_the_image_and_removed_skull_stays_dark(
    labelled_scan: LabelledScan,
) -> None:
    for seed in range(3):
        sample = augment(labelled_scan, AugmentationSettings(), SHAPE, seed)
        assert torch.isfinite(sample.image).all()
        white, cortex = (sample.image[sample.classes == c].mean() for c in (1, 2))
        assert white > cortex
        outside = sample.image[sample.classes == 0]
        if len(outside) > 100:
            assert outside.median() < cortex
        assert sample.groups == labelled_scan.groups


def test_a_crop_larger_than_the_scan_is_filled_with_air(labelled_scan: LabelledScan) -> None:
    sample = augment(labelled_scan, STILL, (96, 128, 96), 0)
    assert sample.image.shape == (96, 128, 96)
    assert (sample.classes[0] == 0).all()


def test_amplitudes_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="flip"):
        AugmentationSettings(flip=2)
    with pytest.raises(ConfigError, match="noise_sd"):
        AugmentationSettings(noise_sd=-1)
    with pytest.raises(ConfigError, match="scaling"):
        AugmentationSettings(scaling=1.5)


def test_synthesis_does_not_import_torchio() -> None:
    script = (
        "import sys, fibromorph.datasets.synthesis, fibromorph.datasets.augment; "
        "sys.exit('torchio' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
