"""Change over time: found where it is, denied where it is not, and never flattered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fibromorph.errors import TableError
from fibromorph.postprocessing.stats import build_study, load_design, read_cohort, read_people
from fibromorph.postprocessing.stats.change.analysis import Change, analyse_change
from fibromorph.postprocessing.stats.change.conclusions import conclusion, with_verdicts
from fibromorph.postprocessing.stats.change.data import change_data
from fibromorph.postprocessing.stats.change.gap import Estimate, fieller
from fibromorph.postprocessing.stats.models.effects import g_interval, small_sample_factor
from fibromorph.postprocessing.stats.models.mixed import fit_mixed, fit_mixed_known, whiten
from fibromorph.postprocessing.stats.models.wild_bootstrap import resample, resample_known
from fibromorph.postprocessing.stats.report import write_study
from fibromorph.postprocessing.stats.results import Results
from tests.postprocessing.stats.cohorts import PUTAMEN, Cohort, write, write_cohort
from tests.postprocessing.stats.conftest import built, followed_in, run

ARMS = {"arm": "arm", "treated": "therapy", "untreated": "waiting"}
TWO = {"baseline": "ses-01", "follow_up": ["ses-02"], "bootstraps": 400}
THERAPY = Cohort(
    patients=40,
    sessions=("ses-01", "ses-02"),
    growth={PUTAMEN: 0.06},
    drop_out=0.2,
)


@pytest.fixture(scope="module")
def therapy(tmp_path_factory: pytest.TempPathFactory) -> Change:
    folder = tmp_path_factory.mktemp("therapy")
    write_cohort(folder, THERAPY)
    return change(folder, {**TWO, **ARMS}, smallest_effect={"value": 4, "unit": "percent"})


@pytest.fixture(scope="module")
def waning(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """The putamen loses 4 % in therapy and 9 % in waiting."""
    folder = tmp_path_factory.mktemp("waning")
    people = write_cohort(folder, replace(THERAPY, growth={PUTAMEN: -0.04}, drop_out=0.0))
    waiting = people["participant_id"][people["arm"] == "waiting"]
    volumes = pd.read_csv(folder / "volumes.tsv", sep="\t")
    lost = volumes["participant_id"].isin(waiting) & (volumes["session_id"] == "ses-02")
    volumes[PUTAMEN] *= np.where(lost, 0.91, 1.0)
    write(folder / "volumes.tsv", volumes)
    return run(folder, sessions={**TWO, **ARMS})


def change(folder: Path, sessions: dict[str, object], **changes: object) -> Change:
    whole = built(folder, sessions=sessions, **changes)[1]
    return analyse_change(whole, followed_in(whole))


def table(found: Change) -> pd.DataFrame:
    return found.table.set_index("region")


def test_planted_growth_is_found_with_its_size(therapy: Change) -> None:
    found = table(therapy)
    assert found.index[found["p_fwe"] <= 0.05].tolist() == [PUTAMEN]
    row = found.loc[PUTAMEN]
    assert row["ci_low_ml"] < 0.06 * 5 * 0.88 < row["ci_high_ml"]
    assert row["conclusion"].startswith("grew more than in the waiting arm (+")
    assert "the treated are now nearer to controls" in row["conclusion"]
    assert row["ancova_low_ml"] > 0


def test_no_change_is_an_answer(therapy: Change) -> None:
    words = table(therapy)["conclusion"].drop(PUTAMEN)
    assert words.str.startswith("the same change as in the waiting arm: within").sum() >= 5


def test_drop_outs_are_counted(therapy: Change) -> None:
    row = table(therapy).iloc[0]
    total = row[["n_treated", "n_compared", "lost_treated", "lost_compared"]].sum()
    assert total == 40
    assert any("people in session ses-02" in note for note in therapy.notes)


def test_share_of_the_gap_closed(therapy: Change) -> None:
    found = table(therapy)
    row = found.loc[PUTAMEN]
    assert row["gap_low_ml"] > 0
    assert row["gap_share_low"] < 0.06 * 0.88 / 0.12 < row["gap_share_high"]
    flat = found.loc["Right-Caudate"]
    assert flat["gap_low_ml"] < 0 < flat["gap_high_ml"]
    assert np.isnan(flat["gap_share"])


def test_therapy_that_slows_a_loss_closes_no_gap(waning: Results) -> None:
    assert waning.change is not None
    row = waning.change.set_index("region").loc[PUTAMEN]
    assert row["change_ml"] > 0
    assert row["change_treated_low_ml"] < -0.04 * 5 * 0.88 < row["change_treated_high_ml"] < 0
    assert row["change_compared_ml"] == pytest.approx(-0.09 * 5 * 0.88, rel=0.3)
    assert (
        row["change_compared_low_ml"] < row["change_compared_ml"] < row["change_compared_high_ml"]
    )
    assert row["gap_after_low_ml"] < row["gap_after_ml"] < row["gap_after_high_ml"]
    assert row["gap_after_ml"] > row["gap_ml"] > 0
    assert np.isnan(row["gap_share"])
    assert row["conclusion"].startswith("shrank less than in the waiting arm (-")
    assert "further from controls" in row["conclusion"]
    assert row["verdict"] == "loss slowed"
    assert any("Controls were scanned again" in note for note in waning.change_notes)
    flat = waning.change.set_index("region").loc["Right-Caudate"]
    assert flat["verdict"] is None


def test_the_page_says_whether_the_volume_comes_back(waning: Results, tmp_path: Path) -> None:
    write_study(waning, tmp_path)
    page = " ".join((tmp_path / "report.html").read_text().split())
    assert "Does therapy bring the volume back? By ses-02, of 1 region that differed" in page
    assert "</span> loss slowed, controls minus therapy +0." in page
    assert "adjusted for age, sex[M], eTIV in level and change" in page


@pytest.mark.parametrize(
    ("low_ml", "high_ml", "p_alike", "verdict"),
    [
        (0.1, 0.3, 0.01, "normalised"),
        (0.1, 0.3, 0.3, "partly"),
        (-0.2, 0.1, 0.01, "loss slowed"),
        (-0.3, -0.1, 0.3, "loss slowed"),
    ],
)
def test_verdicts(low_ml: float, high_ml: float, p_alike: float, verdict: str) -> None:
    row = {
        **{"region": PUTAMEN, "gap_ml": 0.4, "p_fwe": 0.01, "change_ml": 0.2},
        **{"change_treated_low_ml": low_ml, "change_treated_high_ml": high_ml},
        **{"change_compared_ml": -0.1, "p_gap_equivalence": p_alike},
    }
    # Where patients are larger all signs turn, and with them nothing else.
    turned = {
        **row,
        **{"gap_ml": -0.4, "change_ml": -0.2, "change_compared_ml": 0.1},
        **{"change_treated_low_ml": -high_ml, "change_treated_high_ml": -low_ml},
    }
    unshown, away = {**row, "p_fwe": 0.2}, {**row, "change_ml": -0.2}
    groups = pd.DataFrame({"conclusion": ["lower in patients"]}, index=[PUTAMEN])
    found = with_verdicts(pd.DataFrame([row, turned, unshown, away]), groups, 0.05)
    assert found["verdict"].tolist() == [verdict, verdict, "not shown", "not shown"]


def test_fieller_against_its_definition() -> None:
    top, bottom = Estimate(0.6, 0.02), Estimate(1.2, 0.05)
    for ratio in fieller(top, bottom, 0.01, 2.0):
        variance = top.variance - 2 * ratio * 0.01 + ratio**2 * bottom.variance
        assert abs(top.value - ratio * bottom.value) == pytest.approx(2.0 * variance**0.5)
    assert np.isnan(fieller(top, Estimate(0.3, 0.05), 0.01, 2.0)).all()


def test_change_that_depends_on_age_is_not_put_down_to_the_illness(tmp_path: Path) -> None:
    people = write_cohort(tmp_path, Cohort(sessions=("ses-01", "ses-02")))
    ill = (people["group"] == "FM").to_numpy()
    people["age"] += np.where(ill, 10, 0)
    write(tmp_path / "participants.tsv", people)
    lost = dict(zip(people["participant_id"], 0.02 * (people["age"] - 40), strict=True))
    volumes = pd.read_csv(tmp_path / "volumes.tsv", sep="\t")
    later = volumes["session_id"] == "ses-02"
    volumes[PUTAMEN] -= np.where(later, volumes["participant_id"].map(lost), 0.0)
    write(tmp_path / "volumes.tsv", volumes)
    adjusted = table(change(tmp_path, TWO)).loc[PUTAMEN]
    assert adjusted["ci_low_ml"] < 0 < adjusted["ci_high_ml"]
    in_level = table(change(tmp_path, {**TWO, "adjust": "level"})).loc[PUTAMEN]
    assert in_level["ci_high_ml"] < 0


def test_a_covariate_is_what_it_was_at_baseline(tmp_path: Path) -> None:
    """Who stops smoking, and who is a year older, later."""
    people = write_cohort(tmp_path, Cohort(sessions=("ses-01", "ses-02")))
    first = people.assign(session_id="ses-01", smoker=np.where(people.index % 3, "no", "yes"))
    later = first.assign(session_id="ses-02", age=first["age"] + 1)
    asked: dict[str, Any] = {"covariates": ["age", "smoker"]}
    write(tmp_path / "participants.tsv", pd.concat([first, later]))
    before = change(tmp_path, TWO, **asked).table
    stopped = later.assign(smoker=later["smoker"].replace("yes", "stopped"))
    write(tmp_path / "participants.tsv", pd.concat([first, stopped]))
    pd.testing.assert_frame_equal(change(tmp_path, TWO, **asked).table, before)


def test_few_people_are_adjusted_in_level_and_told_so(tmp_path: Path) -> None:
    write_cohort(tmp_path, Cohort(patients=6, controls=7, sessions=("ses-01", "ses-02")))
    found = change(tmp_path, TWO)
    assert any("adjusted for in level, not in change" in note for note in found.notes)
    assert (found.table["df"] == 11).all()
    without = change(tmp_path, TWO, covariates=[], etiv="none")
    assert not any("adjusted" in note for note in without.notes)


def test_a_thin_session_is_left_out_and_named(tmp_path: Path) -> None:
    write_cohort(tmp_path, Cohort(patients=40, sessions=("ses-01", "ses-02", "ses-03")))
    volumes = pd.read_csv(tmp_path / "volumes.tsv", sep="\t", keep_default_na=False)
    back = (volumes["session_id"] != "ses-03") | (volumes["participant_id"] < "sub-009")
    write(tmp_path / "volumes.tsv", volumes[back])
    sessions = {**TWO, **ARMS, "follow_up": ["ses-02", "ses-03"]}
    found = change(tmp_path, sessions)
    assert set(found.table["session"]) == {"ses-02"}
    assert any("leaves out session ses-03: fewer than 5" in note for note in found.notes)


def test_another_scanner_at_baseline_is_adjusted_for_in_the_analysis_of_covariance(
    tmp_path: Path,
) -> None:
    people = write_cohort(tmp_path, Cohort(patients=80, sessions=("ses-01", "ses-02")))
    rng = np.random.default_rng(5)
    treated = (people["arm"] == "therapy").to_numpy()
    sites = [rng.random(len(people)) < np.where(treated, 0.8, 0.2), rng.random(len(people)) < 0.5]
    rows = [
        people.assign(session_id=session, site=np.where(site, "b", "a"))
        for session, site in zip(("ses-01", "ses-02"), sites, strict=True)
    ]
    table_of_people = pd.concat(rows)
    write(tmp_path / "participants.tsv", table_of_people)
    volumes = pd.read_csv(tmp_path / "volumes.tsv", sep="\t")
    at = table_of_people.set_index(["participant_id", "session_id"])["site"] == "b"
    shifted = at.reindex(pd.MultiIndex.from_frame(volumes[["participant_id", "session_id"]]))
    volumes[PUTAMEN] += np.where(shifted, 0.4, 0.0)
    write(tmp_path / "volumes.tsv", volumes)
    site = {"column": "site", "method": "covariate"}
    row = table(change(tmp_path, {**TWO, **ARMS}, site=site)).loc[PUTAMEN]
    assert row["ancova_low_ml"] < 0 < row["ancova_high_ml"]
    assert abs(row["ancova_difference_ml"]) < 0.1


def test_regression_to_the_mean_is_warned_of_where_it_would_matter(tmp_path: Path) -> None:
    write_cohort(tmp_path, THERAPY)
    assert not any("Regression" in note for note in change(tmp_path, {**TWO, **ARMS}).notes)
    people = pd.read_csv(tmp_path / "participants.tsv", sep="\t", keep_default_na=False)
    chosen = {*people["participant_id"][people["arm"] == "therapy"]}
    volumes = pd.read_csv(tmp_path / "volumes.tsv", sep="\t", keep_default_na=False)
    rng = np.random.default_rng(1)
    low = volumes["participant_id"].isin(chosen) & (volumes["session_id"] == "ses-01")
    volumes["Left-Caudate"] += 0.4 * rng.standard_normal(len(volumes)) - 0.8 * low
    write(tmp_path / "volumes.tsv", volumes)
    found = change(tmp_path, {**TWO, **ARMS})
    (note,) = [note for note in found.notes if "Regression" in note]
    assert "Left caudate" in note
    assert "Left putamen" not in note
    assert (found.table["p_ancova_fwe"] >= found.table["p_ancova"]).all()


def test_effect_of_change_is_hedges_with_its_interval(tmp_path: Path) -> None:
    write_cohort(tmp_path, Cohort(sessions=("ses-01", "ses-02"), growth={PUTAMEN: 0.06}))
    found = change(tmp_path, TWO, covariates=[], etiv="none", weights=False)
    row = table(found).loc[PUTAMEN]
    data = change_data(built(tmp_path, sessions=TWO)[1])
    assert data is not None
    moved = data.values_at(PUTAMEN, "ses-02") - data.values_at(PUTAMEN, "ses-01")
    ill, well = moved[data.treated_people()], moved[~data.treated_people()]
    t = stats.ttest_ind(ill, well).statistic
    factor = 1 / len(ill) + 1 / len(well)
    assert row["d_change"] == pytest.approx(small_sample_factor(42) * t * factor**0.5, rel=1e-6)
    expected = g_interval(t, 42, factor, 0.95)
    assert (row["d_change_low"], row["d_change_high"]) == pytest.approx(expected, rel=1e-4)


def test_single_people_against_what_two_scans_can_tell(therapy: Change) -> None:
    people = therapy.individuals
    quiet = people[(people["region"] == "Right-Caudate")]
    assert (quiet["verdict"] == "within error").mean() > 0.85
    grown = people[(people["region"] == PUTAMEN) & people["treated"]]
    assert (grown["verdict"] == "increase").mean() > 0.3


def test_error_of_two_scans_is_taken_out_of_the_spread_of_change(therapy: Change) -> None:
    row = table(therapy).loc[PUTAMEN]
    assert 0.3 < row["error_share_of_change"] <= 1.0


def test_a_scan_known_to_be_poor_counts_less() -> None:
    rng = np.random.default_rng(3)
    person = np.repeat(np.arange(30), 2)
    later = np.tile([0.0, 1.0], 30)
    outcome = 5 + rng.normal(0, 0.4, 30)[person] + 0.1 * later + rng.normal(0, 0.05, 60)
    sd = np.full(60, 0.04)
    outcome[7], sd[7] = outcome[7] + 3.0, 2.0
    design = np.column_stack([np.ones(60), later])
    assert fit_mixed(design, outcome, person).beta[1] > 0.15
    known = fit_mixed_known(design, outcome, person, sd)
    assert known.beta[1] == pytest.approx(0.1, abs=0.03)
    assert known.se[1] < 0.02


def test_known_errors_do_not_hide_that_a_small_group_varies_more() -> None:
    rng = np.random.default_rng(2)
    treated = np.arange(30) < 6
    person, later = np.tile(np.arange(30), 2), np.repeat([0.0, 1.0], 30)
    group = np.tile(treated, 2).astype(float)
    design = np.column_stack([np.ones(60), group, later, group * later])
    sd, signs = np.full(60, 0.1), rng.choice([-1.0, 1.0], (50, 30))
    found = []
    for _ in range(30):
        moved = later * (np.where(treated, 0.9, 0.3) * rng.standard_normal(30))[person]
        outcome = 10 + rng.standard_normal(30)[person] + moved + sd * rng.standard_normal(60)
        fitted = fit_mixed_known(design, outcome, person, sd)
        drawn = resample_known(design, outcome, person, sd, fitted, 3, signs)
        found.append((drawn.estimate, drawn.se, fitted.se[3]))
    estimates, robust, supposed = np.array(found).T
    assert robust.mean() == pytest.approx(estimates.std(), rel=0.3)
    assert supposed.mean() < 0.75 * robust.mean()


def test_change_with_known_errors_stands_beside_it_unless_weights_are_off(
    therapy: Change, tmp_path: Path
) -> None:
    row = therapy.table.set_index("region").loc[PUTAMEN]
    assert row["weighted_change_ml"] == pytest.approx(row["change_ml"], rel=0.2)
    assert row["weighted_ci_low_ml"] < row["weighted_change_ml"] < row["weighted_ci_high_ml"]
    write_cohort(tmp_path, THERAPY)
    without = change(tmp_path, {**TWO, **ARMS}, weights=False)
    assert "weighted_change_ml" not in without.table


def test_patients_alone_are_warned(tmp_path: Path) -> None:
    write_cohort(tmp_path, THERAPY)
    volumes = pd.read_csv(tmp_path / "volumes.tsv", sep="\t", keep_default_na=False)
    controls = volumes["participant_id"] > "sub-040"
    write(tmp_path / "volumes.tsv", volumes[~(controls & (volumes["session_id"] == "ses-02"))])
    found = change(tmp_path, TWO)
    assert table(found)["contrast"].iloc[0] == "patients alone"
    assert any("no comparison group" in note for note in found.notes)
    assert "ancova_difference_ml" not in table(found)


def test_patients_against_controls_without_arms(tmp_path: Path) -> None:
    write_cohort(tmp_path, THERAPY)
    found = table(change(tmp_path, TWO))
    assert found["contrast"].iloc[0] == "patients against controls"
    # Half of the patients were treated.
    assert found.loc[PUTAMEN]["change_ml"] == pytest.approx(0.03 * 5 * 0.88, abs=0.08)


def test_groups_that_differ_for_good_get_no_analysis_of_covariance(tmp_path: Path) -> None:
    write_cohort(tmp_path, THERAPY)
    found = change(tmp_path, TWO)
    assert "ancova_difference_ml" not in found.table
    assert found.table["regression_to_mean_ml"].isna().all()
    assert any("differ for good" in note and "Left putamen" in note for note in found.notes)


def test_a_covariate_that_is_the_arm_is_named(tmp_path: Path) -> None:
    people = write_cohort(tmp_path, THERAPY)
    people["site"] = np.where(people["arm"] == "therapy", "b", "a")
    write(tmp_path / "participants.tsv", people)
    site = {"column": "site", "method": "covariate"}
    with pytest.raises(TableError, match=r"must not follow from group, session.*site\[b\]"):
        change(tmp_path, {**TWO, **ARMS}, site=site)


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ((-0.06, -0.33, 0.21), "nearer to controls (0.06 v 0.4 ml)"),
        ((-0.30, -0.50, -0.10), "beyond controls (0.3 v 0.4 ml)"),
        ((-0.50, -1.20, 0.20), "about as far from controls (0.5 v 0.4 ml)"),
        ((0.60, 0.30, 0.90), "further from controls (0.6 v 0.4 ml)"),
    ],
)
def test_beyond_controls_is_said_where_it_is_shown(
    tmp_path: Path, after: tuple[float, float, float], words: str
) -> None:
    write_cohort(tmp_path, THERAPY)
    data = followed_in(built(tmp_path, sessions={**TWO, **ARMS})[1])
    names = ("gap_after_ml", "gap_after_low_ml", "gap_after_high_ml")
    row = {
        **{"p_fwe": 0.01, "p_equivalence": 1.0, "equivalence_bound_ml": 0.1, "change_ml": 0.3},
        **{"change_treated_low_ml": 0.1, "change_treated_high_ml": 0.5},
        **{"change_treated_percent": 6.0, "change_compared_percent": 0.0},
        **{"gap_ml": 0.4, "gap_low_ml": 0.2, "gap_high_ml": 0.6},
        **dict(zip(names, after, strict=True)),
    }
    assert conclusion(pd.Series(row), data, 0.05).endswith(f"the treated are now {words}")


def test_arms_are_spelled_alike_and_patients_of_another_are_named(tmp_path: Path) -> None:
    people = write_cohort(tmp_path, THERAPY)
    treated = people.index[people["arm"] == "therapy"][:2]
    other = people.copy()
    other.loc[treated, "arm"] = "yoga"
    write(tmp_path / "participants.tsv", other)
    (note,) = [n for n in change(tmp_path, {**TWO, **ARMS}).notes if "neither arm" in n]
    assert note.startswith("2 patients are in neither arm (therapy or waiting)")
    assert all(name in note for name in people["participant_id"][treated])
    other.loc[treated, "arm"] = "Therapy"
    write(tmp_path / "participants.tsv", other)
    with pytest.raises(TableError, match=r"column arm: .*spelled alike.*found: Therapy"):
        change(tmp_path, {**TWO, **ARMS})


def test_follow_up_scans_that_are_left_out_are_named(tmp_path: Path) -> None:
    write_cohort(tmp_path, THERAPY)
    volumes = pd.read_csv(tmp_path / "volumes.tsv", sep="\t", keep_default_na=False)
    later = volumes.index[volumes["session_id"] == "ses-02"]
    volumes.loc[later[:3], "quality"] = 0.1
    write(tmp_path / "volumes.tsv", volumes)
    whole = built(tmp_path, sessions={**TWO, **ARMS}, exclusions={"quality_below": 0.5})[1]
    (note,) = [n for n in whole.notes if n.startswith("Follow-up: 3 of ")]
    assert "quality at least 0.5" in note
    assert volumes["participant_id"][later[0]] in note


def test_errors_follow_volumes_that_are_scaled_by_head_size(tmp_path: Path) -> None:
    write_cohort(tmp_path, THERAPY)
    plain, scaled = (
        change_data(built(tmp_path, sessions={**TWO, **ARMS}, etiv=method)[1])
        for method in ("none", "power")
    )
    assert plain is not None
    assert scaled is not None
    assert plain.sd is not None
    assert scaled.sd is not None
    shares = (scaled.sd / scaled.volumes).to_numpy()
    assert shares == pytest.approx((plain.sd / plain.volumes).to_numpy())


def test_medication_by_session_is_adjusted_for(tmp_path: Path) -> None:
    people = write_cohort(tmp_path, THERAPY)
    rng = np.random.default_rng(0)
    rows = [
        {**person, "session_id": session, "dose": rng.integers(0, 5)}
        for person in people.to_dict("records")
        for session in ("ses-01", "ses-02")
    ]
    write(tmp_path / "participants.tsv", pd.DataFrame(rows))
    sessions = {**TWO, **ARMS, "time_varying": ["dose"]}
    assert table(change(tmp_path, sessions)).loc[PUTAMEN]["p_fwe"] <= 0.05
    whole = built(tmp_path, sessions=sessions)[1]
    assert whole.time_varying["dose"].nunique() == 5


def test_groups_need_not_be_repeated_at_follow_up(tmp_path: Path) -> None:
    people = write_cohort(tmp_path, THERAPY)
    later = people.assign(
        session_id="ses-02", group="n/a", age="n/a", sex="n/a", arm="n/a", site="n/a"
    )
    write(tmp_path / "participants.tsv", pd.concat([people.assign(session_id="ses-01"), later]))
    whole = built(tmp_path, sessions={**TWO, **ARMS})[1]
    assert whole.patients.groupby(level=0).nunique().max() == 1
    assert whole.covariates.notna().all(axis=None)


def test_the_therapy_design_that_ships_matches_odd_session_names(tmp_path: Path) -> None:
    write_cohort(tmp_path, THERAPY)
    for name in ("volumes", "volumes_sd", "volumes_hard"):
        path = tmp_path / f"{name}.tsv"
        scans = pd.read_csv(path, sep="\t", keep_default_na=False)
        later = scans.pop("session_id") == "ses-02"
        scans["participant_id"] += np.where(later, "fu", "")
        write(path, scans)
    shipped = load_design(Path(__file__).parents[3] / "configs" / "stats-therapy.yaml")
    cohort = read_cohort([tmp_path / "volumes.tsv"], shipped.ids)
    people = read_people(shipped, tmp_path / "participants.tsv")
    asked = shipped.model_copy(update={"families": {"putamen": ("*-Putamen",)}})
    whole = build_study(asked, cohort, people)[1]
    found = analyse_change(whole, followed_in(whole))
    assert set(found.table["session"]) == {"after"}
    assert table(found).loc[PUTAMEN]["p_fwe"] <= 0.05


def test_nobody_came_back(tmp_path: Path) -> None:
    write_cohort(tmp_path, THERAPY)
    volumes = pd.read_csv(tmp_path / "volumes.tsv", sep="\t", keep_default_na=False)
    back = (volumes["session_id"] == "ses-01") | (volumes["participant_id"] < "sub-004")
    write(tmp_path / "volumes.tsv", volumes[back])
    with pytest.raises(TableError, match=r"at baseline and follow-up .*ses-02: 0"):
        change(tmp_path, {**TWO, **ARMS})


def test_whitening_makes_scans_independent() -> None:
    person = np.array([0, 0, 1, 1, 1])
    ratio = 2.0
    covariance = np.eye(5) + ratio * (person[:, None] == person)
    root = whiten(np.eye(5), person, ratio)
    assert root @ covariance @ root.T == pytest.approx(np.eye(5))


def test_wild_bootstrap_keeps_its_level_and_its_intervals_cover() -> None:
    rng = np.random.default_rng(6)
    rejected = covered = 0
    simulations, people, effect = 150, 44, 0.0
    for _ in range(simulations):
        treated = (np.arange(people) < 23).astype(float)
        person = np.repeat(np.arange(people), 2)
        later = np.tile([0.0, 1.0], people)
        keep = (later == 0) | (rng.random(2 * people) > 0.3)
        volume = rng.standard_normal(people)[person] + 0.5 * rng.standard_normal(2 * people)
        group = treated[person]
        design = np.column_stack([np.ones(2 * people), group, later, group * later])[keep]
        mixed = fit_mixed(design, volume[keep], person[keep])
        signs = rng.choice([-1.0, 1.0], (299, people))
        drawn = resample(design, volume[keep], person[keep], mixed.ratio, 3, signs)
        rejected += drawn.p() <= 0.05
        low, high = drawn.interval(0.95)
        covered += low <= effect <= high
    error = 3 * np.sqrt(0.05 * 0.95 / simulations)
    assert abs(rejected / simulations - 0.05) < error
    assert abs(covered / simulations - 0.95) < error


def test_a_region_lost_at_follow_up_is_named(tmp_path: Path) -> None:
    write_cohort(tmp_path, THERAPY)
    volumes = pd.read_csv(tmp_path / "volumes.tsv", sep="\t", keep_default_na=False)
    volumes[PUTAMEN] = volumes[PUTAMEN].astype(object)
    volumes.loc[volumes["session_id"] == "ses-02", PUTAMEN] = "n/a"
    write(tmp_path / "volumes.tsv", volumes)
    with pytest.raises(TableError, match=r"needs 5 people a group.*Left-Putamen, ses-02: 0"):
        change(tmp_path, {**TWO, **ARMS})


def test_the_gap_leaves_out_who_has_no_head_size(tmp_path: Path) -> None:
    write_cohort(tmp_path, THERAPY)
    volumes = pd.read_csv(tmp_path / "volumes.tsv", sep="\t", keep_default_na=False)
    volumes["eTIV"] = volumes["eTIV"].astype(object)
    volumes.loc[3, "eTIV"] = "n/a"
    write(tmp_path / "volumes.tsv", volumes)
    found = change(tmp_path, {**TWO, **ARMS}, missing={"method": "impute"})
    assert table(found)["gap_ml"].notna().all()
