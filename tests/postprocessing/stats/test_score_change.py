"""Change in scores: what goes with change in volume, in whom, and who improved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fibromorph.postprocessing.stats import Results
from fibromorph.postprocessing.stats.report import write_study
from fibromorph.postprocessing.stats.scores.change import COLUMNS, ScoreChange, analyse_score_change
from tests.postprocessing.stats.cohorts import Cohort, write, write_cohort
from tests.postprocessing.stats.conftest import built, followed_in, run

SESSIONS = {
    **{"baseline": "ses-01", "follow_up": ["ses-02"], "bootstraps": 200},
    **{"arm": "arm", "treated": "therapy", "untreated": "waiting"},
}
PAIN = {"pain_intensity": "pain"}
THALAMUS = "Left-Thalamus"
TWO_VISITS = Cohort(patients=40, controls=15, effects={}, sessions=("ses-01", "ses-02"))


def visits(folder: Path, link: float = 0.0) -> pd.DataFrame:
    """A trial in which pain falls with therapy, and where it falls the thalamus grows by `link` ml
    a point; returns the participants, a row a session."""
    people = write_cohort(folder, TWO_VISITS)
    rng = np.random.default_rng(3)
    ill, treated = people["group"] == "FM", people["arm"] == "therapy"
    before = people["pain"].to_numpy(float)
    relief = np.where(ill, rng.integers(-2, 3, len(people)) + 2 * treated, 0)
    after = np.clip(before - relief, 0, 10)
    table = pd.read_csv(folder / "volumes.tsv", sep="\t")
    later = table.index[table["session_id"] == "ses-02"]
    table.loc[later, THALAMUS] -= link * (after - before)
    write(folder / "volumes.tsv", table)
    rows = [people.assign(session_id="ses-01"), people.assign(session_id="ses-02", pain=after)]
    both = pd.concat(rows)
    write(folder / "participants.tsv", both)
    return both


def related(folder: Path, sessions: dict[str, object] = SESSIONS, **changes: object) -> ScoreChange:
    asked = {"scores": PAIN, "correlations": {"methods": ["pearson", "spearman"]}, **changes}
    whole = built(folder, sessions=sessions, **asked)[1]
    found = analyse_score_change(whole, followed_in(whole))
    assert found is not None
    return found


def of(found: ScoreChange, group: str, method: str = "pearson") -> pd.DataFrame:
    """The rows of a group and method, by region."""
    rows = (found.table["group"] == group) & (found.table["method"] == method)
    return found.table[rows].set_index("region")


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("linked")
    visits(folder, link=0.12)
    return run(folder, sessions=SESSIONS, scores=PAIN)


def test_a_volume_that_grows_where_pain_falls_is_found_also_by_ranks(linked: Results) -> None:
    assert linked.score_change is not None
    for method in ("pearson", "spearman", "percentage_bend"):
        table = of(linked.score_change, "both arms", method)
        row = table.loc[THALAMUS]
        assert row["p_fwe"] <= 0.05
        assert row["ci_high"] < 0
        assert (table["p_fwe"].drop(THALAMUS) > 0.05).all()
    row = of(linked.score_change, "both arms").loc[THALAMUS]
    assert row["slope_low_ml"] < -0.12 < row["slope_high_ml"] < 0
    assert row["n"] == 40


def test_either_arm_has_its_estimate_and_the_two_are_compared(linked: Results) -> None:
    assert linked.score_change is not None
    arms = [of(linked.score_change, arm).loc[THALAMUS] for arm in ("therapy", "waiting")]
    assert [row["n"] for row in arms] == [20, 20]
    assert all(row["r"] < -0.3 for row in arms)
    row = of(linked.score_change, "both arms").loc[THALAMUS]
    assert row["slope_difference_low"] < 0 < row["slope_difference_high"]


def test_a_reader_of_the_report_is_told(linked: Results, tmp_path: Path) -> None:
    write_study(linked, tmp_path)
    page = " ".join((tmp_path / "report.html").read_text().split())
    assert 'Change in scores: <span class="found">Left thalamus</span> changes with pain' in page
    assert "Scores at baseline: no volume is shown to go with any" in page
    assert "<h2>Change in scores</h2>" in page
    assert "Change in scores against change in volumes, every person a dot" in page
    assert "adjusted for both baselines" in page
    table = (tmp_path / "change_associations.tsv").read_text()
    assert table.startswith("\t".join(COLUMNS))
    assert (tmp_path / "responders.tsv").read_text().count("\n") == 3


def test_false_discovery_rates_of_change_rest_on_the_permutations(linked: Results) -> None:
    assert linked.score_change is not None
    table = linked.score_change.table
    assert (table["p_fdr"] >= table["p_permutation"]).all()


def test_therapy_that_changes_both_is_no_link(tmp_path: Path) -> None:
    visits(tmp_path)
    table = pd.read_csv(tmp_path / "volumes.tsv", sep="\t")
    people = pd.read_csv(tmp_path / "participants.tsv", sep="\t", keep_default_na=False)
    treated = set(people["participant_id"][people["arm"] == "therapy"])
    grown = table["participant_id"].isin(treated) & (table["session_id"] == "ses-02")
    table.loc[grown, THALAMUS] += 0.6
    write(tmp_path / "volumes.tsv", table)
    assert (related(tmp_path).primary["p_fwe"] > 0.05).all()


def test_controls_without_pain_are_not_pooled_with_patients(tmp_path: Path) -> None:
    visits(tmp_path, link=0.12)
    sessions = {k: v for k, v in SESSIONS.items() if k not in ("arm", "treated", "untreated")}
    found = related(tmp_path, sessions)
    assert set(found.table["group"]) == {"patients"}
    assert "patients only, because 100 % of controls have the same change" in found.notes[0]
    assert set(found.responders["group"]) == {"patients"}


def test_controls_whose_score_changes_are_shown_beside(tmp_path: Path) -> None:
    both = visits(tmp_path)
    rng = np.random.default_rng(0)
    both["bdi"] = both["bdi"] + np.where(both["session_id"] == "ses-02", rng.integers(0, 9), 0)
    both.loc[both["session_id"] == "ses-02", "bdi"] += rng.integers(-4, 4, len(both) // 2)
    both["bdi"] = both["bdi"].clip(0, 63)
    write(tmp_path / "participants.tsv", both)
    sessions = {k: v for k, v in SESSIONS.items() if k not in ("arm", "treated", "untreated")}
    found = related(tmp_path, sessions, scores={"depression_bdi": "bdi"})
    assert list(dict.fromkeys(found.table["group"])) == ["both", "patients", "controls"]
    assert set(found.primary["group"]) == {"both"}


def test_scores_of_the_baseline_alone_are_named(tmp_path: Path) -> None:
    both = visits(tmp_path)
    write(tmp_path / "participants.tsv", both[both["session_id"] == "ses-01"])
    found = related(tmp_path)
    assert found.table.empty
    assert found.responders.empty
    assert "no value of their own at follow-up" in found.notes[0]
    assert "Pain intensity (NRS) at ses-02" in found.notes[0]


def test_a_score_that_holds_for_all_sessions_is_not_taken_for_no_change(tmp_path: Path) -> None:
    both = visits(tmp_path)
    people = both[both["session_id"] == "ses-01"].drop(columns="session_id")
    write(tmp_path / "participants.tsv", people)
    assert related(tmp_path).table.empty


def test_too_few_people_for_the_covariates_are_told_and_the_rest_is_computed(
    tmp_path: Path,
) -> None:
    both = visits(tmp_path)
    later = (both["session_id"] == "ses-02") & (both["arm"] == "waiting")
    both["pain"] = both["pain"].where(~later | (both["participant_id"] < "sub-020"), np.nan)
    write(tmp_path / "participants.tsv", both)
    found = related(tmp_path)
    assert set(found.table["group"]) == {"both arms", "therapy"}
    assert "nothing is computed in waiting, because 9 have both sessions and 12" in found.notes[0]


def test_a_region_that_few_have_at_both_visits_costs_itself_only(tmp_path: Path) -> None:
    visits(tmp_path)
    volumes = pd.read_csv(tmp_path / "volumes.tsv", sep="\t", keep_default_na=False)
    volumes["Left-Amygdala"] = volumes["Left-Amygdala"].astype(object)
    late = (volumes["session_id"] == "ses-02") & (volumes["participant_id"] > "sub-012")
    volumes.loc[late, "Left-Amygdala"] = "n/a"
    write(tmp_path / "volumes.tsv", volumes)
    found = related(tmp_path)
    assert set(found.table["group"]) == {"both arms", "therapy", "waiting"}
    assert "Left-Amygdala" not in set(found.table["region"])
    assert THALAMUS in set(found.table["region"])
    assert "in both arms of Left-Amygdala, because 12 have both sessions and 13" in found.notes[0]


def test_the_report_shows_what_there_is_of_two_scores_and_one_arm(tmp_path: Path) -> None:
    both = visits(tmp_path)
    later = (both["session_id"] == "ses-02") & (both["arm"] == "waiting")
    both["pain"] = both["pain"].where(~later | (both["participant_id"] < "sub-020"), np.nan)
    rng = np.random.default_rng(0)
    both["bdi"] = (both["bdi"] + rng.integers(0, 9, len(both))).clip(0, 63)
    write(tmp_path / "participants.tsv", both)
    asked = {"pain_intensity": "pain", "depression_bdi": "bdi"}
    few = {"inference": {"permutations": 100}, "correlations": {"methods": ["spearman"]}}
    write_study(run(tmp_path, sessions=SESSIONS, scores=asked, **few), tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "nothing is computed in waiting" in page
    assert "partial r,<br>waiting" in page


def test_what_varies_with_time_is_adjusted_for_by_its_change(tmp_path: Path) -> None:
    both = visits(tmp_path, link=0.12)
    both["years"] = np.where(both["session_id"] == "ses-02", 1 + 0.05 * both["age"] % 1, 0)
    write(tmp_path / "participants.tsv", both)
    plain = related(tmp_path).table
    timed = related(tmp_path, {**SESSIONS, "time_varying": ["years"]}).table
    assert (timed["df"] == plain["df"] - 1).all()
    # Pain as a covariate, too, is not adjusted for when it is asked about.
    itself = related(tmp_path, {**SESSIONS, "time_varying": ["pain"]}).table
    assert itself["r"].to_numpy(float) == pytest.approx(plain["r"].to_numpy(float))


def test_responders_are_counted_by_arm(tmp_path: Path) -> None:
    both = visits(tmp_path)
    before = both[both["session_id"] == "ses-01"].set_index("participant_id")
    after = both[both["session_id"] == "ses-02"].set_index("participant_id")["pain"]
    for share in (0.3, 0.5):
        found = related(tmp_path, {**SESSIONS, "response": share}).responders
        better = before["pain"] - after >= share * before["pain"]
        expected = better.groupby(before["arm"]).sum()
        counted = found.set_index("group")["n_responders"]
        assert counted.to_dict() == expected[["therapy", "waiting"]].to_dict()
        assert found["n"].tolist() == [20, 20]
    row = found.iloc[0]
    assert row["share_low"] < row["share"] < row["share_high"]
    assert row["difference"] == pytest.approx(row["share"] - found.iloc[1]["share"])
    assert row["difference_low"] < row["difference"] < row["difference_high"]


def test_who_cannot_improve_or_was_lost_is_no_responder_and_is_counted(tmp_path: Path) -> None:
    both = visits(tmp_path)
    first, second = both["session_id"] == "ses-01", both["session_id"] == "ses-02"
    both.loc[first & (both["participant_id"] == "sub-001"), "pain"] = 0
    both["pain"] = both["pain"].where(~(second & (both["participant_id"] == "sub-003")), np.nan)
    write(tmp_path / "participants.tsv", both)
    row = related(tmp_path).responders.iloc[0]
    assert (row["group"], row["n"], row["n_without"], row["n_lost"]) == ("therapy", 18, 1, 1)


def test_activity_improves_upwards_and_unknown_scores_only_where_the_design_says(
    tmp_path: Path,
) -> None:
    both = visits(tmp_path)
    both["act"] = np.where(both["session_id"] == "ses-02", 4.5, 3)
    both["own"] = 10 - both["pain"]
    write(tmp_path / "participants.tsv", both)
    found = related(tmp_path, scores={"activity": "act", "wellbeing": "own"}).responders
    assert found["score"].unique().tolist() == ["activity"]
    assert (found["n_responders"] == found["n"]).all()
    own = {"wellbeing": {"column": "own", "better": "higher"}}
    assert len(related(tmp_path, scores=own).responders) == 2
