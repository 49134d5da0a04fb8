"""The heads that these tests look at, made once."""

from __future__ import annotations

import pytest

from fibromorph.labels import FREESURFER
from fibromorph.postprocessing.quality import image_measures
from fibromorph.postprocessing.volumes import Calibration, VolumeRow, confidence_by_id, measure
from tests.postprocessing.phantoms import Head
from tests.postprocessing.phantoms import head as make_head


@pytest.fixture(scope="session")
def head() -> Head:
    return make_head()


@pytest.fixture(scope="session")
def stripped_head() -> Head:
    return make_head(skull=False)


def measures_of(head: Head) -> dict[str, float]:
    return image_measures(head.image, head.labels, FREESURFER)


def rows_of(
    head: Head, etiv_ml: float | None = 1600.0, *, without_sd: int = 0
) -> tuple[VolumeRow, ...]:
    """The volumes of a head whose posteriors say just what its labels say."""
    soft = {i: float((head.labels == i).sum()) * head.grid.voxel_ml for i in FREESURFER.ids}
    sure = confidence_by_id(head.labels, head.confidence, FREESURFER)
    calibration = Calibration({i: 0.02 for i in FREESURFER.ids if i != without_sd})
    return measure(head.labels, head.grid, soft, sure, calibration, FREESURFER, etiv_ml=etiv_ml)


@pytest.fixture(scope="session")
def rows(head: Head) -> tuple[VolumeRow, ...]:
    return rows_of(head)
