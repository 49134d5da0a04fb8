"""What a scan's report shows: slices for the eye and for print, and every slice for the viewer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fibromorph.grid import Grid
from fibromorph.labels import Colour, LabelTable
from fibromorph.postprocessing.components import grow
from fibromorph.postprocessing.names import plain_name
from fibromorph.postprocessing.pictures import (
    AXIAL,
    THICKNESS_RANGE_MM,
    bright,
    grey_window,
    labelled_box,
    line_rank,
    mosaic_png,
    thickness_ramp,
)
from fibromorph.postprocessing.viewer import Layer, View, head_jpeg, layer_png
from fibromorph.postprocessing.volumes import VolumeRow

AROUND_MM = 4.0
"""What is shown around the brain: a page may be passed on, and nobody must be recognised by it."""
MOST_VALUES = 255
"""Of a layer."""
LEVELS = 36
"""Of thickness: steps of a tenth of a millimetre."""


@dataclass(frozen=True, eq=False)
class ScanPictures:
    """Drawn from labels alone, so that it can be done beside the measuring.

    Attributes:
        mosaic_png: from `mosaic_png`.
        head_jpeg: intensities near the brain, for the viewer.
        regions_png: labels, for the viewer.
        grid: of the viewer's voxels.
    """

    mosaic_png: bytes
    head_jpeg: bytes
    regions_png: bytes
    grid: Grid


def draw_scan(
    image: NDArray[np.float32], labels: NDArray[np.uint8], grid: Grid, table: LabelTable
) -> ScanPictures:
    """Draw what does not hang on volumes; arguments as of `mosaic_png`."""
    box = labelled_box(labels, grid, AROUND_MM)
    seen = labels[box]
    near = grow(seen > 0, max(1, round(AROUND_MM / min(grid.spacing_mm))))
    black, white = grey_window(image, labels)
    head = np.where(near, image[box], np.float32(black))
    return ScanPictures(
        mosaic_png(image, labels, grid, table),
        head_jpeg(head, black, white),
        layer_png(seen),
        _boxed(grid, box),
    )


def scan_view(
    pictures: ScanPictures,
    rows: Sequence[VolumeRow],
    table: LabelTable,
    others: Sequence[Layer] = (),
) -> View:
    """Every slice of a scan with its regions.

    Args:
        pictures: of `draw_scan`.
        rows: volumes, said of the region that the reader points at.
        table: names and colours of the labels.
        others: of `thickness_layer`, `regions_layer`.
    """
    volumes = {row.region_id: row for row in rows}
    regions = Layer(
        "regions",
        pictures.regions_png,
        {label.id: bright(s.colour) for s in table.structures for label in s.labels},
        {label.id: _said(label.name, volumes.get(label.id)) for label in table.labels},
        ranks=dict(enumerate(line_rank(table, AXIAL).tolist())),
    )
    return View(pictures.head_jpeg, pictures.grid, (regions, *others))


def thickness_layer(thickness: NDArray[np.float32], labels: NDArray[np.uint8], grid: Grid) -> Layer:
    """The cortex coloured by its thickness, as `thickness_png` does.

    Args:
        thickness: (i, j, k) in mm on the voxels of `labels`, 0 = no cortex.
        labels, grid: of `draw_scan`.
    """
    low, high = THICKNESS_RANGE_MM
    seen = thickness[labelled_box(labels, grid, AROUND_MM)]
    share = np.clip((seen - low) / (high - low), 0, 1)
    voxels = np.where(seen > 0, 1 + np.round(share * (LEVELS - 1)), 0).astype(np.uint8)
    steps = np.linspace(low, high, LEVELS)
    texts = {n: f"{mm:.1f} mm thick" for n, mm in enumerate(steps, start=1)}
    texts[1], texts[LEVELS] = f"{low:g} mm thick or less", f"{high:g} mm thick or more"
    colours = dict(enumerate(thickness_ramp(LEVELS), start=1))
    return Layer("thickness of the cortex", layer_png(voxels), colours, texts)


def regions_layer(
    title: str,
    regions: NDArray[np.integer],
    rows: Sequence[VolumeRow],
    colours: Mapping[int, Colour],
    box: tuple[NDArray[np.uint8], Grid],
) -> Layer | None:
    """The regions of an atlas, filled; None where they are more than a layer can tell apart.

    Args:
        title: of the layer.
        regions: (i, j, k) ids on the voxels of the labels.
        rows: volumes of all regions.
        colours: of ids; what has none is said, not drawn.
        box: `labels` and `grid` of `draw_scan`.
    """
    if len(rows) > MOST_VALUES:
        return None
    number = {row.region_id: n for n, row in enumerate(rows, start=1) if row.region_id is not None}
    values = np.zeros(int(max(regions.max(), *number)) + 1, np.uint8)
    values[list(number)] = list(number.values())
    return Layer(
        title,
        layer_png(values[regions[labelled_box(*box, AROUND_MM)]]),
        {number[region]: colour for region, colour in colours.items()},
        {number[row.region_id]: _said(row.name, row) for row in rows if row.region_id is not None},
    )


def _said(name: str, row: VolumeRow | None) -> str:
    if row is None or row.analysed_ml is None:
        return plain_name(name)
    error = "" if row.sd_ml is None else f" ± {row.sd_ml:.2f}"
    return f"{plain_name(name)}, {row.analysed_ml:.2f}{error} ml"


def _boxed(grid: Grid, box: tuple[slice, ...]) -> Grid:
    i, j, k = (range(n)[part] for n, part in zip(grid.shape, box, strict=True))
    return grid.box((i.start, j.start, k.start), (len(i), len(j), len(k)))
