"""Person by person: z against controls as statsmodels has it, and what is not known left out."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from fibromorph.postprocessing.stats import Results
from fibromorph.postprocessing.stats.groups.deviations import COUNTS, deviations
from fibromorph.postprocessing.stats.groups.model import build_model
from fibromorph.postprocessing.stats.report import write_study
from tests.postprocessing.stats.cohorts import MEANS_ML, PUTAMEN, Cohort, write, write_cohort
from tests.postprocessing.stats.conftest import built, run


def as_z(t: np.ndarray, df: float) -> np.ndarray:
    return np.asarray(stats.norm.ppf(stats.t.cdf(t, df)))


def test_z_are_those_of_statsmodels(folder: Path) -> None:
    model = build_model(built(folder)[0])
    found = deviations(model)[PUTAMEN].to_numpy()
    well = ~model.patients
    nuisance, volumes = model.nuisance.to_numpy(float), model.volumes[PUTAMEN].to_numpy()
    fitted = sm.OLS(volumes[well], nuisance[well]).fit()
    left_out = fitted.get_influence().resid_studentized_external
    assert found[well] == pytest.approx(as_z(left_out, fitted.df_resid - 1), rel=1e-6)
    predicted = fitted.get_prediction(nuisance[~well])
    t = (volumes[~well] - predicted.predicted_mean) / predicted.se_obs
    assert found[~well] == pytest.approx(as_z(t, fitted.df_resid), rel=1e-6)


def test_without_an_effect_nineteen_in_twenty_lie_within(tmp_path: Path) -> None:
    outside: dict[str, list[float]] = {"patients": [], "controls": []}
    for seed in range(40):
        write_cohort(tmp_path, Cohort(effects={}, seed=seed))
        table = deviations(build_model(built(tmp_path)[0]))
        share = (table["n_low"] + table["n_high"]) / table["n_regions"]
        for group, mean in share.groupby(table["group"]).mean().items():
            outside[str(group)].append(float(mean))
    for shares in outside.values():
        assert 0.04 < np.mean(shares) < 0.06


def test_who_lost_most_is_told(folder: Path) -> None:
    volumes = pd.read_csv(folder / "volumes.tsv", sep="\t")
    volumes.loc[4, ["Left-Caudate", "Right-Caudate"]] *= 0.6
    write(folder / "volumes.tsv", volumes)
    table = deviations(build_model(built(folder)[0]))
    assert (table.loc["sub-005", ["Left-Caudate", "Right-Caudate"]].to_numpy(float) < -3).all()
    assert table["Left-Caudate"].idxmin() == "sub-005"


def test_what_controls_do_not_tell_is_missing(folder: Path) -> None:
    people = pd.read_csv(folder / "participants.tsv", sep="\t", dtype=object, keep_default_na=False)
    men = (people["group"] == "FM") & (people.index < 3)
    write(folder / "participants.tsv", people.assign(sex=np.where(men, "M", "F")))
    volumes = pd.read_csv(folder / "volumes.tsv", sep="\t", dtype=object, keep_default_na=False)
    volumes.loc[10, PUTAMEN] = "n/a"
    write(folder / "volumes.tsv", volumes)
    table = deviations(build_model(built(folder, covariates=["age", "sex"])[0]))
    regions = list(MEANS_ML)
    assert table.loc[["sub-001", "sub-002", "sub-003"], regions].isna().all(axis=None)
    assert table.loc["sub-001", "n_regions"] == 0
    assert np.isnan(table.loc["sub-011"][PUTAMEN])
    assert table.loc["sub-011", "n_regions"] == len(regions) - 1
    assert table.loc["sub-012":, regions].notna().all(axis=None)


def test_what_was_imputed_is_nobodys(folder: Path) -> None:
    volumes = pd.read_csv(folder / "volumes.tsv", sep="\t", dtype=object, keep_default_na=False)
    volumes.loc[[10, 30], PUTAMEN] = "n/a"
    write(folder / "volumes.tsv", volumes)
    found = run(folder, missing={"method": "impute", "imputations": 5}).deviations
    assert found.index[found[PUTAMEN].isna()].tolist() == ["sub-011", "sub-031"]


def test_table_and_page_have_everybody(results: Results, tmp_path: Path) -> None:
    write_study(results, tmp_path)
    table = pd.read_csv(tmp_path / "deviations.tsv", sep="\t")
    assert table.columns.tolist() == ["participant_id", *COUNTS, *MEANS_ML]
    assert len(table) == 44
    page = (tmp_path / "report.html").read_text()
    [section] = re.findall(r"<h3>Person by person</h3>(.*?)</figure>", page, re.DOTALL)
    assert "sub-001" in section
    assert "Left putamen" in section
    assert re.search(r"outside of 19 in 20 controls lie", section, re.IGNORECASE)
