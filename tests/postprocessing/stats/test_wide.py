"""Tables of one row a person: what stands in a column for each session counts as if in rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from fibromorph.errors import ConfigError, TableError
from fibromorph.postprocessing.stats import load_design, read_participants
from fibromorph.postprocessing.stats.designs.starter import write_starter
from fibromorph.postprocessing.stats.run import read_people
from fibromorph.postprocessing.stats.tables import by_session
from fibromorph.postprocessing.stats.tables.scan_ids import in_time
from fibromorph.postprocessing.stats.tables.wide import guess_by_session
from tests.postprocessing.stats.cohorts import design, write
from tests.postprocessing.stats.test_score_change import related, visits

COLUMNS = {"pain": {"ses-01": "pain_pre", "ses-02": "pain_post"}}
ASKED = "table.by_session"


def as_wide(folder: Path, long: pd.DataFrame) -> pd.DataFrame:
    """The same participants, a row a person."""
    first, later = (long[long.session_id == s] for s in ("ses-01", "ses-02"))
    wide = first.drop(columns="session_id").rename(columns={"pain": "pain_pre"})
    wide["pain_post"] = later["pain"].to_numpy()
    write(folder / "participants.tsv", wide)
    return wide


def test_a_wide_table_gives_what_a_long_one_gives(tmp_path: Path) -> None:
    long = visits(tmp_path, link=0.1)
    expected = related(tmp_path)
    as_wide(tmp_path, long)
    found = related(tmp_path, table={"by_session": COLUMNS})
    pd.testing.assert_frame_equal(found.table, expected.table)
    pd.testing.assert_frame_equal(found.responders, expected.responders)


def test_a_bad_cell_is_named_as_the_file_has_it(tmp_path: Path) -> None:
    wide = as_wide(tmp_path, visits(tmp_path)).astype(object)
    wide.iloc[4, list(wide.columns).index("pain_post")] = "14"
    write(tmp_path / "participants.tsv", wide)
    with pytest.raises(TableError, match=r"line 6, column pain_post: .*within 0 to 10.*found: 14"):
        related(tmp_path, table={"by_session": COLUMNS})
    wide.iloc[4, list(wide.columns).index("pain_post")] = "3,5"
    write(tmp_path / "participants.tsv", wide)
    asked = design(scores={"pain_intensity": "pain"}, table={"by_session": COLUMNS})
    with pytest.raises(TableError, match=r"line 6, column pain_post.*decimal point"):
        read_people(asked, tmp_path / "participants.tsv").numbers("pain")


def test_columns_that_cannot_be_meant_are_refused(tmp_path: Path) -> None:
    long = visits(tmp_path)
    path = tmp_path / "participants.tsv"
    with pytest.raises(TableError, match=r"one row a person.*found: ses-01"):
        by_session(read_participants(path), {"pain": {"ses-01": "pain"}}, ASKED)
    as_wide(tmp_path, long)
    people = read_participants(path)
    for wanted, error, told in (
        ({"pain": {"ses-01": "vas"}}, TableError, r"must have the column.*found: vas"),
        ({"age": COLUMNS["pain"]}, ConfigError, r"no column's name already \(found: age"),
        ({"pain": dict.fromkeys(("1", "2"), "pain_pre")}, ConfigError, "one session's only"),
    ):
        with pytest.raises(error, match=told):
            by_session(people, wanted, ASKED)


@pytest.mark.parametrize(
    ("columns", "sessions"),
    [
        (("pain_pre", "pain_post"), ("ses-01", "ses-02")),
        (("T1 pain", "T2 pain"), ("ses-pre", "ses-post")),
        (("pain", "pain_fu"), ("", "fu")),
        (("pain", "pain_post"), ("ses-1", "ses-2")),
        (("pain.1", "pain.2", "pain.3"), ("1", "2", "3")),
        (("PAIN_Baseline", "PAIN_Follow_up"), ("ses-a", "ses-b")),
        (("pain_a", "pain_b"), ("ses-a", "ses-b")),
    ],
)
def test_columns_of_one_measure_are_recognised(
    columns: tuple[str, ...], sessions: tuple[str, ...]
) -> None:
    others = ("age", "post", "bdi", "bdi2", "weight_pre", "weight_post")
    found = guess_by_session((*others, *columns), sessions, lambda n: n.lower() in ("pain", "bdi"))
    (of_sessions,) = found.values()
    assert of_sessions == dict(zip(sessions, columns, strict=True))
    assert {name.lower() for name in found} == {"pain"}


def test_a_measure_whose_name_is_another_column_s_is_left_alone(tmp_path: Path) -> None:
    columns = ("pain", "pain_pre", "pain_post")
    assert guess_by_session(columns, ("ses-01", "ses-02"), lambda name: name == "pain") == {}
    wide = as_wide(tmp_path, visits(tmp_path))
    write(tmp_path / "participants.tsv", wide.assign(pain=wide["pain_pre"]))
    path = tmp_path / "design.yaml"
    write_starter(path, [tmp_path / "volumes.tsv"], tmp_path / "participants.tsv")
    assert load_design(path).table.by_session == {}


@pytest.mark.parametrize("columns", [("pre", "post", "followup"), ("t1", "t2", "t3")])
def test_scores_of_three_sessions_keep_their_order(columns: Sequence[str]) -> None:
    names = [f"vas_{column}" for column in columns]
    sessions = in_time(["ses-fu", "ses-post", "ses-pre"])
    found = guess_by_session(names, sessions, lambda name: name == "vas")
    assert found == {"vas": dict(zip(["ses-pre", "ses-post", "ses-fu"], names, strict=True))}


def test_init_understands_a_trial_of_one_row_a_person(tmp_path: Path) -> None:
    wide = as_wide(tmp_path, visits(tmp_path))
    wide["scan_date_pre"], wide["scan_date_post"] = "2024-01-10", "2024-04-11"
    write(tmp_path / "participants.tsv", wide)
    path = tmp_path / "design.yaml"
    told = write_starter(path, [tmp_path / "volumes.tsv"], tmp_path / "participants.tsv")
    asked = load_design(path)
    assert asked.table.by_session["pain"] == COLUMNS["pain"]
    assert asked.scores["pain_intensity"].column == "pain"
    assert "pain by session: pain_pre (ses-01), pain_post (ses-02)" in told
    assert any(line.startswith("scans' times: scan_date") for line in told)
    assert any(line.endswith("controls fit") for line in told)
    assert not any("pain_post" in line for line in told if line.startswith("not used"))
