"""Arms that were followed for unequal times: noticed, and put right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fibromorph.errors import TableError
from fibromorph.postprocessing.stats.change.analysis import Change, analyse_change
from fibromorph.postprocessing.stats.change.intervals import interval_notes
from fibromorph.postprocessing.stats.people.study import Study
from fibromorph.postprocessing.stats.tables.participants import read_participants
from tests.postprocessing.stats.cohorts import MEANS_ML, Cohort, write, write_cohort
from tests.postprocessing.stats.conftest import built, followed_in

SESSIONS = {
    **{"baseline": "ses-01", "follow_up": ["ses-02"], "bootstraps": 200},
    **{"arm": "arm", "treated": "therapy", "untreated": "waiting"},
}


def followed(folder: Path, of_treated: float, of_others: float) -> pd.DataFrame:
    """A trial without any effect, in which volumes shrink by 3 % a year; the dates of scans."""
    people = write_cohort(folder, Cohort(patients=40, effects={}, sessions=("ses-01", "ses-02")))
    rng = np.random.default_rng(5)
    interval = np.where(people["arm"] == "therapy", of_treated, of_others)
    interval = interval + rng.uniform(-0.3, 0.3, len(people))
    years = pd.Series(interval, people["participant_id"])
    table = pd.read_csv(folder / "volumes.tsv", sep="\t")
    later = table["session_id"] == "ses-02"
    aged = 1 - 0.03 * table["participant_id"].map(years).where(later, 0)
    table[list(MEANS_ML)] = table[list(MEANS_ML)].mul(aged, axis=0)
    write(folder / "volumes.tsv", table)
    start = pd.Timestamp("1823-05-01")
    dates = [start + pd.Timedelta(days=round(365.25 * y)) for y in years]
    first = people.assign(session_id="ses-01", scan_date=f"{start:%Y-%m-%d}")
    second = people.assign(session_id="ses-02", scan_date=[f"{d:%Y-%m-%dT10:20:00}" for d in dates])
    return pd.concat([first, second])


def noted(whole: Study) -> tuple[str, ...]:
    return interval_notes(whole, followed_in(whole))


def changed(whole: Study) -> Change:
    return analyse_change(whole, followed_in(whole))


def test_unequal_intervals_are_told_and_adjusted_for_by_the_dates(tmp_path: Path) -> None:
    write(tmp_path / "participants.tsv", followed(tmp_path, 1.0, 1.7))
    plain = built(tmp_path, sessions=SESSIONS)[1]
    (note,) = noted(plain)
    assert "1.02 years after the baseline in therapy and 1.67 in waiting" in note
    assert "Name scan_date under sessions.time_varying" in note
    found = changed(plain)
    assert (found.table["p_bootstrap"] <= 0.05).sum() >= 4
    timed = built(tmp_path, sessions={**SESSIONS, "time_varying": ["scan_date"]})[1]
    assert noted(timed) == ()
    adjusted = changed(timed)
    assert (adjusted.table["p_fwe"] > 0.05).all()
    # An arm's own change is that of its scans, and not what would be left in no time.
    own = adjusted.table.set_index("region")["change_treated_percent"]
    assert own.mean() == pytest.approx(-4, abs=1)


def test_an_age_at_each_visit_takes_nothing_out_of_change(tmp_path: Path) -> None:
    people = followed(tmp_path, 1.0, 1.0)
    write(tmp_path / "participants.tsv", people)
    once = changed(built(tmp_path, sessions=SESSIONS)[1])
    later = people["session_id"] == "ses-02"
    write(tmp_path / "participants.tsv", people.assign(age=people["age"] + later))
    again = changed(built(tmp_path, sessions=SESSIONS)[1])
    pd.testing.assert_frame_equal(once.table, again.table)


def test_equal_intervals_need_no_word(tmp_path: Path) -> None:
    write(tmp_path / "participants.tsv", followed(tmp_path, 1.0, 1.0))
    assert noted(built(tmp_path, sessions=SESSIONS)[1]) == ()


def test_unknown_times_are_said_to_be_unknown(tmp_path: Path) -> None:
    write(tmp_path / "participants.tsv", followed(tmp_path, 1.0, 1.7).drop(columns="scan_date"))
    (note,) = noted(built(tmp_path, sessions=SESSIONS)[1])
    assert "When scans were made is not known" in note


def test_an_arm_whose_times_are_unknown_is_named(tmp_path: Path) -> None:
    people = followed(tmp_path, 1.0, 1.7)
    late = (people["arm"] == "waiting") & (people["session_id"] == "ses-02")
    write(tmp_path / "participants.tsv", people.assign(scan_date=people["scan_date"].mask(late)))
    (note,) = noted(built(tmp_path, sessions=SESSIONS)[1])
    assert "scans of ses-02 were made is not known of waiting" in note


def test_the_times_of_bids_sessions_are_read(tmp_path: Path) -> None:
    dated = followed(tmp_path, 1.0, 1.7)
    people = dated[dated["session_id"] == "ses-01"].drop(columns=["session_id", "scan_date"])
    write(tmp_path / "participants.tsv", people)
    for person, rows in dated.groupby("participant_id"):
        folder = tmp_path / str(person)
        folder.mkdir()
        times = rows[["session_id", "scan_date"]].rename(columns={"scan_date": "acq_time"})
        write(folder / f"{person}_sessions.tsv", times)
    (note,) = noted(built(tmp_path, sessions=SESSIONS)[1])
    assert "from acq_time" in note
    timed = built(tmp_path, sessions={**SESSIONS, "time_varying": ["acq_time"]})[1]
    assert noted(timed) == ()
    later = timed.time_varying["acq_time"].xs("ses-02", level=1)
    assert later.between(0.6, 2.1).all()


def test_the_times_of_bids_scans_go_before_those_of_sessions(tmp_path: Path) -> None:
    path = tmp_path / "participants.tsv"
    write(path, pd.DataFrame({"participant_id": ["sub-01"], "group": ["FM"]}))
    for session, scans, time in (("ses-a", "sub-01_ses-a", "2024-01-01"), ("ses-b", "", "n/a")):
        folder = tmp_path / "sub-01" / session
        folder.mkdir(parents=True)
        names = [f"func/{scans}_bold.nii.gz", f"anat/{scans}_T1w.nii.gz"]
        table = pd.DataFrame({"filename": names, "acq_time": ["2019-01-01", time]})
        write(folder / f"sub-01_{session}_scans.tsv", table)
    rows = [("ses-a", "2020-01-01"), ("ses-b", "2024-07-01")]
    sessions = pd.DataFrame(rows, columns=["session_id", "acq_time"])
    write(tmp_path / "sub-01" / "sub-01_sessions.tsv", sessions)
    found = read_participants(path).times()
    assert found is not None
    assert found[1].tolist() == pytest.approx([0, 0.498], abs=0.001)


@pytest.mark.parametrize(
    ("cells", "years"),
    [
        (("2024-01-01", "2025-01-01"), 1.002),
        (("1.1.2024", "1.7.2024"), 0.498),
        (("20231231", "20250101"), 1.005),
        (("15.01.24", "15.07.24"), 0.498),
        (("45306", "45488"), 0.498),
        (("0", "1.5"), 1.5),
    ],
)
def test_dates_and_years_are_read(tmp_path: Path, cells: tuple[str, str], years: float) -> None:
    path = tmp_path / "participants.tsv"
    rows = [("sub-01", session, cell) for session, cell in zip(("a", "b"), cells, strict=True)]
    write(path, pd.DataFrame(rows, columns=["participant_id", "session_id", "scan_date"]))
    people = read_participants(path)
    found = people.times()
    assert found is not None
    assert found[1].tolist() == pytest.approx([0, years], abs=0.001)
    assert np.diff(people.varying("scan_date")) == pytest.approx([years], abs=0.001)


def test_numbers_that_are_no_years_are_not_taken_for_such(tmp_path: Path) -> None:
    path = tmp_path / "participants.tsv"
    rows = [("sub-01", "a", "3"), ("sub-01", "b", "182")]
    write(path, pd.DataFrame(rows, columns=["participant_id", "session_id", "scan_date"]))
    assert read_participants(path).times() is None


def test_text_that_is_no_date_is_refused_by_its_cell(tmp_path: Path) -> None:
    path = tmp_path / "participants.tsv"
    rows = [("sub-01", "a", "early"), ("sub-01", "b", "late")]
    write(path, pd.DataFrame(rows, columns=["participant_id", "session_id", "when"]))
    with pytest.raises(TableError, match=r"line 2, column when.*early"):
        read_participants(path).varying("when")
