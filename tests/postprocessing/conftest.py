"""The heads that these tests look at, made once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from fibromorph.labels import FREESURFER
from fibromorph.postprocessing.quality import Quality, image_measures, score
from fibromorph.postprocessing.volumes import Calibration, VolumeRow, confidence_by_id, measure
from tests.postprocessing.phantoms import Head
from tests.postprocessing.phantoms import head as make_head


@pytest.fixture(scope="session")
def head() -> Head:
    return make_head()


@pytest.fixture(scope="session")
def stripped_head() -> Head:
    return make_head(skull=False)


def rows_of(
    head: Head, etiv_ml: float | None = 1600.0, *, without_sd: int = 0
) -> tuple[VolumeRow, ...]:
    """The volumes of a head whose posteriors say just what its labels say."""
    soft = {i: float((head.labels == i).sum()) * head.grid.voxel_ml for i in FREESURFER.ids}
    sure = confidence_by_id(head.labels, head.confidence, FREESURFER)
    calibration = Calibration({i: 0.02 for i in FREESURFER.ids if i != without_sd})
    return measure(head.labels, head.grid, soft, sure, calibration, FREESURFER, etiv_ml=etiv_ml)


def scored(
    head: Head, rows: Sequence[VolumeRow] = (), calibration: Calibration | None = None
) -> Quality:
    """The quality of a head, with its own `rows` and a bundle of which nothing is known."""
    return score(
        image_measures(head.image, head.labels, FREESURFER),
        head.labels,
        head.confidence,
        rows or rows_of(head),
        FREESURFER,
        calibration=calibration or Calibration(),
    )


@pytest.fixture(scope="session")
def rows(head: Head) -> tuple[VolumeRow, ...]:
    return rows_of(head)
