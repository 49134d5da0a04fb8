"""Slices in three planes, as one PNG: with outlines, what to judge a segmentation by, or with the
thickness of the cortex or an atlas's regions in colours, or of the average head and a scan laid
over it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from fibromorph.grid import Grid
from fibromorph.labels import Colour, LabelTable
from fibromorph.postprocessing.components import grow
from fibromorph.postprocessing.tissue import GREY, WHITE, Tissue

Picture = NDArray[np.uint8]
Voxel = TypeVar("Voxel", bound=np.generic)

# Where two structures meet, the line takes the colour of the one later in this order, and of any
# other before these: the fluid's line would hide the cortex's.
LINE_YIELDS = (
    "CSF",
    "Cerebral-White-Matter",
    "Cerebellum-White-Matter",
    "Cerebral-Cortex",
    "Cerebellum-Cortex",
)
# The PNG is indexed: greys first, then one entry a structure (there may be 71 of them). A third of
# the size of true colour.
GREYS = 90
PIXELS_PER_MM = 2.0
SMOOTH_VOXELS = 0.6
MARGIN_MM = 14.0
CAPTION_PIXELS = 40
GAP_PIXELS = 8
FRACTIONS = (0.20, 0.36, 0.50, 0.64, 0.80)
THICKNESS_RANGE_MM = (1.0, 4.5)
THICKNESS_COLOURS: tuple[Colour, ...] = (
    *((68, 1, 84), (65, 68, 135), (42, 120, 142)),
    *((34, 168, 132), (122, 209, 81), (253, 231, 37)),
)
"""From thin to thick: equal steps of viridis, which also tells them apart in grey."""
RAMP = 60
MAP_FRACTIONS = (0.28, 0.42, 0.58, 0.72)
OUTLINES: tuple[Colour, ...] = ((255, 138, 60), (90, 200, 255))
"""Of the average head's grey and white matter."""


@dataclass(frozen=True)
class Plane:
    """A viewing plane of a RAS volume: the axis looked along, and what its picture's sides are."""

    axis: int
    letter: str
    left: str
    right: str


AXIAL = Plane(2, "z", "L", "R")
CORONAL = Plane(1, "y", "L", "R")
SAGITTAL = Plane(0, "x", "P", "A")


@dataclass(frozen=True, eq=False)
class _Head:
    """The cropped images, and the intensities shown black and white."""

    image: NDArray[np.float32]
    labels: NDArray[np.uint8]
    grid: Grid
    black: float
    white: float


def mosaic_png(
    image: NDArray[np.float32],
    labels: NDArray[np.uint8],
    grid: Grid,
    table: LabelTable,
    fractions: Sequence[float] = FRACTIONS,
) -> bytes:
    """A row of slices per plane, axial, coronal, sagittal, outlined in the table's colours.

    Neurological convention: the left of the head is on the left, and marked; on sagittal slices
    the face looks to the right. Every slice says where its middle lies, in RAS mm.

    Args:
        image: (i, j, k) intensities; axes to the right, front and top of the head.
        labels: (i, j, k) ids of `table` on the same voxels.
        grid: where they lie.
        table: gives the colours.
        fractions: where the slices lie, as shares of the brain's extent along each axis.
    """
    head = _crop(image, labels, grid)
    colours = [bright(structure.colour) for structure in table.structures]

    def outline(picture: Picture, plane: Plane, index: int) -> None:
        winner = _enlarged_labels(_upright(head.labels, plane, index), _size(head.grid, plane))
        rim = _rim(line_rank(table, plane)[winner])
        rim |= grow(rim, 1) & np.isin(winner, _deep_ids(table))
        picture[rim] = _palette_entries(table)[winner[rim]]

    return _encode(_mosaic(head, outline, fractions), colours)


