from __future__ import annotations

from pathlib import Path

import pytest

from fibromorph.errors import TableError
from fibromorph.serving.cohort.group.editable import EditableTable, require_yes_or_no

COLUMNS = ("who", "exclude", "reason")


@pytest.fixture
def table(tmp_path: Path) -> EditableTable:
    return EditableTable(tmp_path / "table.tsv", tmp_path / "state" / "table.tsv", COLUMNS, 1)


def rows(table: EditableTable) -> list[str]:
    return table.path.read_text().splitlines()[1:]


def test_proposals_follow_what_is_known(table: EditableTable) -> None:
    table.propose([("b", "yes", "bad"), ("a", "no", "look")])
    assert rows(table) == ["a\tno\tlook", "b\tyes\tbad"]
    table.propose([("b", "no", "better now"), ("c", "yes", "bad")])
    assert rows(table) == ["b\tno\tbetter now", "c\tyes\tbad"]


def test_what_a_person_wrote_stays(table: EditableTable) -> None:
    table.propose([("a", "yes", "bad"), ("b", "yes", "bad"), ("c", "no", "look")])
    text = table.path.read_text()
    text = text.replace("a\tyes\tbad", "a\tno\tlooked at it: fine").replace("b\tyes\tbad\n", "")
    table.path.write_text(f"{text}d\tyes\tmoved out\n")
    merged = table.propose([("a", "yes", "worse"), ("b", "yes", "worse"), ("c", "yes", "worse")])
    expected = ["a\tno\tlooked at it: fine", "c\tyes\tworse", "d\tyes\tmoved out"]
    assert rows(table) == expected
    assert merged[("d",)] == ("d", "yes", "moved out")
    # And again, with the person's lines now in the table for long.
    table.propose([("a", "yes", "worse"), ("b", "yes", "worse"), ("c", "yes", "worse")])
    assert rows(table) == expected


def test_a_table_that_was_removed_begins_anew(table: EditableTable) -> None:
    table.propose([("a", "yes", "bad")])
    table.path.unlink()
    table.propose([("a", "yes", "bad")])
    assert rows(table) == ["a\tyes\tbad"]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("who\twhy\n", "columns must be who exclude reason"),
        ("who\texclude\treason\na\tyes\tx\na\tno\ty\n", "row 3: a scan may be listed once"),
    ],
)
def test_a_damaged_table_is_refused(text: str, rule: str, table: EditableTable) -> None:
    table.path.write_text(text)
    with pytest.raises(TableError, match=rule):
        table.propose([("a", "yes", "bad")])
    assert table.path.read_text() == text


def test_only_yes_and_no_decide(table: EditableTable) -> None:
    table.path.write_text("who\texclude\treason\na\tperhaps\n")
    with pytest.raises(TableError, match=r"exclude must be yes or no \(found: perhaps\)"):
        require_yes_or_no(table.propose([]), 1, table)
