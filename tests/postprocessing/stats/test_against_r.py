"""The same numbers as R to 1e-6, where the method is the same; R's code lies in `reference/`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fibromorph.postprocessing.stats import (
    GroupModel,
    build_model,
    build_study,
    estimate,
    parse_design,
    read_cohort,
    read_participants,
)
from fibromorph.postprocessing.stats.designs.sections import Inference, SmallestEffect
from fibromorph.postprocessing.stats.groups.assumptions import check_assumptions
from fibromorph.postprocessing.stats.groups.model import centred
from fibromorph.postprocessing.stats.models.combat import harmonise
from fibromorph.postprocessing.stats.models.effects import (
    detectable_effect,
    false_discovery,
    jzs_bayes_factor,
    power_of,
)
from fibromorph.postprocessing.stats.models.linear import Floats, Ints, fit
from fibromorph.postprocessing.stats.models.measured import fit_weighted
from fibromorph.postprocessing.stats.models.mixed import fit_mixed, fit_mixed_known
from fibromorph.postprocessing.stats.people.imputation import pool
from fibromorph.postprocessing.stats.scores.correlation import partial_correlation, percentage_bend
from fibromorph.postprocessing.stats.tables.region_names import from_enigma
from tests.postprocessing.stats.recorded import R_TOLERANCE, recorded, table

REGIONS = ["putamen", "thalamus", "caudate"]


def agrees(value: object, with_r: object) -> bool:
    return bool(np.asarray(value) == pytest.approx(np.asarray(with_r), rel=R_TOLERANCE))


@pytest.fixture(scope="module")
def model() -> GroupModel:
    people = table("people").set_index(["participant_id", "site"])
    nuisance = people[["age", "eTIV"]].assign(sex=(people["sex"] == "M").astype(float))
    sd = people[[f"{r}_sd" for r in REGIONS]].set_axis(REGIONS, axis=1)
    patients = (people["group"] == "FM").to_numpy()
    return GroupModel(people[REGIONS], people[REGIONS], sd, patients, centred(nuisance))


@pytest.fixture(scope="module")
def effects(model: GroupModel) -> pd.DataFrame:
    return estimate(model, Inference(), SmallestEffect())


@pytest.mark.parametrize("region", REGIONS)
def test_analysis_of_covariance_with_hc3(effects: pd.DataFrame, region: str) -> None:
    row, r = effects.loc[region], recorded("groups")["regions"][region]
    assert agrees(row["adjusted_difference_ml"], r["difference"])
    assert agrees(row["adjusted_difference_ml"], r["emmeans_difference"])
    assert agrees(row["se_ml"], r["se"])
    assert agrees(row["t"] ** 2, r["F"])
    assert agrees(row["p"], r["p"])


@pytest.mark.parametrize("region", REGIONS)
def test_hedges_g_with_its_noncentral_interval(effects: pd.DataFrame, region: str) -> None:
    row, r = effects.loc[region], recorded("groups")["regions"][region]
    assert agrees(row["hedges_g_raw"], r["g_raw"])
    # effectsize searches for the noncentrality by nlminb, to 1e-5 or so.
    interval = (row["g_raw_ci_low"], row["g_raw_ci_high"])
    assert interval == pytest.approx((r["g_raw_low"], r["g_raw_high"]), abs=2e-5)


@pytest.mark.parametrize("region", REGIONS)
def test_bayes_factor(region: str, model: GroupModel) -> None:
    r = recorded("groups")["regions"][region]
    known = model.volumes[region].notna().to_numpy()
    ill, well = int(model.patients[known].sum()), int((~model.patients[known]).sum())
    found = jzs_bayes_factor(r["t_raw"], ill + well - 2, 1 / ill + 1 / well)
    assert agrees(found, r["bayes_factor"])


@pytest.mark.parametrize("region", REGIONS)
def test_weights_by_measurement_error(model: GroupModel, region: str) -> None:
    r = recorded("groups")["regions"][region]
    known = model.volumes[region].notna().to_numpy()
    assert model.sd is not None
    found = fit_weighted(
        model.matrix[known],
        model.volumes[region][known].to_numpy(),
        model.sd[region][known].to_numpy(),
    )
    assert agrees(found.beta[-1], r["weighted"])
    assert agrees(found.se[-1], r["weighted_se"])


@pytest.mark.parametrize("region", REGIONS)
def test_assumptions(model: GroupModel, region: str) -> None:
    row, r = check_assumptions(model).loc[region], recorded("groups")["regions"][region]
    assert agrees(row["cooks_distance"], r["cooks"])
    assert agrees(row["p_slope_age"], r["p_slope_age"])
    assert agrees(row["p_variance"], r["p_levene"])
    assert agrees(row["p_normal"], r["p_shapiro"])
    assert agrees((row["g_without_low"], row["g_without_high"]), r["g_without"])


def test_partial_correlations() -> None:
    patients = table("people").query("group == 'FM'")
    x, y = patients["putamen"].to_numpy(), patients["bdi"].to_numpy(float)
    covariates = patients[["age", "eTIV"]].to_numpy()
    for method in ("pearson", "spearman"):
        found = partial_correlation(x, y, covariates, method, 0.95)
        r = recorded("groups")["partial"][method]
        assert agrees((found.r, found.p), (r["r"], r["p"]))


def test_meta_analysis_of_sites() -> None:
    r = recorded("groups")["sites"]
    found = fit_weighted(np.ones((3, 1)), np.array(r["difference"]), np.array(r["se"]))
    assert agrees((found.beta[0], found.se[0]), (r["pooled"], r["pooled_se"]))
    r = recorded("groups")["spread_sites"]
    values, errors = np.array([-0.9, -0.1, -0.45, 0.2]), np.array([0.1, 0.12, 0.15, 0.1])
    found = fit_weighted(np.ones((4, 1)), values, errors)
    assert agrees((found.beta[0], found.se[0], found.tau2), (r["pooled"], r["se"], r["tau2"]))


def test_false_discovery_rate() -> None:
    p = np.array([0.001, 0.02, 0.03, 0.2, 0.9, 0.04])
    assert agrees(false_discovery(p), recorded("groups")["fdr"])


def test_rubins_rules() -> None:
    r = recorded("groups")["rubin"]
    estimates = np.array([0.31, 0.35, 0.28, 0.40, 0.33])
    found = pool(estimates, np.array([0.11, 0.12, 0.10, 0.115, 0.11]), np.array(44 - 5.0))
    assert agrees((found.estimate, found.se, found.df), (r["estimate"], r["se"], r["df"]))


def test_power() -> None:
    r = recorded("groups")["power"]
    assert power_of(0.8 * np.sqrt(11), 42, 0.05) == pytest.approx(r["power"], rel=R_TOLERANCE)
    assert detectable_effect(42, 2 / 22, 0.05, 0.8) == pytest.approx(r["d"], rel=1e-4)


def _group_by_session(visits: pd.DataFrame) -> tuple[Floats, Ints]:
    """Design and person of `change.R`."""
    patient = (visits["group"] == "FM").to_numpy(float)
    times = [(visits["session"] == s).to_numpy(float) for s in (2, 3)]
    columns = [np.ones(len(visits)), visits["age"].to_numpy(float), patient, *times]
    design = np.column_stack([*columns, *(patient * time for time in times)])
    return design, pd.factorize(visits["participant_id"])[0]


def test_mixed_model() -> None:
    visits, r = table("visits"), recorded("change")
    design, person = _group_by_session(visits)
    found = fit_mixed(design, visits["putamen"].to_numpy(), person)
    assert agrees(found.beta, list(r["beta"].values()))
    assert agrees(found.se, list(r["se"].values()))
    assert agrees((found.between, found.within), (r["between"], r["within"]))


def test_mixed_model_with_known_errors() -> None:
    visits, r = table("visits"), recorded("change")["known"]
    design, person = _group_by_session(visits)
    sd = (0.04 + 0.02 * (np.arange(1, len(visits) + 1) % 7)).astype(float)
    found = fit_mixed_known(design, visits["putamen"].to_numpy(), person, sd)
    assert agrees(found.beta, list(r["beta"].values()))
    assert agrees(found.se, list(r["se"].values()))
    assert agrees((found.between, found.within), (r["between"], r["within"]))


def test_analysis_of_covariance_on_follow_up() -> None:
    visits, r = table("visits"), recorded("change")["ancova"]
    people = visits.pivot(
        index=["participant_id", "group", "age"], columns="session", values="putamen"
    )
    wide = people[[1, 2]].dropna().reset_index()
    patient = (wide["group"] == "FM").to_numpy(float)
    design = np.column_stack([np.ones(len(wide)), wide[1], wide["age"], patient])
    found = fit(design, wide[[2]].to_numpy())
    assert agrees((found.beta[-1, 0], found.se_hc3[-1, 0]), (r["difference"], r["se"]))


def test_combat_against_neurocombat() -> None:
    people = table("people").dropna()
    protected = np.column_stack([people["group"] == "FM", people["age"], people["eTIV"]])
    found, _ = harmonise(
        people[REGIONS].to_numpy(), people["site"].to_numpy(), protected.astype(float), 1e-4
    )
    assert found == pytest.approx(np.array(recorded("packages")["combat"]), abs=1e-6)


def test_percentage_bend_against_pingouin() -> None:
    patients = table("people").dropna().query("group == 'FM'")
    found = percentage_bend(patients["putamen"].to_numpy(), patients["bdi"].to_numpy(float))
    assert agrees(found, recorded("packages")["percentage_bend"])


def test_a_real_table(data_root: Path) -> None:
    folder = data_root / "studies" / "enigma"
    design = parse_design(
        {
            "groups": {"column": "Dx", "patients": "1", "controls": "0"},
            "covariates": ["Age", "Sex"],
        }
    )
    cohort = read_cohort([folder / "metr1_SubVol.csv"])
    study, _ = build_study(design, cohort, read_participants(folder / "cov.csv"))
    effects = estimate(build_model(study), design.inference, design.smallest_effect)
    for name, r in recorded("enigma").items():
        row = effects.loc[from_enigma(name)]
        assert agrees(row["adjusted_difference_ml"], r["difference"])
        assert agrees(row["se_ml"], r["se"])
        assert agrees(row["p"], r["p"])
        assert agrees(row["control_mean_ml"], r["control_mean"])
        assert agrees(row["hedges_g_raw"], r["g_raw"])


def test_against_statsmodels() -> None:
    api = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(0)
    design = np.column_stack([np.ones(40), rng.normal(size=(40, 3))])
    outcomes = rng.normal(size=(40, 5))
    found = fit(design, outcomes)
    for column in range(5):
        other = api.OLS(outcomes[:, column], design).fit()
        assert found.beta[:, column] == pytest.approx(other.params)
        assert found.se_hc3[:, column] == pytest.approx(other.HC3_se)
        p = 2 * stats.t.sf(np.abs(found.beta[:, column] / found.se[:, column]), found.df)
        assert p == pytest.approx(other.pvalues)