def thickness_png(
    image: NDArray[np.float32],
    labels: NDArray[np.uint8],
    grid: Grid,
    thickness: NDArray[np.float32],
    fractions: Sequence[float] = FRACTIONS,
) -> bytes:
    """Slices as those of `mosaic_png`, the cortex coloured by its thickness.

    Args:
        image, labels, grid, fractions: see `mosaic_png`.
        thickness: (i, j, k) in mm on the same voxels, 0 = no cortex; what lies beyond
            `THICKNESS_RANGE_MM` takes the colour of its end.
    """
    head = _crop(image, labels, grid)
    seen = thickness[labelled_box(labels, grid)]
    low, high = THICKNESS_RANGE_MM

    def colour(picture: Picture, plane: Plane, index: int) -> None:
        size = _size(head.grid, plane)
        here = _resized(_upright(seen, plane, index), size, Image.Resampling.NEAREST)
        share = np.clip((here - low) / (high - low), 0, 1)
        picture[here > 0] = GREYS + np.round(share[here > 0] * (RAMP - 1)).astype(np.uint8)

    return _encode(_mosaic(head, colour, fractions), thickness_ramp(RAMP))


def regions_png(
    image: NDArray[np.float32],
    labels: NDArray[np.uint8],
    grid: Grid,
    regions: NDArray[np.integer],
    colours: Mapping[int, Colour],
    fractions: Sequence[float] = MAP_FRACTIONS,
) -> bytes:
    """Slices as those of `mosaic_png`, fewer, regions filled with their colours.

    Args:
        image, labels, grid, fractions: see `mosaic_png`.
        regions: (i, j, k) ids on the same voxels.
        colours: of ids; what has none is not drawn.
    """
    head = _crop(image, labels, grid)
    seen = regions[labelled_box(labels, grid)]
    palette = list(dict.fromkeys(colours.values()))[: 256 - GREYS]
    entries = np.zeros(int(max(seen.max(), *colours, 0)) + 1, np.uint8)
    for region, colour in colours.items():
        entries[region] = GREYS + palette.index(colour) if colour in palette else 0

    def fill(picture: Picture, plane: Plane, index: int) -> None:
        entry = entries[_upright(seen, plane, index)].astype(np.float32)
        here = _resized(entry, _size(head.grid, plane), Image.Resampling.NEAREST).astype(np.uint8)
        picture[here > 0] = here[here > 0]

    return _encode(_mosaic(head, fill, fractions), palette)


def thickness_ramp(count: int) -> list[Colour]:
    """So many colours from thin to thick."""
    stops = np.linspace(0, len(THICKNESS_COLOURS) - 1, count)
    channels = np.array(THICKNESS_COLOURS, dtype=float).T
    ramp = [np.interp(stops, np.arange(len(channel)), channel) for channel in channels]
    return [(round(r), round(g), round(b)) for r, g, b in zip(*ramp, strict=True)]


def grey_map_png(grey: NDArray[np.float32], average: Tissue) -> bytes:
    """A map of grey matter over the average head, whose grey and white matter are outlined.

    Args:
        grey: (i, j, k) shares, modulated or not, on the voxels of `average`.
        average: the head that it was laid over.
    """
    tissues = np.where(average.white > average.grey, WHITE, GREY).astype(np.uint8)
    tissues[average.grey + average.white < 0.5] = 0
    head = _Head(grey, tissues, average.grid, 0.0, 1.2)

    def outline(picture: Picture, plane: Plane, index: int) -> None:
        winner = _enlarged_labels(_upright(tissues, plane, index), _size(head.grid, plane))
        rim = _rim(winner.astype(np.int16))
        picture[rim] = GREYS - 1 + winner[rim]

    return _encode(_mosaic(head, outline, MAP_FRACTIONS), OUTLINES)


Paint = Callable[[Picture, Plane, int], None]
"""Draws over a grey slice, told its plane and index."""


