"""What structures are called in a sentence or a table that people read."""

from __future__ import annotations

from collections.abc import Mapping

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
            return f"{side} {rest[0].lower()}{rest[1:]}"
    if name in PLAIN_NAMES:
        return PLAIN_NAMES[name]
    words = name.removeprefix("Total-").replace("-", " ")
    return words if words.isupper() or words == "eTIV" else words.capitalize()
