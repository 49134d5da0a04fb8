"""BIDS' `sub-*_sessions.tsv`: what stands there counts as if it stood in the participants table."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from fibromorph.errors import TableError
from fibromorph.postprocessing.stats.designs.starter import write_starter
from fibromorph.postprocessing.stats.run import read_people
from tests.postprocessing.stats.cohorts import design, write
from tests.postprocessing.stats.test_score_change import related, visits


def into_session_files(folder: Path, long: pd.DataFrame) -> None:
    """The same scores as BIDS has them: people in one table, their sessions in one each."""
    people = long.drop(columns=["session_id", "pain"]).drop_duplicates("participant_id")
    write(folder / "participants.tsv", people)
    for person, rows in long.groupby("participant_id"):
        own = folder / str(person)
        own.mkdir(exist_ok=True)
        measured = rows[["session_id", "pain"]].assign(acq_time="n/a")
        write(own / f"{person}_sessions.tsv", measured)


def put(folder: Path, text: str, person: str = "sub-01") -> Path:
    path = folder / person / f"{person}_sessions.tsv"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def people_table(folder: Path, text: str) -> Path:
    path = folder / "participants.tsv"
    path.write_text(text)
    return path


def test_scores_of_sessions_give_what_a_long_table_gives(tmp_path: Path) -> None:
    long = visits(tmp_path, link=0.1)
    expected = related(tmp_path)
    into_session_files(tmp_path, long)
    found = related(tmp_path)
    pd.testing.assert_frame_equal(found.table, expected.table)
    pd.testing.assert_frame_equal(found.responders, expected.responders)


def test_a_starter_finds_the_scores(tmp_path: Path) -> None:
    into_session_files(tmp_path, visits(tmp_path))
    lines = write_starter(
        tmp_path / "design.yaml", [tmp_path / "volumes.tsv"], tmp_path / "participants.tsv"
    )
    assert "read from sub-*_sessions.tsv: pain" in lines
    assert any("pain_intensity from pain" in line for line in lines)


def test_a_session_knows_better_than_the_person(tmp_path: Path) -> None:
    """Ids that lost their zeros, codes, and people unknown."""
    path = people_table(tmp_path, "participant_id\tage\tpain\n1\t40\t3\n2\t50\t-9\n")
    put(tmp_path, "session_id\tpain\tacq_time\nses-pre\t7\tn/a\nses-post\t-9\tn/a\n")
    put(tmp_path, "session_id\tpain\nses-pre\t1\n", "sub-99")
    asked = design(table={"missing_codes": ["-9"]})
    found = read_people(asked, path)
    assert found.ids == ["sub-1", "sub-2"]
    pain = found.numbers("pain").dropna()
    assert pain.to_dict() == {("sub-1", ""): 3, ("sub-1", "ses-pre"): 7}
    scans, _ = found.matched(["sub-01", "sub-02"])
    assert scans.at(("sub-01", "ses-pre"), "pain").endswith(
        "sub-01_sessions.tsv, line 2, column pain"
    )
    assert scans.at(("sub-01", ""), "age").endswith("participants.tsv, line 2, column age")


def test_tables_that_disagree_are_refused(tmp_path: Path) -> None:
    path = people_table(
        tmp_path, "participant_id\tsession_id\tpain\tfiq\nsub-01\tses-pre\t3\tn/a\n"
    )
    put(tmp_path, "session_id\tpain\tfiq\nses-pre\t3.0\t50\n")
    assert read_people(design(), path).numbers("fiq").tolist() == [50]
    put(tmp_path, "session_id\tpain\nses-pre\t4\n")
    with pytest.raises(
        TableError, match=r"sub-01_sessions.tsv, line 2, column pain: .*line 2.* says: 3.*found: 4"
    ):
        read_people(design(), path)
    for text, rule in (
        ("session\tpain\nses-pre\t3\n", r"must have the column.*session_id"),
        ("session_id\tpain\nses-pre\t3\nses-pre\t3\n", r"line 3.*one row only"),
        ("session_id\tpain\nn/a\t3\n", r"line 2.*every row needs a session"),
    ):
        put(tmp_path, text)
        with pytest.raises(TableError, match=rule):
            read_people(design(), path)


def test_a_bad_cell_is_named_where_it_stands(tmp_path: Path) -> None:
    path = people_table(tmp_path, "participant_id\tage\nsub-01\t40\n")
    put(tmp_path, "session_id\tpain\nses-pre\t3,5\n")
    with pytest.raises(TableError, match=r"sub-01_sessions.tsv, line 2, column pain.*decimal"):
        read_people(design(), path).numbers("pain")