def _mosaic(head: _Head, paint: Paint, fractions: Sequence[float]) -> Picture:
    rows = [_row(head, paint, plane, fractions) for plane in (AXIAL, CORONAL, SAGITTAL)]
    width = max(tile.shape[1] for row in rows for tile in row)
    mosaic = [
        np.concatenate([_widened(t, width + GAP_PIXELS) for t in row], axis=1) for row in rows
    ]
    return np.concatenate(mosaic)


def _crop(image: NDArray[np.float32], labels: NDArray[np.uint8], grid: Grid) -> _Head:
    box = labelled_box(labels, grid)
    i, j, k = (part.start for part in box)
    inner = labels[box]
    black, white = grey_window(image, labels)
    return _Head(image[box], inner, grid.box((i, j, k), inner.shape), black, white)


def labelled_box(
    labels: NDArray[np.uint8], grid: Grid, margin_mm: float = MARGIN_MM
) -> tuple[slice, ...]:
    """The labelled part and a margin; everything if nothing is labelled."""
    found = ndimage.find_objects((labels > 0).view(np.uint8))
    extent = found[0] if found else tuple(slice(0, n) for n in labels.shape)
    margins = [round(margin_mm / spacing) for spacing in grid.spacing_mm]
    return tuple(
        slice(max(part.start - margin, 0), part.stop + margin)
        for part, margin in zip(extent, margins, strict=True)
    )


def grey_window(image: NDArray[np.float32], labels: NDArray[np.uint8]) -> tuple[float, float]:
    """The image's floor, and just above the brain's brightest."""
    seen = image[labels > 0] if labels.any() else image.ravel()
    low, high = (
        float(np.percentile(image[::3, ::3, ::3], 10)),
        float(np.percentile(seen[::7], 99.5)),
    )
    return (low, high + 0.08 * (high - low)) if high > low else (low, low + 1.0)


def _row(head: _Head, paint: Paint, plane: Plane, fractions: Sequence[float]) -> list[Picture]:
    found = ndimage.find_objects((head.labels > 0).view(np.uint8))
    extent = found[0][plane.axis] if found else slice(0, head.labels.shape[plane.axis])
    length = extent.stop - 1 - extent.start
    return [_tile(head, paint, plane, round(extent.start + f * length)) for f in fractions]


def _tile(head: _Head, paint: Paint, plane: Plane, index: int) -> Picture:
    size = _size(head.grid, plane)
    scaled = (_upright(head.image, plane, index) - head.black) / (head.white - head.black)
    grey = np.clip(_resized(scaled, size, Image.Resampling.BICUBIC), 0, 1) * (GREYS - 1)
    picture = _captioned(grey.astype(np.uint8), plane, _coordinate_mm(head.grid, plane, index))
    paint(picture[: size[1]], plane, index)
    return picture


def _palette_entries(table: LabelTable) -> NDArray[np.uint8]:
    """Lookup id -> entry of its structure's colour."""
    entry = np.zeros(256, dtype=np.uint8)
    for label_id, number in table.class_of_id().items():
        entry[label_id] = GREYS - 1 + number
    return entry


def _upright(array: NDArray[Voxel], plane: Plane, index: int) -> NDArray[Voxel]:
    """One slice as a picture: rows run downwards from the top or front of the head."""
    upright: NDArray[Voxel] = np.moveaxis(array, plane.axis, 0)[index].T[::-1]
    return upright


def _size(grid: Grid, plane: Plane) -> tuple[int, int]:
    """Width and height of a slice in pixels."""
    mm = [n * s for n, s in zip(grid.shape, grid.spacing_mm, strict=True)]
    del mm[plane.axis]
    return round(mm[0] * PIXELS_PER_MM), round(mm[1] * PIXELS_PER_MM)


def _coordinate_mm(grid: Grid, plane: Plane, index: int) -> float:
    """Of the middle of a slice, which is no plane of RAS where the head was turned upright."""
    voxel = np.array([*(np.array(grid.shape) - 1) / 2, 1.0])
    voxel[plane.axis] = index
    return float((grid.affine_ijk_to_ras @ voxel)[plane.axis])


