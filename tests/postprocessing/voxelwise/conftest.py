"""One analysis that several tests look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fibromorph.postprocessing.voxelwise import VoxelResults, run_voxelwise
from tests.postprocessing.voxelwise.heads import Heads, Person, design, write_heads

LOSS = 0.15


def run(folder: Path, out: str = "out", **changes: Any) -> VoxelResults:
    """The analysis of a folder's maps and tables."""
    tables = folder / "volumes.tsv", folder / "participants.tsv"
    asked = design(**changes)
    return run_voxelwise(asked, [folder / "maps"], *tables, folder / out, progress=False)


def smaller_thalamus(person: Person) -> dict[str, float]:
    """The left thalamus of patients has lost grey matter."""
    return {"Left-Thalamus": -LOSS * person.patient}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10 patients with a smaller left thalamus and 10 controls."""
    folder = tmp_path_factory.mktemp("heads")
    write_heads(folder, Heads(change=smaller_thalamus))
    return folder


@pytest.fixture(scope="session")
def found(folder: Path) -> VoxelResults:
    """Its analysis by enhancement, voxels and clusters."""
    return run(folder, vbm={"permutations": 100, "spacing_mm": 6})
