from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from fibromorph.errors import ScanError
from fibromorph.grid import Grid
from fibromorph.located import BRAIN_BLOCK
from fibromorph.preprocess import (
    Image,
    conform,
    normalise,
    padded_length,
)
from fibromorph.scans import Scan, read_scan
from fibromorph.serving.engine import Engine


def scan_of(data: Image, spacing_mm: float = 1.0) -> Scan:
    shape = (data.shape[0], data.shape[1], data.shape[2])
    grid = Grid(shape, np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0]))
    return Scan(data, grid, "made-up", Path("made-up.nii.gz"), "NIfTI-1", "0" * 64, ())


def test_normalise_does_not_care_about_units() -> None:
    rng = np.random.default_rng(1)
    image = rng.normal(100, 20, (8, 8, 8)).astype(np.float32)
    assert np.allclose(normalise(image), normalise(image * 7 + 3), atol=1e-4)
    assert abs(float(normalise(image).mean())) < 1e-4


def test_normalise_gives_zeros_for_a_constant() -> None:
    assert not normalise(np.full((4, 4, 4), 5, np.float32)).any()


def test_normalise_inside_a_brain_does_not_care_what_is_around_it() -> None:
    image = np.random.default_rng(1).normal(100, 20, (8, 8, 8)).astype(np.float32)
    brain = np.zeros_like(image)
    brain[2:6, 2:6, 2:6] = 0.8
    other = np.where(brain > 0, image, 7.0).astype(np.float32)
    inside = brain > 0
    assert np.allclose(normalise(image, brain)[inside], normalise(other, brain)[inside])
    assert abs(float(normalise(image, brain)[inside].mean())) < 1e-4
    assert float(normalise(image, brain)[inside].std()) == pytest.approx(1, abs=1e-3)


def test_normalise_pulls_in_a_hot_voxel() -> None:
    image = np.zeros((20, 20, 20), np.float32)
    image[3, 3, 3] = 1e6
    assert normalise(image).max() == pytest.approx(6.0)


def test_padded_length() -> None:
    assert [padded_length(n) for n in (1, 32, 33, 160)] == [32, 32, 64, 160]


def test_an_offset_of_all_intensities_changes_nothing(engine: Engine) -> None:
    data = np.random.default_rng(0).uniform(0, 5, (140, 150, 160)).astype(np.float32)
    data[20:120, 20:130, 30:140] += 100.0
    manifest, seen = engine.bundle.manifest, []

    def bright(image: Image) -> Image:
        seen.append(image)
        return np.asarray(image > image.mean(), np.float32)

    plain, shifted = (
        conform(scan_of(data + offset), manifest.network, manifest.locator, bright)
        for offset in (0.0, -1000.0)
    )
    assert np.allclose(seen[0], seen[1], atol=1e-3)
    assert np.allclose(plain.network_input, shifted.network_input, atol=1e-3)


def test_box_holds_what_the_locator_found(engine: Engine) -> None:
    data = np.zeros((180, 200, 190), np.float32)
    data[30:150, 20:170, 40:160] = 100.0

    def everything_bright(image: Image) -> Image:
        return (image > 0).astype(np.float32)

    manifest = engine.bundle.manifest
    conformed = conform(scan_of(data), manifest.network, manifest.locator, everything_bright)
    assert all(n % 32 == 0 for n in conformed.grid.shape)
    assert conformed.intensities.sum() == pytest.approx(data.sum(), rel=1e-3)
    assert np.prod(conformed.grid.shape) < data.size
    # Where the box is bright is brain, and nowhere else.
    assert conformed.brain.shape == conformed.grid.blocks(BRAIN_BLOCK).shape
    assert conformed.brain.sum() * BRAIN_BLOCK**3 == pytest.approx((data > 0).sum(), rel=0.1)
    bright = conformed.intensities[::BRAIN_BLOCK, ::BRAIN_BLOCK, ::BRAIN_BLOCK] > 0
    assert (conformed.brain[bright] > 0).mean() > 0.99


@pytest.mark.parametrize("by", ["box", "brain"])
def test_a_locator_looks_again_at_intensities_of_what_it_was_trained_by(
    template: Path, engine: Engine, by: Literal["box", "brain"]
) -> None:
    manifest, looks = engine.bundle.manifest, []

    def watched(image: Image) -> Image:
        looks.append(image)
        return engine.locate(image)

    locator = manifest.locator.model_copy(update={"normalised_by": by})
    conform(read_scan(template), manifest.network, locator, watched)
    first, again = (float(image.mean()) for image in looks)
    assert abs(first) < 0.05
    # Nearly all around a brain is darker than it.
    assert abs(again) < 0.05 if by == "box" else again < -1


def test_no_brain_is_one_clear_error(engine: Engine) -> None:
    noise = np.random.default_rng(1).uniform(0, 100, (128, 128, 128)).astype(np.float32)
    manifest = engine.bundle.manifest

    def nothing(image: Image) -> Image:
        return np.zeros_like(image)

    with pytest.raises(ScanError, match="brain of at least 250 ml"):
        conform(scan_of(noise), manifest.network, manifest.locator, nothing)


def test_box_of_the_template_is_the_brain(template: Path, engine: Engine) -> None:
    scan = read_scan(template)
    manifest = engine.bundle.manifest
    conformed = conform(scan, manifest.network, manifest.locator, engine.locate)
    inside = conformed.intensities > 0.05 * conformed.intensities.max()
    whole = scan.data > 0.05 * scan.data.max()
    assert inside.sum() > 0.99 * whole.sum()
