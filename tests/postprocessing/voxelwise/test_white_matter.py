"""Maps of white matter: what is planted is found, and everything says which tissue it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fibromorph.errors import ConfigError
from fibromorph.postprocessing.stats.designs.sections import Vbm
from fibromorph.postprocessing.voxelwise import VoxelResults
from fibromorph.postprocessing.voxelwise.atlas import OUTSIDE, regions_of
from fibromorph.postprocessing.voxelwise.maps import load_maps
from tests.postprocessing.voxelwise.conftest import run
from tests.postprocessing.voxelwise.heads import Heads, Person, save, template, write_heads

WHITE = {"tissue": "white", "permutations": 100, "spacing_mm": 6}


def smaller_stem(person: Person) -> dict[str, float]:
    return {"Brain-Stem": -0.15 * person.patient}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10 patients with a smaller brain stem and 10 controls."""
    folder = tmp_path_factory.mktemp("white")
    write_heads(folder, Heads(change=smaller_stem, tissue="white"))
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> VoxelResults:
    return run(folder, vbm=WHITE)


def test_a_loss_of_white_matter_is_found_where_it_is(found: VoxelResults) -> None:
    cluster = found.answers[0].clusters.iloc[0]
    assert cluster["region"] == "Brain stem"
    assert cluster["direction"] == "lower in patients"


def test_all_that_is_said_names_the_tissue(found: VoxelResults, folder: Path) -> None:
    page = (folder / "out" / "report.html").read_text()
    assert "<h1>White matter, voxel by voxel</h1>" in page
    assert "Modulated maps of white matter in MNI152 space" in page
    assert "With a map of white matter" in page
    assert "grey matter" not in page
    assert "voxels of white matter. " in found.summary
    content = json.loads((folder / "out" / "results.json").read_text())
    assert content["maps"]["tissue"] == "white"
    assert not [note for note in found.notes if "Total-" in note]


def test_maps_of_grey_matter_do_not_do(folder: Path) -> None:
    with pytest.raises(ConfigError, match="maps of grey matter must be there"):
        run(folder, vbm={**WHITE, "tissue": "grey"})


def test_white_matter_of_the_cerebrum_is_named_after_what_is_beside_it(tmp_path: Path) -> None:
    white, _, _ = template("white")
    save(tmp_path / "one.nii.gz", white)
    maps = load_maps({("sub-01", ""): tmp_path / "one.nii.gz"}, Vbm(tissue="white"), "design")
    names = regions_of(maps, "white")
    beside = np.char.find(names, "-Cerebral-White-Matter near ") >= 0
    assert beside.mean() > 0.5
    left = np.char.startswith(names, "Left-Cerebral-White-Matter near Left-")
    right = np.char.startswith(names, "Right-Cerebral-White-Matter near Right-")
    assert (left | right)[beside].mean() > 0.9
    assert {"Left-Cerebral-White-Matter", "Brain-Stem", "Left-Cerebellum-White-Matter"} <= {*names}
    assert (names == OUTSIDE).mean() < 0.05
