"""Regions of the cortex from a map of thickness, and the table they are written to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fibromorph.errors import TableError
from fibromorph.labels import FREESURFER, NEUROMORPHOMETRICS
from fibromorph.postprocessing.thickness import (
    Ribbon,
    ThicknessError,
    ThicknessRow,
    measure_thickness,
    read_thickness,
    write_thickness,
)
from fibromorph.postprocessing.volumes import MAX_INFLATION

LEFT, RIGHT = 3, 42
CUNEUS, LINGUAL = 115, 135
"""On the left."""


def slab() -> tuple[Ribbon, np.ndarray]:
    """Two plates of cortex 10 x 10 mm, left 2 mm and right 4 mm thick, and their thickness."""
    labels = np.zeros((10, 10, 8), np.uint8)
    labels[:, :, :2], labels[:, :, 4:] = LEFT, RIGHT
    thickness = np.select([labels == LEFT, labels == RIGHT], [2.0, 4.0], 0.0)
    return Ribbon(labels, np.full(labels.shape, 0.9, np.float32)), thickness.astype(np.float32)


def by_name(rows: tuple[ThicknessRow, ...]) -> dict[str, ThicknessRow]:
    return {row.name: row for row in rows}


def test_a_mean_over_area_not_over_volume() -> None:
    ribbon, thickness = slab()
    rows = measure_thickness(
        thickness, ribbon, ribbon.labels, FREESURFER, 1.0, ThicknessError({"Mean-Thickness": 0.01})
    )
    found = by_name(rows)
    assert list(found) == ["Left-Cerebral-Cortex", "Right-Cerebral-Cortex", "Mean-Thickness"]
    assert [row.thickness_mm for row in rows] == pytest.approx([2.0, 4.0, 3.0])
    assert [row.area_cm2 for row in rows] == pytest.approx([1.0, 1.0, 2.0])
    assert found["Mean-Thickness"].sd_mm == pytest.approx(0.03)
    assert found["Left-Cerebral-Cortex"].sd_mm is None
    assert [row.region_id for row in rows] == [LEFT, RIGHT, None]


def test_the_ribbon_that_no_region_claims_goes_to_the_nearest() -> None:
    ribbon, thickness = slab()
    regions = np.zeros_like(ribbon.labels)
    regions[:4, :, :2], regions[7:, :, :2] = CUNEUS, LINGUAL
    regions[4:7, :, :2] = 2
    rows = by_name(
        measure_thickness(thickness, ribbon, regions, NEUROMORPHOMETRICS, 1.0, ThicknessError())
    )
    areas = {name: row.area_cm2 for name, row in rows.items()}
    assert areas["Left-Cuneus"] == pytest.approx(0.55, abs=0.06)
    assert areas["Left-Lingual-Gyrus"] == pytest.approx(0.45, abs=0.06)
    # Nothing of the right hemisphere goes to a region of the left.
    assert areas["Right-Cerebral-Cortex"] == pytest.approx(1.0)
    assert rows["Left-Frontal-Pole"].thickness_mm is None
    assert rows["Left-Cerebral-Cortex"].region_id is None


def test_an_unsure_ribbon_errs_more() -> None:
    ribbon, thickness = slab()
    for sure, more in ((0.95, 1.0), (0.8, 2.0), (0.1, MAX_INFLATION)):
        seen = Ribbon(ribbon.labels, np.full(thickness.shape, sure, np.float32))
        error = ThicknessError({"Mean-Thickness": 0.01}, reference_confidence=0.9)
        mean = measure_thickness(thickness, seen, ribbon.labels, FREESURFER, 1.0, error)[-1]
        assert mean.sd_mm == pytest.approx(0.03 * more, rel=1e-3)


def test_the_table_comes_back(tmp_path: Path) -> None:
    ribbon, thickness = slab()
    rows = measure_thickness(
        thickness, ribbon, ribbon.labels, NEUROMORPHOMETRICS, 1.0, ThicknessError()
    )
    path = tmp_path / "scan_thickness.tsv"
    write_thickness(path, rows)
    header, first, *_ = path.read_text().splitlines()
    assert header == "region_id\tname\themisphere\tthickness_mm\tsd_mm\tarea_cm2"
    assert first.endswith("n/a\tn/a\tn/a")
    assert read_thickness(path) == rows


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    path = tmp_path / "scan_thickness.tsv"
    path.write_text("region_id\tname\themisphere\tthickness_mm\tsd_mm\tarea_cm2\n1\tx\tleft\t2\n")
    with pytest.raises(TableError, match=r"line 2.*6 cells"):
        read_thickness(path)
