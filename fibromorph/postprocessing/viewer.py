"""A viewer of every slice for pages that open offline: three planes through a head, and what was
found in it drawn over.

A volume travels as one picture, its axial slices side by side, and is read back voxel by voxel by
the page's script ([viewer.js](templates/viewer.js)); no library is fetched.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from fibromorph.grid import Grid
from fibromorph.labels import Colour
from fibromorph.postprocessing.pages import (
    NO_SCRIPT,
    PageScript,
    page_environment,
    page_script,
)

JPEG_QUALITY = 70
ASIDE_MM = 12.0
"""How far to the left of the middle a viewer opens: at the midline, where left and right regions
meet in single voxels, the sagittal slice shows none of the structures that people look for."""

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Layer:
    """What is drawn over the head.

    Attributes:
        title: what a reader chooses it by.
        voxels_png: from `layer_png`, on the head's voxels.
        colours: value -> its colour; one without is not drawn.
        opacities: value -> 0 to 1, of those that are drawn fainter than others.
        texts: value -> what is said of a voxel that has it, whichever layer is drawn.
        ranks: value -> rank, of regions shown by their borders unless the reader fills them: where
            two meet, the line is the higher one's. Empty where values are no regions.
        legend: a sentence below the planes.
    """

    title: str
    voxels_png: bytes
    colours: Mapping[int, Colour]
    texts: Mapping[int, str]
    opacities: Mapping[int, float] = field(default_factory=dict)
    ranks: Mapping[int, int] = field(default_factory=dict)
    legend: str = ""


@dataclass(frozen=True, eq=False)
class View:
    """What a page's viewer shows.

    Attributes:
        head_jpeg: from `head_jpeg`.
        grid: of its voxels; axes to the right, front and top of the head.
        layers: the first is shown first.
    """

    head_jpeg: bytes
    grid: Grid
    layers: tuple[Layer, ...] = ()


def head_jpeg(image: NDArray[np.float32], black: float, white: float) -> bytes:
    """(i, j, k) intensities as grey levels in one picture, `black` and below 0, `white` 255."""
    scaled = np.clip((image - np.float32(black)) * np.float32(255 / (white - black)), 0, 255)
    return _encoded(_sprite(scaled.astype(np.uint8)), "jpeg", quality=JPEG_QUALITY)


def layer_png(voxels: Bytes) -> bytes:
    """(i, j, k) values of a layer in one picture, exactly; 0 = nothing there."""
    return _encoded(_sprite(voxels), "png", compress_level=6)


def viewer_html(view: View | None, hint: str = "") -> Markup:
    """The viewer as a part of a page, hidden until the page's script has read its data.

    Args:
        view: what it shows; None = there is no viewer.
        hint: what else a reader should know of it.
    """
    if view is None:
        return Markup("")
    pictures = {"head": _uri(view.head_jpeg, "jpeg")}
    for number, layer in enumerate(view.layers):
        pictures[f"layer{number}"] = _uri(layer.voxels_png, "png")
    data = {
        "shape": view.grid.shape,
        "columns": _columns(view.grid.shape),
        "affine": np.round(view.grid.affine_ijk_to_ras, 4).tolist(),
        "spacing": [round(s, 4) for s in view.grid.spacing_mm],
        "start": _start(view.grid),
        "layers": [
            {
                "title": layer.title,
                "outlined": bool(layer.ranks),
                "ranks": layer.ranks,
                "legend": layer.legend,
                "colours": layer.colours,
                "texts": layer.texts,
                "opacities": layer.opacities,
            }
            for layer in view.layers
        ],
    }
    page = page_environment().get_template("viewer.html")
    return Markup(page.render(hint=hint, pictures=pictures, data=data))


def viewer_script(view: View | None) -> PageScript:
    """What brings the viewer of a page to life; without one the page runs nothing."""
    return NO_SCRIPT if view is None else page_script("viewer.js")


def _start(grid: Grid) -> list[int]:
    """(i, j, k) that is shown first, in the left half of the head."""
    i, j, k = (n // 2 for n in grid.shape)
    return [max(i - round(ASIDE_MM / grid.spacing_mm[0]), 0), j, k]


def _columns(shape: Sequence[int]) -> int:
    """Slices side by side, so that the picture is about as wide as high."""
    width, height, depth = shape
    return max(1, min(depth, math.ceil(math.sqrt(depth * height / width))))


def _sprite(volume: Bytes) -> Bytes:
    """All axial slices in rows, from the bottom of the head; in each, rows run to the front."""
    width, height, depth = volume.shape
    columns = _columns(volume.shape)
    rows = math.ceil(depth / columns)
    tiles = np.zeros((rows * columns, height, width), np.uint8)
    tiles[:depth] = volume.transpose(2, 1, 0)
    grid = tiles.reshape(rows, columns, height, width).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(grid.reshape(rows * height, columns * width))


def _encoded(sprite: Bytes, kind: str, **options: int) -> bytes:
    out = BytesIO()
    Image.fromarray(sprite).save(out, format=kind, **options)
    return out.getvalue()


def _uri(picture: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{b64encode(picture).decode('ascii')}"
