"""Volumes in ml with their uncertainty, totals, and the table they are written to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fibromorph.errors import TableError
from fibromorph.grid import Grid
from fibromorph.labels import FREESURFER, NEUROMORPHOMETRICS
from fibromorph.postprocessing.volumes import (
    Calibration,
    VolumeRow,
    confidence_by_id,
    measure,
    read_volumes,
    write_volumes,
)
from tests.postprocessing.conftest import rows_of
from tests.postprocessing.phantoms import Head

COLUMNS = "region_id name hemisphere tissue volume_ml soft_volume_ml sd_ml confidence"


def by_name(rows: tuple[VolumeRow, ...]) -> dict[str, VolumeRow]:
    return {row.name: row for row in rows}


def one_structure(calibration: Calibration, confidence: float) -> VolumeRow:
    labels = np.zeros((10, 10, 10), dtype=np.uint8)
    labels[:5] = 17
    grid = Grid((10, 10, 10), np.diag([1.0, 2.0, 0.5, 1.0]))
    rows = measure(
        labels, grid, {17: 0.6}, {17: confidence}, calibration, FREESURFER, etiv_ml=1500.0
    )
    return by_name(rows)["Left-Hippocampus"]


def test_a_volume_is_voxels_times_voxel_size() -> None:
    row = one_structure(Calibration(), 0.8)
    assert row.volume_ml == pytest.approx(0.5)
    assert row.soft_volume_ml == pytest.approx(0.6)
    assert row.sd_ml is None
    assert row.confidence == pytest.approx(0.8)


def test_a_sheared_grid_counts_its_true_voxel_size() -> None:
    affine = np.eye(4)
    affine[0, 1] = 0.4
    labels = np.full((10, 10, 10), 17, dtype=np.uint8)
    rows = measure(
        labels, Grid((10, 10, 10), affine), {}, {}, Calibration(), FREESURFER, etiv_ml=None
    )
    assert by_name(rows)["Left-Hippocampus"].volume_ml == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("confidence", "factor"), [(0.9, 1.0), (0.95, 1.0), (0.8, 2.0), (0.1, 5.0)]
)
def test_an_unsure_scan_has_a_larger_sd(confidence: float, factor: float) -> None:
    row = one_structure(Calibration({17: 0.05}, {17: 0.9}), confidence)
    assert row.sd_ml == pytest.approx(0.05 * 0.6 * factor)


def test_totals_add_up(rows: tuple[VolumeRow, ...]) -> None:
    named = by_name(rows)
    grey = sum(r.volume_ml or 0.0 for r in rows if r.tissue == "grey" and not r.is_total)
    white = named["Total-White-Matter"].volume_ml
    assert named["Total-Grey-Matter"].volume_ml == pytest.approx(grey)
    assert white is not None
    assert named["Total-Brain"].volume_ml == pytest.approx(grey + white)
    assert [r.name for r in rows[-5:]] == [
        *("Total-Grey-Matter", "Total-White-Matter", "Total-CSF", "Total-Brain", "eTIV")
    ]
    assert named["eTIV"].volume_ml == 1600.0
    assert named["eTIV"].confidence == pytest.approx(0.9)


def test_the_sd_of_a_total_lies_between_independent_and_common_errors(
    rows: tuple[VolumeRow, ...],
) -> None:
    parts = np.array([r.sd_ml or 0.0 for r in rows if not r.is_total and r.tissue == "white"])
    total = by_name(rows)["Total-White-Matter"].sd_ml
    assert total is not None
    assert np.sqrt((parts**2).sum()) < total < parts.sum()


def test_a_part_that_is_never_found_does_not_hide_the_error_of_the_total(head: Head) -> None:
    lost = replace(head, labels=np.where(head.labels == 17, 0, head.labels))
    assert by_name(rows_of(lost, without_sd=17))["Total-Brain"].sd_ml is not None


def test_without_a_skull_nothing_that_needs_one_is_given(head: Head) -> None:
    named = by_name(rows_of(head, etiv_ml=None))
    for name in ("CSF", "Total-CSF", "eTIV"):
        assert named[name].volume_ml is None
        assert named[name].soft_volume_ml is None
        assert named[name].sd_ml is None
    assert named["Total-Brain"].volume_ml is not None
    assert named["Left-Lateral-Ventricle"].volume_ml is not None


def test_an_absent_structure_has_no_confidence() -> None:
    labels = np.array([0, 17, 17], dtype=np.uint8).reshape(3, 1, 1)
    confidence = np.array([0.2, 0.6, 0.8], dtype=np.float32).reshape(3, 1, 1)
    assert confidence_by_id(labels, confidence, FREESURFER) == {17: pytest.approx(0.7)}


def test_the_table_has_the_promised_columns_and_reads_back(head: Head, tmp_path: Path) -> None:
    rows = rows_of(head, etiv_ml=None)
    path = tmp_path / "a_volumes.tsv"
    write_volumes(path, rows)
    lines = path.read_text().splitlines()
    assert lines[0] == COLUMNS.replace(" ", "\t")
    assert lines[-1] == "n/a\teTIV\tboth\tn/a\tn/a\tn/a\tn/a\tn/a"
    assert len(lines) == 1 + len(FREESURFER.ids) + 5
    assert [p.name for p in tmp_path.iterdir()] == ["a_volumes.tsv"]
    for written, row in zip(read_volumes(path), rows, strict=True):
        assert replace(written, volume_ml=0, soft_volume_ml=0, sd_ml=0, confidence=0) == replace(
            row, volume_ml=0, soft_volume_ml=0, sd_ml=0, confidence=0
        )
        assert (written.volume_ml is None) == (row.volume_ml is None)
        assert written.volume_ml == pytest.approx(row.volume_ml, abs=1e-4)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("name\tvolume\nx\t1\n", "columns must be"),
        (COLUMNS.replace(" ", "\t") + "\n17\tLeft\n", "line 2"),
        (COLUMNS.replace(" ", "\t") + "\n17\tL\tleft\tgrey\tbig\t1\t1\t1\n", "numbers or n/a"),
    ],
)
def test_a_broken_table_is_one_clear_error(text: str, found: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.tsv"
    path.write_text(text)
    with pytest.raises(TableError, match=found) as error:
        read_volumes(path)
    assert "broken.tsv" in str(error.value)


def test_a_missing_table_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="readable"):
        read_volumes(tmp_path / "none.tsv")


def test_the_cortex_is_the_sum_of_its_regions() -> None:
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[0], labels[1, :2], labels[2, 0] = 101, 143, 100  # left, left, right
    soft = {101: 0.015, 143: 0.009, 100: 0.004}
    sds = Calibration(dict.fromkeys(soft, 0.02))
    grid = Grid((4, 4, 4), np.eye(4))
    found = by_name(measure(labels, grid, soft, {}, sds, NEUROMORPHOMETRICS, etiv_ml=None))
    left, right = found["Left-Cerebral-Cortex"], found["Right-Cerebral-Cortex"]
    assert left.volume_ml == pytest.approx(0.024)
    assert left.soft_volume_ml == pytest.approx(0.024)
    assert right.volume_ml == pytest.approx(0.004)
    assert left.hemisphere == "left"
    assert left.is_total
    assert found["Total-Grey-Matter"].volume_ml == pytest.approx(0.028)


def test_a_total_has_the_error_that_was_measured_for_it() -> None:
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[0], labels[1] = 3, 42
    soft, sure = {3: 0.016, 42: 0.016}, {3: 0.9, 42: 0.9}
    parts = dict.fromkeys(soft, 0.02)
    grid = Grid((4, 4, 4), np.eye(4))

    def grey_sd(calibration: Calibration) -> float | None:
        rows = measure(labels, grid, soft, sure, calibration, FREESURFER, etiv_ml=None)
        return by_name(rows)["Total-Grey-Matter"].sd_ml

    usual = {3: 0.9, 42: 0.9}
    assert grey_sd(Calibration(parts, usual)) == pytest.approx(0.02 * 0.032 * np.sqrt(0.75))
    measured = {"Total-Grey-Matter": 0.005}
    assert grey_sd(Calibration(parts, usual, measured)) == pytest.approx(0.005 * 0.032)
    surer = {3: 0.95, 42: 0.95}
    assert grey_sd(Calibration(parts, surer, measured)) == pytest.approx(2 * 0.005 * 0.032)
