"""Patients against controls: what comes out for what was put in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fibromorph.postprocessing.stats import Results, compare
from fibromorph.postprocessing.stats.groups.assumptions import check_assumptions
from fibromorph.postprocessing.stats.groups.comparison import FIRST_COLUMNS, conclusion
from fibromorph.postprocessing.stats.groups.model import GroupModel
from fibromorph.postprocessing.stats.groups.sensitivity import quick_effects
from fibromorph.postprocessing.stats.models.measured import fit_weighted, sd_as_fitted
from tests.postprocessing.stats.cohorts import MEANS_ML, PUTAMEN, Cohort, write, write_cohort
from tests.postprocessing.stats.conftest import built, groups, run


def test_the_planted_region_comes_out_and_no_other(results: Results) -> None:
    found = results.groups.index[results.groups["p_fwe"] <= 0.05]
    assert found.tolist() == [PUTAMEN]
    row = results.groups.loc[PUTAMEN]
    assert row["percent_ci_low"] < -12 < row["percent_ci_high"]
    assert row["conclusion"] == "lower in patients"


def test_who_carries_the_difference_is_named(folder: Path) -> None:
    people = pd.read_csv(folder / "participants.tsv", sep="\t", dtype=object, keep_default_na=False)
    for women, said in ((1, "rests on sub-024 alone"), (2, "rests on the few people")):
        sexes = np.where((people["group"] == "FM") | (people.index < 23 + women), "F", "M")
        write(folder / "participants.tsv", people.assign(sex=sexes))
        notes = run(folder, covariates=["sex"]).notes
        assert any(said in note for note in notes)
    write(folder / "participants.tsv", people)
    assert not any("rests on" in note for note in run(folder, covariates=["sex"]).notes)


def test_who_carries_the_difference_of_one_region_is_named(folder: Path) -> None:
    people = pd.read_csv(folder / "participants.tsv", sep="\t", dtype=object, keep_default_na=False)
    sexes = np.where((people["group"] == "FM") | (people.index < 28), "F", "M")
    write(folder / "participants.tsv", people.assign(sex=sexes))
    volumes = pd.read_csv(folder / "volumes.tsv", sep="\t", dtype=object, keep_default_na=False)
    volumes.loc[24:27, PUTAMEN] = "n/a"
    write(folder / "volumes.tsv", volumes)
    [note] = [note for note in run(folder, covariates=["sex"]).notes if "rests on" in note]
    assert note.startswith(f"In {PUTAMEN}: The adjusted group difference rests on sub-024 alone")
    volumes.loc[23, PUTAMEN] = "n/a"
    write(folder / "volumes.tsv", volumes)
    notes = run(folder, covariates=["sex"]).notes
    assert any(note.startswith(f"In {PUTAMEN}: sex[M] follows from the group") for note in notes)


def test_noisier_scans_of_one_group_do_not_make_it_smaller() -> None:
    """Errors are told as shares of the volume measured; here patients' are half as large again."""
    rng, n = np.random.default_rng(0), 40
    group = np.repeat([1.0, 0.0], n)
    design = np.column_stack([np.ones(2 * n), group])
    share = np.where(group, 0.2, 0.13)
    naive, fair = [], []
    for _ in range(200):
        measured = (1 + 0.1 * rng.standard_normal(2 * n)) * (1 + share * rng.standard_normal(2 * n))
        measured = np.maximum(measured, 0.2)
        told = share * measured
        naive.append(fit_weighted(design, measured, told).beta[1])
        errors = sd_as_fitted(design, measured, told)
        fair.append(fit_weighted(design, measured, errors).beta[1])
    assert abs(np.mean(fair)) < 0.01
    assert np.mean(naive) < -0.02


def test_columns_begin_as_documented(results: Results) -> None:
    assert tuple(results.groups.columns[: len(FIRST_COLUMNS)]) == FIRST_COLUMNS
    assert results.groups.index.name == "region"


def test_measurement_error_dilutes_effects(results: Results) -> None:
    table = results.groups
    assert (table["reliability"] < 1).all()
    assert (table["g_corrected"].abs() > table["hedges_g"].abs()).all()
    expected = 0.06**2 / (0.06**2 + 0.0224**2)
    assert table["reliability"].median() == pytest.approx(expected, abs=0.06)


def test_detectable_effects_are_larger_in_a_family(results: Results) -> None:
    assert (results.groups["mdes_family"] > results.groups["mdes"]).all()
    assert results.groups["mdes"].iloc[0] > 0.865


