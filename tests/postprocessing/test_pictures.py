"""The mosaic shows the right slices, the right way round, in the table's colours."""

from __future__ import annotations

from io import BytesIO
from itertools import groupby

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from fibromorph.labels import FREESURFER
from fibromorph.postprocessing.pictures import FRACTIONS, mosaic_png
from tests.postprocessing.phantoms import Head

# Of the phantom's axial slices, the caption left out.
AXIAL_HEIGHT = 400
GREEN, PUTAMEN, CORTEX = (0, 225, 27), (236, 13, 176), (225, 68, 86)
CAPTION_FONT = ImageFont.load_default(22)


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


def letter(ink: NDArray[np.bool_]) -> str:
    """Which of the letters that mark sides this is."""
    shape = ink.shape
    for name in "LRPA":
        drawn = Image.new("L", (40, 40))
        ImageDraw.Draw(drawn).text((20, 20), name, 255, CAPTION_FONT, anchor="mm")
        known = np.asarray(drawn) > 100
        found = known[ndimage.find_objects(known.view(np.uint8))[0]]
        if found.shape == shape and (found == ink).mean() > 0.95:
            return name
    return "?"


def sides(caption: NDArray[np.bool_]) -> tuple[str, str]:
    """The first and the last letter of a strip of ink."""
    columns = np.flatnonzero(caption.any(axis=0))
    words = np.split(columns, np.flatnonzero(np.diff(columns) > 20) + 1)
    ends = [caption[:, word[0] : word[-1] + 1] for word in (words[0], words[-1])]
    trimmed = [end[np.flatnonzero(end.any(axis=1))] for end in ends]
    return letter(trimmed[0]), letter(trimmed[1])


def test_sides_are_named_as_they_are(head: Head) -> None:
    # Of a black scan with coloured outlines the captions are all that is grey.
    dark, labels = np.zeros_like(head.image), np.where(head.labels > 0, 12, 0).astype(np.uint8)
    picture = pixels(mosaic_png(dark, labels, head.grid, FREESURFER, (0.5,))).astype(int)
    ink = (picture.max(axis=2) > 100) & (np.ptp(picture, axis=2) == 0)
    rows = np.flatnonzero(ink.any(axis=1))
    strips = np.split(rows, np.flatnonzero(np.diff(rows) > 40) + 1)
    found = [sides(ink[strip[0] : strip[-1] + 1]) for strip in strips]
    assert found == [("L", "R"), ("L", "R"), ("P", "A")]


def outlines(head: Head, label: int, thickness: int) -> NDArray[np.uint8]:
    """Axial slice through a slab of one structure in white matter, outlined on a black scan."""
    labels = np.zeros_like(head.labels)
    labels[10:-10, 10:-10, 10:-10] = 2
    labels[40 : 40 + thickness, 30:80, 10:-10] = label
    dark = np.zeros_like(head.image)
    return pixels(mosaic_png(dark, labels, head.grid, FREESURFER, (0.5,)))[:AXIAL_HEIGHT]


def widths(picture: NDArray[np.uint8], colour: tuple[int, int, int]) -> list[int]:
    """Pixels of the lines of a colour that cross the middle of a picture."""
    found = where(picture, colour)
    middle = int(np.median(found[:, 0]))
    line = np.abs(picture[middle].astype(int) - colour).max(axis=1) <= 2
    return [len(list(run)) for inside, run in groupby(line) if inside]


def test_small_structures_have_lines_of_double_width(head: Head) -> None:
    cortex, putamen = (
        widths(outlines(head, label, 20), colour) for label, colour in ((3, CORTEX), (12, PUTAMEN))
    )
    assert cortex == [1, 1]
    assert putamen == [2, 2]


def test_a_sheet_of_one_voxel_is_seen_along_all_of_it(head: Head) -> None:
    found = where(outlines(head, 12, 1), PUTAMEN)
    # 50 voxels of 2 mm, at 2 pixels a mm.
    assert len(np.unique(found[:, 0])) == pytest.approx(200, abs=4)


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
