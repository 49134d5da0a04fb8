"""What a user notices of cleaning: no islands, one hippocampus a side, nothing else moved."""

from __future__ import annotations

import numpy as np
import pytest

from fibromorph.errors import LabelError
from fibromorph.labels import FREESURFER
from fibromorph.postprocessing.components import (
    fill_holes,
    grow,
    keep_main_components,
    posteriors_moved,
)
from tests.postprocessing.phantoms import Head


def test_a_clean_segmentation_is_left_alone(head: Head) -> None:
    cleaned = keep_main_components(head.labels, FREESURFER)
    assert np.array_equal(cleaned, head.labels)


def test_an_island_in_the_neck_is_cleared(head: Head) -> None:
    dirty = head.labels.copy()
    dirty[2:6, 2:6, 2:6] = 42
    cleaned = keep_main_components(dirty, FREESURFER)
    assert np.array_equal(cleaned, head.labels)
    assert (dirty[2:6, 2:6, 2:6] == 42).all(), "the input is not changed"


def test_a_second_hippocampus_becomes_what_surrounds_it(head: Head) -> None:
    dirty = head.labels.copy()
    spot = np.s_[28:31, 59:62, 59:62]
    assert (head.labels[spot] == 2).all()
    dirty[spot] = 17
    cleaned = keep_main_components(dirty, FREESURFER)
    assert np.array_equal(cleaned, head.labels)


def test_with_a_voxel_goes_the_posterior_that_won_it(head: Head) -> None:
    dirty = head.labels.copy()
    dirty[28:31, 59:62, 59:62] = 17
    dirty[2:6, 2:6, 2:6] = 42
    confidence = np.full(dirty.shape, 0.5, np.float32)
    moved = posteriors_moved(dirty, keep_main_components(dirty, FREESURFER), confidence)
    assert moved == {2: 13.5, 17: -13.5, 42: -32.0}
    assert posteriors_moved(head.labels, head.labels, confidence) == {}


def test_twins_do_not_share_their_main_part(head: Head) -> None:
    cleaned = keep_main_components(head.labels, FREESURFER)
    assert (cleaned == 17).sum() == (cleaned == 53).sum() > 0


def test_a_ventricle_may_have_two_parts(head: Head) -> None:
    dirty = head.labels.copy()
    dirty[26:29, 60:63, 56:59] = 4
    cleaned = keep_main_components(dirty, FREESURFER)
    assert (cleaned[26:29, 60:63, 56:59] == 4).all()


def test_a_small_gap_does_not_make_an_island() -> None:
    labels = np.zeros((40, 20, 20), dtype=np.uint8)
    labels[2:20, 4:16, 4:16] = 8
    for gap, kept in ((2, True), (4, False)):
        apart = labels.copy()
        apart[20 + gap : 24 + gap, 4:16, 4:16] = 46
        cleaned = keep_main_components(apart, FREESURFER)
        assert (cleaned == 46).any() == kept


def test_an_empty_segmentation_stays_empty() -> None:
    cleaned = keep_main_components(np.zeros((8, 8, 8), np.uint8), FREESURFER)
    assert not cleaned.any()


def test_a_foreign_id_is_named() -> None:
    labels = np.full((4, 4, 4), 99, dtype=np.uint8)
    with pytest.raises(LabelError, match="99"):
        keep_main_components(labels, FREESURFER)


def test_growing_is_dilation_by_faces_and_stops_at_the_border() -> None:
    mask = np.zeros((5, 5, 5), dtype=bool)
    mask[2, 2, 2] = True
    assert grow(mask, 1).sum() == 7
    assert grow(mask, 2).sum() == 25
    assert grow(mask, 9).all()


def test_a_cavity_is_filled_and_a_bay_is_not() -> None:
    mask = np.ones((7, 7, 7), dtype=bool)
    mask[3, 3, 3] = False
    mask[0:2, 1, 1] = False
    filled = fill_holes(mask)
    assert filled[3, 3, 3]
    assert not filled[0:2, 1, 1].any()
