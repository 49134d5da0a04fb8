"""Shares of tissue, from labels and posteriors."""

from __future__ import annotations

import numpy as np

from fibromorph.grid import Grid
from fibromorph.labels import FREESURFER, NEUROMORPHOMETRICS
from fibromorph.postprocessing.tissue import shares_of, tissue_shares

CORTEX_ID, WHITE_ID, VENTRICLE_ID, THALAMUS_ID, STEM_ID = 3, 2, 4, 10, 16
GRID = Grid((12, 12, 12), np.eye(4))


def slabs(first: int, second: int) -> np.ndarray:
    labels = np.full(GRID.shape, first, np.uint8)
    labels[6:] = second
    return labels


def grey_and_white(labels: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    sure = np.full(labels.shape, confidence, np.float32)
    tissue = tissue_shares(labels, sure, FREESURFER, GRID)
    return tissue.grey, tissue.white


def test_what_a_posterior_leaves_at_a_border_belongs_to_the_tissue_across_it() -> None:
    grey, white = grey_and_white(slabs(CORTEX_ID, WHITE_ID), 0.7)
    assert np.allclose(grey[5], 0.7)
    assert np.allclose(white[5], 0.3)
    assert np.allclose(grey[6], 0.3)
    assert np.allclose(white[6], 0.7)


def test_far_from_a_border_a_voxel_is_all_of_its_tissue() -> None:
    grey, white = grey_and_white(slabs(CORTEX_ID, WHITE_ID), 0.7)
    assert np.all(grey[:5] == 1.0)
    assert np.all(white[7:] == 1.0)


def test_beside_fluid_the_rest_is_neither_grey_nor_white() -> None:
    grey, white = grey_and_white(slabs(CORTEX_ID, VENTRICLE_ID), 0.6)
    assert np.allclose(grey[5], 0.6)
    assert np.allclose(white[5], 0.0)
    assert np.allclose(grey[6], 0.4)


def test_beside_a_ventricle_what_is_left_is_fluid() -> None:
    labels = slabs(CORTEX_ID, VENTRICLE_ID)
    _, _, fluid = shares_of(labels, np.full(labels.shape, 0.6, np.float32), FREESURFER)
    assert np.all(fluid[:5] == 0.0)
    assert np.allclose(fluid[5], 0.4)
    assert np.allclose(fluid[6], 0.6)


def test_where_regions_of_the_cortex_meet_all_is_cortex() -> None:
    names = "Middle-Frontal-Gyrus", "Superior-Frontal-Gyrus"
    labels = slabs(*(NEUROMORPHOMETRICS.ids_of(name)[0] for name in names))
    labels[:, :2] = WHITE_ID
    sure = np.full(labels.shape, 0.5, np.float32)
    grey, white, _ = shares_of(labels, sure, NEUROMORPHOMETRICS)
    assert np.all(grey[5, 4:] == 1.0)
    assert np.all(white[5, 4:] == 0.0)
    assert np.allclose(grey[1, 2], 0.5)


def test_structures_count_as_their_table_says() -> None:
    grey, white = grey_and_white(slabs(THALAMUS_ID, STEM_ID), 1.0)
    assert np.all(grey[:6] == 1.0)
    assert np.all(white[6:] == 1.0)


def test_a_picture_of_tissue_looks_like_a_t1_weighted_scan() -> None:
    labels = slabs(CORTEX_ID, WHITE_ID)
    labels[0] = 0
    picture = tissue_shares(labels, np.ones(labels.shape, np.float32), FREESURFER, GRID).picture
    assert picture[0, 0, 0] == 0.0
    assert picture[3, 0, 0] == 1.0
    assert picture[9, 0, 0] == 2.0
