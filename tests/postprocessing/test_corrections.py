"""What a correction by hand does to a scan's volumes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fibromorph.grid import Grid
from fibromorph.labels import NEUROMORPHOMETRICS
from fibromorph.postprocessing.corrections import corrected
from fibromorph.postprocessing.volumes import Calibration, VolumeRow, measure

GRID = Grid((20, 20, 20), np.diag([2.0, 2.0, 2.0, 1.0]))
POLE, PRECENTRAL, PUTAMEN, CAUDATE = 203, 183, 12, 11


def labels() -> NDArray[np.uint8]:
    """(20, 20, 20) three structures; the caudate was not found."""
    image = np.zeros(GRID.shape, np.uint8)
    image[:4], image[4:8], image[8:10] = POLE, PRECENTRAL, PUTAMEN
    return image


def measured(image: NDArray[np.uint8]) -> tuple[VolumeRow, ...]:
    """Its volumes; posteriors sum to 0.9 of what is counted, and errors are 2 %."""
    ids = NEUROMORPHOMETRICS.ids
    soft = {i: 0.9 * float((image == i).sum()) * GRID.voxel_ml for i in ids}
    calibration = Calibration(dict.fromkeys(ids, 0.02))
    return measure(image, GRID, soft, {}, calibration, NEUROMORPHOMETRICS, etiv_ml=1500.0)


def counted(image: NDArray[np.uint8]) -> dict[int, float]:
    ids, counts = np.unique(image, return_counts=True)
    return {int(i): float(n) * GRID.voxel_ml for i, n in zip(ids, counts, strict=True)}


def test_what_nobody_touched_keeps_its_volume() -> None:
    rows = measured(labels())
    assert corrected(rows, counted(labels()), NEUROMORPHOMETRICS) == rows


def test_volumes_errors_and_sums_follow_a_correction() -> None:
    image = labels()
    image[3] = PRECENTRAL
    image[8, :10], image[9, :5] = 0, CAUDATE
    before = {row.name: row for row in measured(labels())}
    found = corrected(measured(labels()), counted(image), NEUROMORPHOMETRICS)
    after = {row.name: row for row in found}

    def change(name: str, what: str = "soft_volume_ml") -> float:
        return float(getattr(after[name], what) / getattr(before[name], what))

    assert change("Left-Temporal-Pole") == pytest.approx(3 / 4)
    grown = (0.9 * 4 + 1) / (0.9 * 4)
    assert change("Left-Precentral-Gyrus") == pytest.approx(grown)
    assert change("Left-Precentral-Gyrus", "sd_ml") == pytest.approx(grown)
    assert change("Left-Cerebral-Cortex", "volume_ml") == pytest.approx(1), "one gave to the other"
    assert change("Left-Putamen", "volume_ml") == pytest.approx(25 / 40)
    caudate = after["Left-Caudate"]
    assert caudate.soft_volume_ml == caudate.volume_ml == pytest.approx(100 * GRID.voxel_ml)
    assert caudate.sd_ml is None
    gone = before["Left-Putamen"].soft_volume_ml or 0
    lost = gone * 15 / 40 - float(caudate.soft_volume_ml or 0)
    grey = before["Total-Grey-Matter"].soft_volume_ml or 0
    gained = 0.1 * 400 * GRID.voxel_ml  # what one gives up shrinks by a share, the other grows
    assert after["Total-Grey-Matter"].soft_volume_ml == pytest.approx(grey - lost + gained)
    assert after["eTIV"] == before["eTIV"]