def test_families_are_corrected_apart(folder: Path) -> None:
    together = groups(folder)
    apart = groups(folder, families={"putamen": ["*-Putamen"], "rest": ["*-Caudate"]})
    assert apart.loc["Right-Putamen"]["p_fwe"] <= together.loc["Right-Putamen"]["p_fwe"]
    assert set(apart.index) == {n for n in MEANS_ML if n.endswith(("Putamen", "Caudate"))}


def test_same_seed_same_answer(folder: Path) -> None:
    first, second = groups(folder), groups(folder)
    pd.testing.assert_frame_equal(first, second)


@pytest.mark.parametrize("etiv", ["covariate", "residual", "power", "ratio", "none"])
def test_every_way_to_take_head_size_out_finds_it(folder: Path, etiv: str) -> None:
    assert groups(folder, etiv=etiv).loc[PUTAMEN]["conclusion"] == "lower in patients"


def test_ratios_are_warned_of(folder: Path) -> None:
    assert any("divided by eTIV" in note for note in run(folder, etiv="ratio").notes)


def test_residuals_no_longer_go_with_head_size(folder: Path) -> None:
    study, model, _ = compare(built(folder, etiv="residual")[0])
    assert study.etiv is not None
    controls = ~study.patients
    r = np.corrcoef(study.etiv[controls], model.volumes.loc[controls, PUTAMEN])[0, 1]
    assert abs(r) < 1e-9


def test_a_missing_volume_is_counted_in_its_region_only(folder: Path) -> None:
    table = pd.read_csv(folder / "volumes.tsv", sep="\t", keep_default_na=False)
    table[PUTAMEN] = table[PUTAMEN].astype(object)
    table.loc[[0, 30], PUTAMEN] = "n/a"
    write(folder / "volumes.tsv", table)
    found = groups(folder)
    counts = found[["n_patients", "n_controls", "n_missing"]].loc[PUTAMEN]
    assert list(counts) == [22, 20, 2]
    assert found["n_missing"].sum() == 2


def test_nothing_with_many_people_is_equivalence(tmp_path: Path) -> None:
    write_cohort(tmp_path, Cohort(patients=150, controls=150, effects={}, seed=4))
    found = groups(tmp_path)
    assert set(found["conclusion"]) == {"equivalent"}
    assert (found["bayes_factor"] < 1).all()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"p_fwe": 0.01, "p_equivalence": 0.6}, "lower in patients"),
        ({"p_fwe": 0.01, "p_equivalence": 0.01}, "lower in patients, by less than matters"),
        ({"p_fwe": 0.2, "p_equivalence": 0.01}, "equivalent"),
        ({"p_fwe": 0.2, "p_equivalence": 0.2}, "undecided"),
    ],
)
def test_conclusions(values: dict[str, Any], words: str) -> None:
    assert conclusion(pd.Series({"adjusted_difference_ml": -1.0, **values}), 0.05) == words


@pytest.mark.parametrize("etiv", ["covariate", "residual"])
def test_slopes_on_age_and_head_size_are_always_compared(folder: Path, etiv: str) -> None:
    study, model, _ = compare(built(folder, etiv=etiv)[0])
    table = check_assumptions(model, study.etiv)
    assert table[["p_slope_age", "p_slope_eTIV"]].notna().all(axis=None)


def test_influence_is_named(folder: Path) -> None:
    table = pd.read_csv(folder / "volumes.tsv", sep="\t", keep_default_na=False)
    table.loc[7, PUTAMEN] = 15.0
    write(folder / "volumes.tsv", table)
    row = check_assumptions(compare(built(folder)[0])[1]).loc[PUTAMEN]
    assert row["influential"] == row["g_moved_by"] == "sub-008"
    assert row["g_without_low"] < -1


def test_who_moves_the_effect_is_named(folder: Path) -> None:
    """Not who has the largest Cook's distance, which the other coefficients have a share in."""
    model = compare(built(folder)[0])[1]
    people = model.volumes.index
    without = {name[0]: effects(model.rows((people != name).astype(bool))) for name in people}
    moved = (pd.DataFrame(without).sub(effects(model), axis=0)).abs()
    table = check_assumptions(model)
    assert table["g_moved_by"].to_dict() == moved.idxmax(axis=1).to_dict()
    assert (table["g_moved_by"] != table["influential"]).any()


def effects(model: GroupModel) -> pd.Series:
    """Hedges' g by region."""
    return pd.Series({str(e["region"]): e["hedges_g"] for e in quick_effects(model, 0.95)})
