"""Left and right regions of an atlas, told by their names, and colours that twins share."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

from fibromorph.labels import Colour
from fibromorph.postprocessing.names import without_side
from fibromorph.postprocessing.volumes import VolumeRow

GOLDEN = 0.6180339887
SHADES = ((0.75, 0.95), (0.5, 0.85), (0.9, 0.7))
"""Saturation and value, in turn."""


@dataclass(frozen=True)
class Pair:
    """A line of a table: a region on both sides, or one that has no twin.

    Attributes:
        name: without the side where there are two, as the atlas has it otherwise.
        left, right: rows; a region without a twin is on its own side, or on the left of the
            midline.
    """

    name: str
    left: VolumeRow | None
    right: VolumeRow | None


def pairs(rows: Sequence[VolumeRow]) -> tuple[Pair, ...]:
    """Regions side by side, in the order of the rows."""
    twins: dict[str, dict[str, VolumeRow]] = {}
    for row in rows:
        twins.setdefault(without_side(row.name), {})[row.hemisphere] = row
    found = []
    for row in rows:
        sides = twins[without_side(row.name)]
        left, right = sides.get("left"), sides.get("right")
        if left is None or right is None or sides[row.hemisphere] is not row:
            on_right = row.hemisphere == "right"
            found.append(Pair(row.name, None if on_right else row, row if on_right else None))
        elif row is left:
            found.append(Pair(without_side(row.name), left, right))
        elif row is not right:
            found.append(Pair(row.name, row, None))
    return tuple(found)


def region_colours(rows: Sequence[VolumeRow]) -> Mapping[int, Colour]:
    """Region id -> colour: far apart from one region to the next, the same for twins.

    Of regions of grey matter alone, if there are any: others would hide the brain.
    """
    shown = [row for row in rows if row.tissue == "grey"] or rows
    shades = cycle(SHADES)
    colours: dict[str, Colour] = {}
    for number, name in enumerate(dict.fromkeys(without_side(row.name) for row in shown)):
        saturation, value = next(shades)
        red, green, blue = colorsys.hsv_to_rgb(number * GOLDEN % 1, saturation, value)
        colours[name] = round(255 * red), round(255 * green), round(255 * blue)
    return {
        row.region_id: colours[without_side(row.name)] for row in shown if row.region_id is not None
    }
