"""What a tool is blind to is said beside what it found."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fibromorph.errors import TableError
from fibromorph.postprocessing.stats import read_cohort
from fibromorph.postprocessing.stats.report import write_study
from tests.postprocessing.stats.cohorts import PUTAMEN, Cohort, write_cohort
from tests.postprocessing.stats.conftest import run

NAME = "volumes_responsiveness.json"


def write_shares(folder: Path, **shares: float) -> None:
    known = {name: {"mean": mean, "sd": 0.05} for name, mean in shares.items()}
    (folder / NAME).write_text(json.dumps({"responsiveness": known}))


def test_a_region_that_differs_alone_differs_by_more_than_was_seen(tmp_path: Path) -> None:
    write_cohort(tmp_path, Cohort(effects={PUTAMEN: -0.08}))
    write_shares(tmp_path, **{PUTAMEN: 0.5, "Left-Amygdala": 0.1})
    results = run(tmp_path)
    row = results.groups.loc[PUTAMEN]
    assert row.alone_percent == pytest.approx(100 * ((1 + row.difference_percent / 100) ** 2 - 1))
    assert row.alone_ci_low < row.alone_percent < row.alone_ci_high < 0
    # Twice the change on the log scale, and the share's own uncertainty on top of twice the error.
    seen = np.log1p(np.array([row.percent_ci_low, row.percent_ci_high]) / 100)
    alone = np.log1p(np.array([row.alone_ci_low, row.alone_ci_high]) / 100)
    assert np.ptp(alone) > 2 * np.ptp(seen)
    assert np.isnan(results.groups.loc["Left-Amygdala"].alone_percent)
    assert np.isnan(results.groups.loc["Left-Caudate"].responsiveness)
    write_study(results, tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "alone differs" in page
    assert "measured with the segmentation model on deformed heads" in page
    assert "all but blind to Left amygdala alone" in page


def test_without_a_measured_share_nothing_is_claimed(tmp_path: Path) -> None:
    write_cohort(tmp_path, Cohort())
    assert "alone_percent" not in run(tmp_path).groups


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    write_cohort(tmp_path, Cohort())
    (tmp_path / NAME).write_text('{"responsiveness": {"Left-Putamen": 0.5}}')
    with pytest.raises(TableError, match=NAME):
        read_cohort([tmp_path / "volumes.tsv"])
