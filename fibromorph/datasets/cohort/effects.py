"""Planted changes: by how much patients differ from controls, and how much of it therapy undoes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fibromorph.errors import ConfigError
from fibromorph.labels import FREESURFER

LARGEST_CHANGE = 0.3
EFFECT = re.compile(r"^(?P<region>[^=]+)=(?P<percent>[+-]?\d+(\.\d+)?)\s*%$")
DEFAULT_EFFECTS = ("Putamen=-8%", "Thalamus=+5%")


@dataclass(frozen=True)
class Effect:
    """One region of one side.

    Attributes:
        label_id: FreeSurfer id.
        region: its name, with the side.
        change: relative difference of the volume in patients; -0.08 = 8 % smaller.
    """

    label_id: int
    region: str
    change: float

    @property
    def log_change(self) -> float:
        return math.log1p(self.change)


def parse_effects(texts: Iterable[str], ids: Iterable[int]) -> tuple[Effect, ...]:
    """Read `REGION=PERCENT%`; a region without a side means both.

    Args:
        texts: such as 'Left-Putamen=-8%' or 'Thalamus=+5%'.
        ids: label ids that the anatomies can be given a volume of.

    Raises:
        ConfigError: another form, an unknown region, one named twice, or more than 30 %.
    """
    names = _names(ids)
    effects: dict[int, Effect] = {}
    for text in texts:
        region, change = _split(text)
        for label_id in _ids_of(region, names, text):
            if label_id in effects:
                raise ConfigError("a region may change once", value=text, subject="--effect")
            effects[label_id] = Effect(label_id, names[label_id], change)
    return tuple(effects.values())


def _names(ids: Iterable[int]) -> Mapping[int, str]:
    return {i: FREESURFER[i].name for i in ids}


def _split(text: str) -> tuple[str, float]:
    match = EFFECT.match(text.strip())
    if match is None:
        raise ConfigError(
            "an effect is written REGION=PERCENT%, such as Left-Putamen=-8%",
            value=text,
            subject="--effect",
        )
    change = float(match["percent"]) / 100
    if abs(change) > LARGEST_CHANGE:
        raise ConfigError(
            f"a change must lie within {LARGEST_CHANGE:.0%}", value=text, subject="--effect"
        )
    return match["region"].strip(), change


def _ids_of(region: str, names: Mapping[int, str], text: str) -> list[int]:
    wanted = {region, f"Left-{region}", f"Right-{region}"}
    found = [label_id for label_id, name in names.items() if name in wanted]
    if not found:
        known = ", ".join(
            sorted({n.removeprefix("Left-").removeprefix("Right-") for n in names.values()})
        )
        raise ConfigError(f"a region must be one of: {known}", value=text, subject="--effect")
    return found
