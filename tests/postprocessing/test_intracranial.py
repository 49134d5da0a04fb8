"""Intracranial volume, and scans without a skull."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fibromorph.labels import to_freesurfer
from fibromorph.postprocessing.intracranial import (
    etiv_ml,
    intracranial_mask,
    looks_stripped,
    tissue_share_around,
)
from tests.postprocessing.phantoms import SPACING_MM, Head, coordinates_mm, ellipsoid, ras_grid

SPACING = (SPACING_MM, SPACING_MM, SPACING_MM)


def test_a_head_is_told_from_a_stripped_one(head: Head, stripped_head: Head) -> None:
    assert not looks_stripped(head.image, head.labels, SPACING)
    assert looks_stripped(stripped_head.image, stripped_head.labels, SPACING)


def test_noise_around_a_stripped_brain_is_not_a_head(stripped_head: Head) -> None:
    noise = np.abs(np.random.default_rng(2).normal(0, 4, stripped_head.labels.shape))
    image = np.where(stripped_head.labels > 0, stripped_head.image, noise).astype(np.float32)
    assert looks_stripped(image, stripped_head.labels, SPACING)


def test_nothing_segmented_is_not_called_stripped(head: Head) -> None:
    assert not looks_stripped(head.image, np.zeros_like(head.labels), SPACING)
    assert tissue_share_around(head.image, np.zeros_like(head.labels), SPACING) is None


def test_the_intracranial_volume_is_that_of_the_solid(head: Head) -> None:
    solid = 4 / 3 * np.pi * 70 * 86 * 64 / 1000
    assert etiv_ml(head.labels, head.grid, stripped=False) == pytest.approx(solid, rel=0.01)


def test_holes_and_narrow_gaps_count_as_intracranial(head: Head) -> None:
    labels = head.labels.copy()
    labels[labels == 4] = 0
    labels[47:49, :, 48:] = 0
    whole = etiv_ml(head.labels, head.grid, stripped=False)
    assert etiv_ml(labels, head.grid, stripped=False) == pytest.approx(whole, rel=0.01)


def test_a_stripped_or_empty_scan_has_no_intracranial_volume(head: Head) -> None:
    assert etiv_ml(head.labels, head.grid, stripped=True) is None
    assert etiv_ml(np.zeros_like(head.labels), head.grid, stripped=False) is None


def test_a_brain_at_the_edge_of_the_image_does_not_shrink() -> None:
    grid = ras_grid((40, 40, 40))
    labels = ellipsoid(coordinates_mm(grid), (60, 60, 60)).astype(np.uint8)
    mask = intracranial_mask(labels, grid.spacing_mm)
    assert mask.shape == labels.shape
    assert (mask[labels > 0]).all()


def test_a_manual_map_gains_little_by_closing(data_root: Path) -> None:
    image = nib.load(data_root / "labelmaps" / "training_seg_01.nii.gz")
    labels = to_freesurfer(np.asarray(image.dataobj).astype(np.int32), "freesurfer")
    mask = intracranial_mask(labels.astype(np.uint8), (1.0, 1.0, 1.0))
    assert 1.0 <= mask.sum() / (labels > 0).sum() < 1.03


@pytest.mark.parametrize("name", ["1000", "1036"])
def test_real_stripped_scans_are_recognised(name: str, data_root: Path) -> None:
    folder = data_root / "malc2012"
    image, reference = (
        np.squeeze(np.asarray(nib.load(folder / f"{name}_{what}.nii.gz").dataobj))
        for what in ("SS", "glm")
    )
    assert looks_stripped(image.astype(np.float32), (reference > 0).astype(np.uint8))