def _resized(
    values: NDArray[np.floating], size: tuple[int, int], how: Image.Resampling
) -> NDArray[np.float32]:
    picture = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    return np.asarray(picture.resize(size, how), dtype=np.float32)


def _enlarged_labels(labels: Picture, size: tuple[int, int]) -> Picture:
    """A label slice at picture size, with smooth borders instead of stairs.

    The blur is below a voxel: a sheet of one voxel still wins against both of its neighbours.
    """
    best = _share(labels == 0, size)
    winner = np.zeros(best.shape, dtype=np.uint8)
    for label_id in np.flatnonzero(np.bincount(labels.ravel(), minlength=1)[1:]) + 1:
        share = _share(labels == label_id, size)
        winner[share > best] = label_id
        best = np.maximum(best, share)
    return winner


def _share(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.float32]:
    blurred = ndimage.gaussian_filter(mask.astype(np.float32), SMOOTH_VOXELS)
    return _resized(blurred, size, Image.Resampling.BICUBIC)


def _deep_ids(table: LabelTable) -> list[int]:
    """Ids of small structures, which get a line of double width."""
    deep = [s for s in table.structures if not {s.name, s.parent} & {*LINE_YIELDS}]
    return [label.id for structure in deep for label in structure.labels]


def line_rank(table: LabelTable, plane: Plane) -> NDArray[np.int16]:
    """Lookup id -> rank; the higher of two neighbours gets the line, equals get none.

    Sagittal slices near the middle graze both hemispheres: there, twins are equals.
    """
    rank = np.zeros(256, dtype=np.int16)
    for number, structure in enumerate(table.structures):
        yields = structure.name in LINE_YIELDS
        order = LINE_YIELDS.index(structure.name) + 1 if yields else number + 10
        rank[[structure.left_id, structure.right_id]] = 2 * order
        if structure.lateralised and plane is not SAGITTAL:
            rank[structure.right_id] += 1
    return rank


def _rim(rank: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Pixels that outrank a neighbour to the left, right, above or below."""
    rim = np.zeros(rank.shape, dtype=bool)
    for here, there in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        rim[here] |= rank[here] > rank[there]
        rim[there] |= rank[there] > rank[here]
    return rim


def _captioned(grey: Picture, plane: Plane, coordinate_mm: float) -> Picture:
    """A tile with a strip below that names its sides and its coordinate."""
    picture = Image.fromarray(np.pad(grey, ((0, CAPTION_PIXELS), (0, 0))))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(22)
    width, middle = picture.width, picture.height - CAPTION_PIXELS / 2
    draw.text((width * 0.2, middle), plane.left, GREYS - 1, font, anchor="mm")
    draw.text((width * 0.8, middle), plane.right, GREYS - 1, font, anchor="mm")
    text = f"{plane.letter} {coordinate_mm:+.0f} mm"
    draw.text((width / 2, middle), text, GREYS * 3 // 4, font, anchor="mm")
    return np.array(picture)


def _widened(tile: Picture, width: int) -> Picture:
    spare = width - tile.shape[1]
    return np.pad(tile, ((0, 0), (spare // 2, spare - spare // 2)))


def bright(colour: Colour) -> Colour:
    """The same hue, light enough to be seen on a dark picture."""
    gain = max(1.0, 225.0 / max(*colour, 1))
    red, green, blue = (min(255, round(channel * gain)) for channel in colour)
    return red, green, blue


def _encode(indexed: Picture, colours: Sequence[Colour]) -> bytes:
    greys = [(round(255 * i / (GREYS - 1)),) * 3 for i in range(GREYS)]
    picture = Image.fromarray(indexed, mode="P")
    picture.putpalette([channel for entry in (*greys, *colours) for channel in entry])
    out = BytesIO()
    picture.save(out, format="PNG", compress_level=6)
    return out.getvalue()
