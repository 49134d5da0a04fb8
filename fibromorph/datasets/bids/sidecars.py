"""The JSON beside a scan, or above it, as BIDS inherits it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fibromorph.datasets.bids.names import BidsName, parse_name

INJECTED = "ContrastBolusIngredient"


@dataclass(frozen=True)
class Sidecar:
    """What the JSON files of a scan say that matters here.

    Attributes:
        notes: what is missing or damaged; the scan can be segmented all the same.
        why_not: a reason to leave the scan; None if there is none.
    """

    notes: tuple[str, ...] = ()
    why_not: str | None = None


def read_sidecar(root: Path, path: Path, name: BidsName) -> Sidecar:
    """Read the nearest sidecar.

    Args:
        root: of the data set.
        path: of the scan, inside `root`.
        name: the scan's.
    """
    file = next(_places(root, path, name), None)
    if file is None:
        return Sidecar(notes=("no sidecar",))
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return Sidecar(notes=("its sidecar cannot be read",))
    agent = content.get(INJECTED) if isinstance(content, dict) else None
    if agent and str(agent).lower() not in ("none", "n/a"):
        return Sidecar(why_not=f"contrast agent ({agent}) changes what tissue looks like")
    return Sidecar()


def _places(root: Path, path: Path, name: BidsName) -> Iterator[Path]:
    """Sidecars that apply, nearest first: own, then those of the folders above."""
    own = root / path.parent / f"{name.stem}_{name.suffix}.json"
    if own.exists() or own.is_symlink():
        yield own
    for folder in path.parents:
        for inherited in _json_files(root / folder):
            if inherited != own and _applies(inherited.name, name):
                yield inherited


def _applies(file_name: str, name: BidsName) -> bool:
    """Inheritance principle: the same suffix, and no entity that the scan does not have."""
    if file_name == f"{name.suffix}.json":
        return True
    parsed = parse_name(file_name) or parse_name(f"sub-0_{file_name}")
    if parsed is None or parsed.suffix != name.suffix:
        return False
    own = {k: v for k, v in parsed.entities.items() if (k, v) != ("sub", "0")}
    return all(name.entities.get(key) == label for key, label in own.items())


@lru_cache(maxsize=64)
def _json_files(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(folder.glob("*_T1w.json"))) + tuple(folder.glob("T1w.json"))
