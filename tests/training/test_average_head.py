"""The average head, of heads that stand for people here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fibromorph.grid import Grid, shape3
from fibromorph.postprocessing import normalisation
from fibromorph.postprocessing.tissue import Tissue
from fibromorph.training import average_head
from fibromorph.training.average_head import box_around_brain, write_tissue

pytest.importorskip("SimpleITK")


@pytest.fixture(scope="module")
def template() -> Tissue:
    """The average head that ships, on voxels of 3 mm."""
    average = normalisation.average_head()
    every = (slice(None, None, 2),) * 3
    grey, white = average.grey[every], average.white[every]
    affine = average.grid.affine_ijk_to_ras @ np.diag([2.0, 2.0, 2.0, 1.0])
    return Tissue(grey, white, Grid(shape3(grey.shape), affine))


def elsewhere(tissue: Tissue, scales: tuple[float, float, float]) -> Tissue:
    """The same head, of another size, in a scanner of its own."""
    affine = tissue.grid.affine_ijk_to_ras @ np.diag([*scales, 1.0])
    affine[:3, 3] += (30.0, -12.0, 50.0)
    return Tissue(tissue.grey, tissue.white, Grid(tissue.grid.shape, affine))


def test_heads_of_other_sizes_average_to_what_they_share_where_the_template_lies(
    template: Tissue, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(average_head, "ROUNDS_MM", (6.0, 3.0))
    heads = [elsewhere(template, scales) for scales in ((0.9, 0.95, 0.92), (1.05, 0.98, 1.0))]
    found = average_head.average_head(heads, template, 2)
    assert np.array_equal(found.grey, found.grey[::-1])
    here = average_head.on_grid(template, found.grid)
    brain = here.picture > 0.5
    assert np.corrcoef(found.picture[brain], here.picture[brain])[0, 1] > 0.95
    write_tissue(tmp_path / "average.nii.gz", found)
    again = normalisation.read_tissue(tmp_path / "average.nii.gz")
    assert np.abs(again.grey - found.grey).max() <= 0.5 / 255 + 1e-6
    assert again.grid.same_as(found.grid)


def test_the_box_is_as_wide_to_the_left_as_to_the_right(template: Tissue) -> None:
    grid = box_around_brain(template, 3.0)
    corners = (
        grid.affine_ijk_to_ras
        @ np.array([[0, 0, 0, 1], [*(np.array(grid.shape) - 1), 1]], dtype=float).T
    )
    assert corners[0, 0] == pytest.approx(-corners[0, 1])
    assert grid.shape[0] % 2 == 1
