"""An atlas on the average head, and carried into a head that is the average one, made larger."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fibromorph.errors import LabelError
from fibromorph.grid import triple
from fibromorph.postprocessing.atlases import (
    ParcelError,
    PlacedAtlas,
    measure_parcels,
    parcellate,
    place,
    read_atlas,
)
from fibromorph.postprocessing.atlases.parcels import relative_sd
from fibromorph.postprocessing.atlases.placing import average_structures
from tests.two_halves import (
    LEFT_CORTEX,
    RIGHT_CORTEX,
    RIGHT_WHITE,
    THALAMI,
    halves,
    write_atlas,
)


@pytest.fixture
def placed(tmp_path: Path) -> PlacedAtlas:
    return place(read_atlas(str(write_atlas(tmp_path))))


def test_regions_are_what_they_lie_in(placed: PlacedAtlas) -> None:
    known = {region.name: region for region in placed.regions}
    assert placed.lost == ("Air",)
    assert known["front_L"].structures == (LEFT_CORTEX,)
    assert (known["front_L"].hemisphere, known["front_L"].tissue) == ("left", "grey")
    assert known["Thalamus_both"].structures == tuple(THALAMI)
    assert known["Thalamus_both"].hemisphere == "midline"
    assert known["Tract_R"].structures == (RIGHT_WHITE,)
    assert known["Tract_R"].tissue == "white"


def test_a_covered_structure_is_divided_without_a_rest(tmp_path: Path) -> None:
    ids = halves()
    ids[::2] = 0  # an atlas whose ribbon is thinner
    placed = place(read_atlas(str(write_atlas(tmp_path, ids))))
    assert (placed.labels[placed.structures == LEFT_CORTEX] > 0).all()
    assert not placed.labels[placed.structures == RIGHT_CORTEX].any()


def test_what_a_partial_atlas_leaves_out_belongs_to_none(placed: PlacedAtlas) -> None:
    white = placed.labels[placed.structures == RIGHT_WHITE]
    assert 0 < (white > 0).mean() < 0.05
    assert np.array_equal(placed.labels == 5, halves() == 5)


def test_regions_of_grey_matter_may_reach_into_the_white(tmp_path: Path) -> None:
    ids, structures = halves(), average_structures()[0]
    near = np.roll(ids == 7, 2, axis=0) & (structures != LEFT_CORTEX) & (ids == 0)
    ids[near] = 7
    placed = place(read_atlas(str(write_atlas(tmp_path, ids))))
    (front,) = (region for region in placed.regions if region.id == 7)
    assert front.structures == (LEFT_CORTEX,)


def test_a_region_called_as_a_structure_is_that_structure(tmp_path: Path) -> None:
    ids, structures = halves(), average_structures()[0]
    thalamus = np.argwhere(structures == THALAMI[0])
    ids[ids == 300] = 0
    ids[tuple(thalamus[:40].T)] = 300
    ids[tuple(thalamus[40:].T)] = 8
    names = "index\tname\n300\tLeft-Thalamus\n7\tfront_L\n8\tback_L\n"
    placed = place(read_atlas(str(write_atlas(tmp_path, ids, names))))
    assert (placed.labels[structures == THALAMI[0]] == 300).all()
    assert [r.structures for r in placed.regions if r.id == 8] == [(LEFT_CORTEX,)]


def test_an_atlas_that_lies_elsewhere_is_refused(tmp_path: Path) -> None:
    ids = np.zeros_like(halves())
    ids[:2, :2, :2] = 7
    with pytest.raises(LabelError, match="MNI coordinates"):
        place(read_atlas(str(write_atlas(tmp_path, ids))))


def test_a_head_is_divided_as_the_average_one_is(placed: PlacedAtlas) -> None:
    structures, grid = average_structures()
    larger = triple(1.1 * s for s in grid.spacing_mm)
    voxels = np.moveaxis(np.indices(grid.shape, dtype=np.float32), 0, -1)
    places = voxels * np.array(larger, np.float32)
    ids = parcellate(structures, larger, places, placed, threads=1)
    assert np.array_equal(ids, placed.labels)


def test_regions_of_a_divided_structure_add_up_to_it(placed: PlacedAtlas) -> None:
    structures, grid = average_structures()
    confidence = np.full(structures.shape, 0.9, np.float32)
    soft = {LEFT_CORTEX: 250.0, THALAMI[0]: 7.0, THALAMI[1]: 8.0, RIGHT_WHITE: 200.0}
    error = ParcelError(inflation={LEFT_CORTEX: 2.0})
    ids = placed.labels
    rows = measure_parcels(ids, structures, confidence, soft, grid.voxel_ml, placed, error)
    ml = {row.name: row.soft_volume_ml or 0.0 for row in rows}
    assert ml["front_L"] + ml["back_L"] == pytest.approx(250.0)
    assert ml["Thalamus_both"] == pytest.approx(15.0)
    assert 0 < ml["Tract_R"] < 20
    for row in rows:
        assert row.confidence == pytest.approx(0.9)
        sure = 2.0 if row.name in ("front_L", "back_L") else 1.0
        assert row.sd_ml == pytest.approx(sure * relative_sd(ml[row.name]) * ml[row.name])


def test_small_regions_and_coarse_voxels_err_more() -> None:
    assert relative_sd(1.0) == pytest.approx(0.015)
    assert relative_sd(8.0) < relative_sd(1.0) < relative_sd(1.0, coarse=True)


def test_a_region_that_a_head_does_not_have_is_empty(placed: PlacedAtlas) -> None:
    structures, grid = average_structures()
    bare = np.where(np.isin(structures, THALAMI), 0, structures).astype(np.uint8)
    voxels = np.moveaxis(np.indices(grid.shape, dtype=np.float32), 0, -1)
    ids = parcellate(bare, (1.0, 1.0, 1.0), voxels, placed, threads=1)
    confidence = np.ones(bare.shape, np.float32)
    rows = measure_parcels(ids, bare, confidence, {LEFT_CORTEX: 250.0}, 1.0, placed, ParcelError())
    (thalami,) = (row for row in rows if row.name == "Thalamus_both")
    assert (thalami.volume_ml, thalami.soft_volume_ml, thalami.confidence) == (0.0, 0.0, None)
