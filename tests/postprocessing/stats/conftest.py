"""One cohort, analysed once."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from fibromorph.postprocessing.stats import (
    Results,
    Study,
    analyse,
    build_study,
    compare,
    read_cohort,
    read_people,
)
from fibromorph.postprocessing.stats.change.data import ChangeData, change_data
from tests.postprocessing.stats.cohorts import Cohort, design, write_cohort

SCORES = {"pain_intensity": "pain", "depression_bdi": "bdi"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """23 patients and 21 controls, one scan each, putamen 12 % smaller in patients."""
    write_cohort(tmp_path, Cohort())
    return tmp_path


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """The analysis of `folder`, with pain (0 in all controls) and depression."""
    folder = tmp_path_factory.mktemp("cohort")
    write_cohort(folder, Cohort())
    return run(folder, scores=SCORES)


def run(folder: Path, **changes: object) -> Results:
    """The analysis of a folder's tables."""
    asked = design(**changes)
    cohort = read_cohort([folder / "volumes.tsv"], asked.ids)
    return analyse(asked, cohort, read_people(asked, folder / "participants.tsv"), progress=False)


def built(folder: Path, **changes: object) -> tuple[Study, Study]:
    """(baseline, all sessions) of a folder's tables."""
    asked = design(**changes)
    cohort = read_cohort([folder / "volumes.tsv"], asked.ids)
    return build_study(asked, cohort, read_people(asked, folder / "participants.tsv"))


def followed_in(whole: Study) -> ChangeData:
    """The rows of the longitudinal question of a study that asks one."""
    data = change_data(whole)
    assert data is not None
    return data


def groups(folder: Path, **changes: object) -> pd.DataFrame:
    """The group comparison of a folder's tables, and nothing else."""
    return compare(built(folder, **changes)[0])[2]
