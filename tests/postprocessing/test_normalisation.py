"""A head laid over the average head, whose own tissue stands for that of other people here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from fibromorph.errors import ScanError
from fibromorph.file_names import MAP_OF
from fibromorph.grid import Grid
from fibromorph.postprocessing.normalisation import Normalised, average_head, growth, normalise_head
from fibromorph.postprocessing.tissue import Tissue

pytest.importorskip("SimpleITK")
THREADS = 2
LARGER = 1.1


@pytest.fixture(scope="module")
def coarse() -> Tissue:
    """The average head on voxels of 3 mm, for speed."""
    average = average_head()
    every = (slice(None, None, 2),) * 3
    grey, white = average.grey[every], average.white[every]
    affine = average.grid.affine_ijk_to_ras @ np.diag([2.0, 2.0, 2.0, 1.0])
    return Tissue(grey, white, Grid(grey.shape, affine))


def enlarged(tissue: Tissue, by: float) -> Tissue:
    """The same voxels, each `by` times as long, far from the origin and to the left of it."""
    affine = tissue.grid.affine_ijk_to_ras @ np.diag([by, by, by, 1.0])
    affine[:3, 3] = (250.0, -40.0, 90.0)
    return Tissue(tissue.grey, tissue.white, Grid(tissue.grid.shape, affine))


@pytest.fixture(scope="module")
def larger(coarse: Tissue) -> Normalised:
    return normalise_head(enlarged(coarse, LARGER), THREADS, coarse)


def test_a_larger_head_lies_over_the_average_one(larger: Normalised) -> None:
    assert larger.likeness > 0.99


def test_one_that_does_not_is_told(larger: Normalised) -> None:
    assert larger.warning is None
    warning = replace(larger, likeness=0.56).warning
    assert warning is not None
    assert "correlation 0.56" in warning[1]


def test_its_map_holds_as_much_grey_matter_as_the_head(larger: Normalised, coarse: Tissue) -> None:
    own_ml = coarse.grey.sum() * coarse.grid.voxel_ml * LARGER**3
    assert larger.grey.sum() * coarse.grid.voxel_ml == pytest.approx(own_ml, rel=0.01)
    white_ml = coarse.white.sum() * coarse.grid.voxel_ml * LARGER**3
    assert larger.white.sum() * coarse.grid.voxel_ml == pytest.approx(white_ml, rel=0.01)
    inside = coarse.grey > 0.8
    assert np.median(larger.grey[inside] / coarse.grey[inside]) == pytest.approx(1.331, rel=0.02)


def test_what_one_structure_lost_is_missing_where_that_is(coarse: Tissue) -> None:
    """Grey matter of the right front is thinned, nothing else."""
    less = coarse.grey.copy()
    front = np.s_[coarse.grey.shape[0] // 2 + 4 :, coarse.grey.shape[1] * 3 // 4 :, :]
    less[front] *= 0.8
    head = Tissue(less, coarse.white, coarse.grid)
    before = normalise_head(coarse, THREADS, coarse).grey
    lost = ndimage.gaussian_filter(before - normalise_head(head, THREADS, coarse).grey, 1.0)
    there = np.zeros(lost.shape, bool)
    there[front] = True
    assert lost[there].sum() == pytest.approx(0.2 * before[there].sum(), rel=0.25)
    assert abs(lost[~there].sum()) < 0.1 * lost[there].sum()


def test_the_same_head_gives_the_same_map_twice(coarse: Tissue, larger: Normalised) -> None:
    again = normalise_head(enlarged(coarse, LARGER), THREADS, coarse)
    assert np.array_equal(again.grey, larger.grey)


def test_sessions_that_are_laid_over_the_average_jointly_differ_less(coarse: Tissue) -> None:
    rng = np.random.default_rng(5)
    one, other = (with_noise(coarse, rng) for _ in range(2))
    alone = [normalise_head(head, THREADS, coarse).grey for head in (one, other)]
    jointly = [
        normalise_head(head, THREADS, coarse, sessions=[sibling]).grey
        for head, sibling in ((one, other), (other, one))
    ]
    assert difference(*jointly) < 0.95 * difference(*alone)


def with_noise(tissue: Tissue, rng: np.random.Generator) -> Tissue:
    """Tissue as another scan of the same head would show it."""
    noise = ndimage.gaussian_filter(rng.normal(0, 0.5, tissue.grey.shape), 1.0)
    grey = np.clip(tissue.grey + noise * (tissue.grey > 0), 0, 1).astype(np.float32)
    return Tissue(grey, np.clip(tissue.white - noise, 0, 1 - grey).astype(np.float32), tissue.grid)


def difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.std(ndimage.gaussian_filter(one - other, 1.0)))


def test_what_is_no_head_is_refused(coarse: Tissue) -> None:
    nothing = np.zeros_like(coarse.grey)
    with pytest.raises(ScanError, match="must be found to lie over the average one"):
        normalise_head(Tissue(nothing, nothing, coarse.grid), THREADS, coarse)


def test_growth_is_the_volume_of_a_voxel_there_over_its_volume_here() -> None:
    grid = Grid((6, 6, 6), np.diag([2.0, 2.0, 2.0, 1.0]))
    places = np.moveaxis(np.indices(grid.shape, dtype=np.float32), 0, -1) * (3.0, 2.0, 1.0)
    assert np.allclose(growth(places.astype(np.float32), grid), 6.0 / 8.0)


def test_the_average_head_is_symmetric_and_as_large_as_the_template() -> None:
    average = average_head()
    assert np.array_equal(average.grey, average.grey[::-1])
    # ICBM's template is larger than most heads.
    assert 750 < average.grey.sum() * average.grid.voxel_ml < 950
    assert average.grid.spacing_mm == pytest.approx((1.5, 1.5, 1.5))
    for x in (-12.0, 12.0):  # both thalami, where MNI has them
        i, j, k = np.rint(average.grid.affine_ras_to_ijk @ (x, -18.0, 8.0, 1.0))[:3].astype(int)
        assert average.grey[i, j, k] > 0.9


def test_a_map_s_name_is_bids() -> None:
    assert MAP_OF["grey"] == "_space-MNI152NLin2009aSym_label-GM_desc-modulated_probseg.nii.gz"
    assert MAP_OF["white"] == MAP_OF["grey"].replace("GM", "WM")
