"""Several scanners: harmonised, pooled, or refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fibromorph.errors import ConfigError, TableError
from fibromorph.postprocessing.stats import build_model
from fibromorph.postprocessing.stats.groups.sensitivity import quick_effects
from fibromorph.postprocessing.stats.models.combat import harmonise
from fibromorph.postprocessing.stats.people.sites import harmonised
from tests.postprocessing.stats.cohorts import PUTAMEN, Cohort, write, write_cohort
from tests.postprocessing.stats.conftest import built, groups, run

SITES = Cohort(patients=60, controls=60, sites=("a", "b", "c"), seed=2)


@pytest.fixture
def multi(tmp_path: Path) -> Path:
    """Three sites; volumes at site b are measured 15 % larger."""
    people = write_cohort(tmp_path, SITES)
    volumes = pd.read_csv(tmp_path / "volumes.tsv", sep="\t", keep_default_na=False)
    at_b = (people["site"] == "b").to_numpy()
    volumes.loc[at_b, volumes.columns[3:-1]] *= 1.15
    write(tmp_path / "volumes.tsv", volumes)
    return tmp_path


@pytest.mark.parametrize("method", ["covariate", "combat", "meta"])
def test_the_effect_survives_a_site_that_measures_more(multi: Path, method: str) -> None:
    found = groups(multi, site={"column": "site", "method": method})
    row = found.loc[PUTAMEN]
    assert row["conclusion"] == "lower in patients"
    assert row["difference_percent"] == pytest.approx(-12, abs=4)
    assert (found["p_fwe"] <= 0.05).sum() == 1
    assert ("meta_g" in found) == (method == "meta")


def test_pooled_effects_stand_beside(multi: Path) -> None:
    found = run(multi, site={"column": "site", "method": "meta"})
    row = found.groups.loc[PUTAMEN]
    assert row["n_sites"] == 3
    assert row["meta_ci_low_ml"] < row["meta_difference_ml"] < row["meta_ci_high_ml"] < 0
    assert found.sites is not None
    assert len(found.sites) == 3 * len(found.groups)


def test_a_site_without_patients_of_a_region_says_nothing_of_it(multi: Path) -> None:
    people = pd.read_csv(multi / "participants.tsv", sep="\t", keep_default_na=False)
    volumes = pd.read_csv(multi / "volumes.tsv", sep="\t", keep_default_na=False)
    gone = (people["site"] == "c") & (people["group"] == "FM")
    volumes[PUTAMEN] = volumes[PUTAMEN].astype(object)
    volumes.loc[gone.to_numpy(), PUTAMEN] = "n/a"
    write(multi / "volumes.tsv", volumes)
    found = run(multi, site={"column": "site", "method": "meta"})
    assert found.sites is not None
    alone = found.sites[found.sites["site"] == "c"].set_index("region").loc[PUTAMEN]
    assert alone["n_patients"] == 0
    assert np.isnan(alone["difference_ml"])
    pooled = found.groups.loc[PUTAMEN]
    assert pooled["n_sites"] == 2
    assert pooled["meta_difference_ml"] < 0


def test_a_site_with_as_many_parameters_as_people_of_a_region_says_nothing_of_it(
    multi: Path,
) -> None:
    people = pd.read_csv(multi / "participants.tsv", sep="\t", keep_default_na=False)
    volumes = pd.read_csv(multi / "volumes.tsv", sep="\t", keep_default_na=False)
    at_c = people["site"] == "c"
    volumes[PUTAMEN] = volumes[PUTAMEN].astype(object)
    for group in ("FM", "HC"):
        volumes.loc[people.index[at_c & (people["group"] == group)][2:], PUTAMEN] = "n/a"
    write(multi / "volumes.tsv", volumes)
    found = run(multi, covariates=["age", "bdi"], site={"column": "site", "method": "meta"})
    assert found.sites is not None
    few = found.sites[found.sites["site"] == "c"].set_index("region").loc[PUTAMEN]
    assert (few["n_patients"], few["n_controls"]) == (2, 2)
    assert np.isnan(few["difference_ml"])
    assert found.groups.loc[PUTAMEN, "n_sites"] == 2


def test_combat_takes_the_site_out_and_leaves_the_group() -> None:
    rng = np.random.default_rng(0)
    site, group = np.repeat(["x", "y"], 60), np.tile([0.0, 1.0], 60)
    volumes = rng.standard_normal((120, 8)) + group[:, None] + 3.0 * (site == "y")[:, None]
    found, _ = harmonise(volumes, site, group[:, None])
    assert np.abs(found[site == "x"].mean(axis=0) - found[site == "y"].mean(axis=0)).max() < 0.3
    effect = found[group == 1].mean() - found[group == 0].mean()
    assert effect == pytest.approx(1.0, abs=0.1)


def test_combat_with_missing_volumes() -> None:
    rng = np.random.default_rng(1)
    volumes = rng.standard_normal((60, 4))
    volumes[3, 2] = np.nan
    found, _ = harmonise(volumes, np.repeat(["x", "y"], 30), np.tile([0.0, 1.0], 30)[:, None])
    assert np.isnan(found).sum() == 1


@pytest.mark.parametrize("method", ["combat", "meta"])
def test_one_site_is_refused(folder: Path, method: str) -> None:
    with pytest.raises(ConfigError, match=r"needs two sites.*found: 1"):
        groups(folder, site={"column": "site", "method": method})


def test_a_tiny_site_is_refused_by_name(multi: Path) -> None:
    people = pd.read_csv(multi / "participants.tsv", sep="\t", keep_default_na=False)
    people.loc[:3, "site"] = "tiny"
    write(multi / "participants.tsv", people)
    with pytest.raises(ConfigError, match=r"cannot be told apart.*tiny: 4 patients, 0 controls"):
        groups(multi, site={"column": "site", "method": "combat"})


def test_a_site_that_never_saw_a_region_is_named(multi: Path) -> None:
    people = pd.read_csv(multi / "participants.tsv", sep="\t", keep_default_na=False)
    volumes = pd.read_csv(multi / "volumes.tsv", sep="\t", keep_default_na=False)
    gone = (people["site"] == "c").to_numpy(copy=True)
    gone[np.flatnonzero(gone)[0]] = False
    volumes[PUTAMEN] = volumes[PUTAMEN].astype(object)
    volumes.loc[gone, PUTAMEN] = "n/a"
    write(multi / "volumes.tsv", volumes)
    with pytest.raises(TableError, match=r"2 known values.*Left-Putamen, site c: 1"):
        groups(multi, site={"column": "site", "method": "combat"})


def test_sites_with_unlike_shares_of_patients_find_no_difference_of_their_own(
    tmp_path: Path,
) -> None:
    write_cohort(tmp_path, Cohort(patients=25, controls=25, effects={}))
    people = pd.read_csv(tmp_path / "participants.tsv", sep="\t", keep_default_na=False)
    people["site"] = ["a"] * 20 + ["b"] * 5 + ["a"] * 5 + ["b"] * 20
    write(tmp_path / "participants.tsv", people)
    study = built(tmp_path, site={"column": "site", "method": "combat"}, covariates=["age"])[0]
    rng = np.random.default_rng(0)
    small = 0
    for _ in range(150):
        noise = 5 + 0.3 * rng.standard_normal(study.volumes.shape)
        drawn = replace(study, volumes=study.volumes * 0 + noise)
        model = harmonised(drawn, build_model(drawn))
        small += sum(float(str(row["p"])) <= 0.05 for row in quick_effects(model, 0.95))
    # 0.115 without the sites' indicators, 300 cohorts of 20 regions.
    assert 0.03 < small / (150 * study.volumes.shape[1]) < 0.07
