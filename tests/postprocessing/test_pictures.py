"""The mosaic shows the right slices, the right way round, in the table's colours."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fibromorph.labels import FREESURFER
from fibromorph.postprocessing.pictures import FRACTIONS, mosaic_png
from tests.postprocessing.phantoms import Head

# Of the phantom's axial slices, the caption left out.
AXIAL_HEIGHT = 400
GREEN, PUTAMEN = (0, 225, 27), (236, 13, 176)


def pixels(png: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(BytesIO(png)).convert("RGB"))


@pytest.fixture(scope="module")
def mosaic(head: Head) -> NDArray[np.uint8]:
    return pixels(mosaic_png(head.image, head.labels, head.grid, FREESURFER))


def where(mosaic: NDArray[np.uint8], colour: tuple[int, int, int]) -> NDArray[np.intp]:
    """(n, 2) rows and columns of the pixels of one colour, near enough."""
    away = np.abs(mosaic.astype(int) - colour).max(axis=2)
    return np.argwhere(away <= 2)


def test_there_are_five_slices_a_plane(mosaic: NDArray[np.uint8]) -> None:
    assert len(FRACTIONS) == 5
    assert mosaic.shape[1] % 5 == 0
    tile = mosaic.shape[1] // 5
    bright = mosaic.max(axis=2) > 60
    for column in range(5):
        assert bright[:, column * tile : (column + 1) * tile].any()


def test_outlines_have_the_colours_of_the_table(mosaic: NDArray[np.uint8]) -> None:
    assert len(where(mosaic, GREEN)) > 50
    assert len(where(mosaic, PUTAMEN)) > 50


def test_the_left_of_the_head_is_on_the_left(head: Head) -> None:
    labels = head.labels.copy()
    labels[labels == 51] = 41
    picture = pixels(mosaic_png(head.image, labels, head.grid, FREESURFER, (0.5,)))
    found = where(picture, PUTAMEN)
    axial = found[found[:, 0] < AXIAL_HEIGHT]
    assert len(axial) > 0
    assert (axial[:, 1] < picture.shape[1] / 2).all()


def test_the_front_is_up_on_axial_slices(stripped_head: Head) -> None:
    image = stripped_head.image.copy()
    image[:, 85:, :] = 400.0
    labels = stripped_head.labels
    picture = pixels(mosaic_png(image, labels, stripped_head.grid, FREESURFER, (0.5,)))
    white = picture.min(axis=2) > 200
    half = AXIAL_HEIGHT // 2
    assert white[:half].sum() > 10 * white[half:AXIAL_HEIGHT].sum()


def test_a_bright_spot_does_not_darken_the_picture(head: Head) -> None:
    image = head.image.copy()
    image[0, 0, 0] = 1e6
    before = pixels(mosaic_png(head.image, head.labels, head.grid, FREESURFER, (0.5,)))
    after = pixels(mosaic_png(image, head.labels, head.grid, FREESURFER, (0.5,)))
    assert np.median(after) == np.median(before)


def test_it_is_small_enough_to_be_embedded(head: Head) -> None:
    assert len(mosaic_png(head.image, head.labels, head.grid, FREESURFER)) < 2_000_000


@pytest.mark.parametrize("level", [0.0, 7.0])
def test_nothing_segmented_still_gives_a_picture(head: Head, level: float) -> None:
    flat = np.full(head.labels.shape, level, dtype=np.float32)
    picture = pixels(mosaic_png(flat, np.zeros_like(head.labels), head.grid, FREESURFER))
    assert picture.size > 0
