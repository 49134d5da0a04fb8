"""What structures are called in a sentence or a table that people read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

SIDE = re.compile(r"(?i)(?<![a-z])(?:left|right|lh|rh|l|r)(?![a-z])")
"""A side, as a word of its own: `ctx-lh-insula`, `Insula_L`, `Left Insula`."""
NAMED = 6
"""Names that a sentence has; of more it says how many."""
PLAIN_NAMES: Mapping[str, str] = {
    "Inf-Lat-Vent": "Inferior lateral ventricle",
    "Cerebellum-White-Matter": "Cerebellar white matter",
    "Cerebellum-Cortex": "Cerebellar cortex",
    "Accumbens-area": "Accumbens",
    "VentralDC": "Ventral diencephalon",
    "CSF": "CSF outside the ventricles",
    "Vermis-I-V": "Vermis I-V",
    "Vermis-VI-VII": "Vermis VI-VII",
    "Vermis-VIII-X": "Vermis VIII-X",
}


def plain_name(name: str) -> str:
    """A label's, structure's or total's name in plain words: `Left-VentralDC` -> `Left ventral
    diencephalon`."""
    for side in ("Left", "Right"):
        if name.startswith(f"{side}-"):
            rest = plain_name(name.removeprefix(f"{side}-"))
            first, *others = rest.split(" ")
            return " ".join((side, _lowered(first), *others))
    if name in PLAIN_NAMES:
        return PLAIN_NAMES[name]
    first, *others = name.removeprefix("Total-").replace("-", " ").split(" ")
    return " ".join((first, *(_lowered(word) for word in others)))


def without_side(name: str) -> str:
    """`ctx-lh-insula` and `ctx-rh-insula` -> `ctx-insula`."""
    return re.sub(r"([-_. ])[-_. ]+", r"\1", SIDE.sub("", name)).strip("-_. ") or name


def twins(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Name without the side -> the names of the left and of the right region, where both are there.

    A name that has two sides, or that another of that side has, is no twin.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for name in names:
        sides = SIDE.findall(name)
        if len(sides) == 1:
            found.setdefault(without_side(name), {}).setdefault(sides[0][0].lower(), []).append(
                name
            )
    return {
        bare: (sides["l"][0], sides["r"][0])
        for bare, sides in found.items()
        if [len(sides.get(side, [])) for side in "lr"] == [1, 1]
    }


def listed(names: Sequence[str], where: str = "") -> str:
    """`A, B`; of more than six names the first six, how many more, and `where` they stand."""
    text = ", ".join(names[:NAMED])
    more = len(names) - NAMED
    return text if more <= 0 else f"{text} and {more} more{where}"


def _lowered(word: str) -> str:
    """A word of our tables within a sentence; abbreviations and names of other tools stay."""
    return word.lower() if len(word) > 1 and word.istitle() else word
