from __future__ import annotations

from pathlib import Path

import pytest

from fibromorph.errors import TableError
from fibromorph.files import write_whole
from fibromorph.serving.cohort.group.editable import EditableTable, said_yes

COLUMNS = ("who", "exclude", "reason")


@pytest.fixture
def table(tmp_path: Path) -> EditableTable:
    path, proposals = tmp_path / "table.tsv", tmp_path / "state" / "table.tsv"
    return EditableTable(path, proposals, COLUMNS, keys=1, edits=("exclude", "reason"))


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


def test_columns_that_a_person_added_stay(table: EditableTable) -> None:
    table.propose([("a", "yes", "bad"), ("b", "no", "look")])
    text = "who\texclude\treason\tseen_by\na\tno\tfine\tKM\nb\tno\tlook\n"
    table.path.write_text(text)
    merged = table.propose([("a", "yes", "bad"), ("b", "no", "better"), ("c", "yes", "bad")])
    assert table.path.read_text().splitlines() == [
        "who\texclude\treason\tseen_by",
        "a\tno\tfine\tKM",
        "b\tno\tbetter\t",
        "c\tyes\tbad\t",
    ]
    assert said_yes(merged, 1, table) == {("c",)}


@pytest.mark.parametrize("written", [1, 2])
def test_what_was_proposed_before_a_run_was_killed_is_no_edit(
    written: int, table: EditableTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.propose([("a", "no", ""), ("b", "no", ""), ("d", "no", "")])
    text = table.path.read_text()
    table.path.write_text(text.replace("a\tno\t", "a\tno\tlooked at it").replace("d\tno\t\n", ""))
    bad = [("a", "yes", "bad"), ("b", "yes", "bad"), ("c", "yes", "bad"), ("d", "yes", "bad")]
    with monkeypatch.context() as patched:
        calls: list[Path] = []

        def killed(path: Path, text: str) -> None:
            if len(calls) == written:
                raise KeyboardInterrupt
            calls.append(path)
            write_whole(path, text)

        def not_moved(*_: object) -> None:
            raise KeyboardInterrupt

        patched.setattr("fibromorph.serving.cohort.group.editable.write_whole", killed)
        patched.setattr("fibromorph.serving.cohort.group.editable.os.replace", not_moved)
        with pytest.raises(KeyboardInterrupt):
            table.propose(bad)
    table.propose([("a", "no", ""), ("b", "no", ""), ("c", "no", ""), ("d", "no", "")])
    assert rows(table) == ["a\tno\tlooked at it", "b\tno\t", "c\tno\t"]


def test_a_table_that_was_removed_begins_anew(table: EditableTable) -> None:
    table.propose([("a", "yes", "bad")])
    table.path.unlink()
    table.propose([("a", "yes", "bad")])
    assert rows(table) == ["a\tyes\tbad"]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("who\twhy\n", "columns must be who exclude reason"),
        ("", "must have a header"),
        ("who\texclude\treason\na\tyes\tx\na\tno\ty\n", "line 3: a scan may be listed once"),
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
        said_yes(table.propose([]), 1, table)


def test_a_spreadsheet_writes_yes_and_no_as_it_likes(table: EditableTable) -> None:
    rows = "a\tYES\nb\tTRUE\nc\tYes\nd\tNo\ne\tFALSE\n"
    table.path.write_text(f"who\texclude\treason\n{rows}")
    assert said_yes(table.propose([]), 1, table) == {("a",), ("b",), ("c",)}


def test_a_number_that_a_spreadsheet_wrote_anew_is_no_edit(tmp_path: Path) -> None:
    path, proposals = tmp_path / "runs.tsv", tmp_path / "state" / "runs.tsv"
    runs = EditableTable(path, proposals, ("run", "use", "quality"), keys=1, edits=("use",))
    runs.propose([("1", "yes", "0.950"), ("2", "no", "0.900")])
    path.write_text(path.read_text().replace("0.950", "0.95").replace("0.900", "0.9"))
    assert runs.propose([("1", "no", "0.100"), ("2", "yes", "0.900")])[("1",)] == (
        "1",
        "no",
        "0.100",
    )
    path.write_text(path.read_text().replace("1\tno", "1\tyes"))
    assert runs.propose([("1", "no", "0.200"), ("2", "yes", "0.900")])[("1",)] == (
        "1",
        "yes",
        "0.200",
    )


def test_an_edit_outlives_a_proposal_that_agrees_with_it(table: EditableTable) -> None:
    table.propose([("a", "yes", "bad")])
    table.path.write_text(table.path.read_text().replace("yes\tbad", "no\tfine"))
    for proposed in (("a", "no", "fine"), ("a", "yes", "bad")):
        assert table.propose([proposed])[("a",)] == ("a", "no", "fine")


def test_a_quote_that_is_not_closed_hides_nothing(table: EditableTable) -> None:
    table.propose([("a", "yes", "bad"), ("b", "yes", "bad")])
    table.path.write_text('who\texclude\treason\na\tyes\t"moved\nb\tyes\tbad\n')
    with pytest.raises(TableError, match=r"every quote must be closed"):
        table.propose([("a", "yes", "bad"), ("b", "yes", "bad")])


def test_a_table_saved_by_windows_is_read(table: EditableTable) -> None:
    table.propose([("a", "yes", "bad")])
    table.path.write_bytes("who\texclude\treason\na\tno\tgeprüft\n".encode("cp1252"))
    assert table.propose([("a", "yes", "bad")])[("a",)] == ("a", "no", "geprüft")


def test_a_reason_in_quotes_can_be_read_again(table: EditableTable) -> None:
    table.propose([("a", "yes", "bad")])
    table.path.write_text('who\texclude\treason\na\tno\t"""bad"" scan"\n')
    for _ in range(2):
        assert table.propose([("a", "yes", "bad")])[("a",)] == ("a", "no", '"bad" scan')
