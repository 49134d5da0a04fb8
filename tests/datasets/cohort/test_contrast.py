from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fibromorph.datasets.cohort.anatomy import Anatomy
from fibromorph.datasets.cohort.contrast import with_tissue_contrast


def test_a_blurred_picture_gets_the_borders_of_its_labels(anatomy: Anatomy) -> None:
    flat = replace(anatomy, intensities=np.full_like(anatomy.intensities, 0.8))
    sharp = with_tissue_contrast(flat, 0.5)
    levels = {i: np.median(sharp.intensities[anatomy.labels == i]) for i in (2, 12, 10, 24)}
    assert levels[2] > levels[10] > levels[12] > levels[24]
    assert levels[2] == pytest.approx(0.5 * 0.8 + 0.5 * 1.0, abs=0.01)
    assert np.array_equal(sharp.labels, anatomy.labels)


def test_nothing_is_made_up_outside(anatomy: Anatomy) -> None:
    sharp = with_tissue_contrast(anatomy, 0.6)
    assert sharp.intensities[0, 0, 0] == 0
    assert np.array_equal(with_tissue_contrast(anatomy, 0.0).intensities, anatomy.intensities)
