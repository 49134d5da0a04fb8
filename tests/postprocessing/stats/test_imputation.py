"""Multiple imputation: nobody is lost, and nothing is gained for free."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fibromorph.postprocessing.stats.people.imputation import impute, pool
from fibromorph.postprocessing.stats.run import completed
from tests.postprocessing.stats.cohorts import PUTAMEN, write
from tests.postprocessing.stats.conftest import built, groups

IMPUTE = {"method": "impute", "imputations": 5}


@pytest.fixture
def gaps(folder: Path) -> Path:
    """Ages of eight people and putamina of three are missing."""
    people = pd.read_csv(folder / "participants.tsv", sep="\t", dtype=object, keep_default_na=False)
    people.loc[::6, "age"] = "n/a"
    write(folder / "participants.tsv", people)
    volumes = pd.read_csv(folder / "volumes.tsv", sep="\t", dtype=object, keep_default_na=False)
    volumes.loc[[1, 2, 30], PUTAMEN] = "n/a"
    write(folder / "volumes.tsv", volumes)
    return folder


def test_dropping_and_imputing(gaps: Path) -> None:
    dropped, imputed = groups(gaps), groups(gaps, missing=IMPUTE)
    assert dropped.loc["Left-Caudate", ["n_patients", "n_controls"]].sum() == 36
    assert imputed.loc["Left-Caudate", ["n_patients", "n_controls"]].sum() == 44
    assert imputed.loc[PUTAMEN]["n_missing"] == 3
    assert imputed.loc[PUTAMEN]["conclusion"] == "lower in patients"
    assert imputed.loc[PUTAMEN]["df"] < 39


def test_drawn_values_are_those_of_people(gaps: Path) -> None:
    study = completed(built(gaps, missing=IMPUTE)[0])
    ages = pd.read_csv(gaps / "participants.tsv", sep="\t")["age"].dropna()
    assert set(study.covariates["age"]) <= set(ages)


def test_a_missing_volume_does_not_draw_the_groups_together(folder: Path) -> None:
    """Four regions that go together, one a sd smaller in patients and missing in a third."""
    study, _ = built(folder, missing=IMPUTE)
    rng, found = np.random.default_rng(3), []
    patients = study.patients.to_numpy(bool)
    for _ in range(60):
        values = 0.6 * rng.standard_normal((len(patients), 1))
        values = 5 + values + 0.8 * rng.standard_normal((len(patients), 4))
        values[patients, 0] -= 1
        values[rng.random(len(patients)) < 0.33, 0] = np.nan
        volumes = pd.DataFrame(values, study.volumes.index, study.volumes.columns[:4])
        drawn = impute(replace(study, volumes=volumes), rng).volumes.iloc[:, 0]
        found.append(drawn[patients].mean() - drawn[~patients].mean())
    assert np.mean(found) == pytest.approx(-1, abs=0.12)


def test_a_scanner_that_measures_more_is_no_difference_of_groups(folder: Path) -> None:
    """At the second site a region is 15 % larger, and missing in half of the patients there."""
    site = {"column": "site", "method": "covariate"}
    study, _ = built(folder, missing=IMPUTE, covariates=["age"], etiv="none")
    design = study.design.model_copy(update={"site": study.design.site.model_copy(update=site)})
    rng, found = np.random.default_rng(4), []
    patients = study.patients.to_numpy(bool)
    for _ in range(60):
        at_b = rng.random(len(patients)) < 0.5
        values = 5 + 0.3 * rng.standard_normal((len(patients), 4))
        values[at_b, 0] *= 1.15
        values[at_b & patients & (rng.random(len(patients)) < 0.5), 0] = np.nan
        volumes = pd.DataFrame(values, study.volumes.index, study.volumes.columns[:4])
        sites = pd.Series(np.where(at_b, "b", "a"), study.volumes.index)
        one = replace(study, design=design, volumes=volumes, site=sites, etiv=None)
        drawn = impute(one, rng).volumes.iloc[:, 0].to_numpy()
        design_matrix = np.column_stack([np.ones(len(patients)), at_b, patients])
        found.append(np.linalg.lstsq(design_matrix, drawn, rcond=None)[0][-1])
    assert np.mean(found) == pytest.approx(0, abs=0.05)


def test_nobody_has_two_levels(folder: Path) -> None:
    people = pd.read_csv(folder / "participants.tsv", sep="\t", dtype=object, keep_default_na=False)
    levels = ["n/a" if i % 3 == 0 else "abc"[i % 5 % 3] for i in range(len(people))]
    write(folder / "participants.tsv", people.assign(school=levels))
    study, _ = built(folder, missing=IMPUTE, covariates=["age", "school"])
    for seed in range(20):
        drawn = impute(study, np.random.default_rng(seed)).covariates
        assert drawn[["school[b]", "school[c]"]].sum(axis=1).isin([0, 1]).all()


def test_draws_differ_and_repeat_with_the_seed(gaps: Path) -> None:
    study, _ = built(gaps, missing=IMPUTE)
    first, again, other = (impute(study, np.random.default_rng(s)) for s in (1, 1, 2))
    assert first.covariates.equals(again.covariates)
    assert not first.covariates.equals(other.covariates)


def test_disagreement_between_imputations_widens_the_error() -> None:
    errors, df = np.full((5, 1), 0.1), np.array([40.0])
    same = pool(np.full((5, 1), 1.0), errors, df)
    different = pool(np.array([[0.8], [0.9], [1.0], [1.1], [1.2]]), errors, df)
    assert different.se[0] > same.se[0] == pytest.approx(0.1)
    assert different.df[0] < same.df[0]
