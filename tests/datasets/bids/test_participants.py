from __future__ import annotations

from pathlib import Path

import pytest

from fibromorph.datasets.bids import read_participants
from fibromorph.errors import TableError


def write(folder: Path, content: str, encoding: str = "utf-8") -> Path:
    path = folder / "participants.tsv"
    path.write_bytes(content.encode(encoding))
    return path


@pytest.mark.parametrize("column", ["participant_id", "Subject", "subject_id", "ID", "Participant"])
def test_the_column_of_ids_has_many_names(column: str, tmp_path: Path) -> None:
    table = read_participants(write(tmp_path, f"age\t{column}\n31\tsub-01\n40\t02\n"))
    assert table.id_column == column
    assert table.ids == ("sub-01", "sub-02")


def test_the_standard_name_wins(tmp_path: Path) -> None:
    table = read_participants(write(tmp_path, "id\tparticipant_id\n900\tsub-01\n"))
    assert table.ids == ("sub-01",)


def test_commas_a_mark_and_windows_letters_are_read(tmp_path: Path) -> None:
    text = "\ufeffparticipant_id;Schmerz\r\nsub-01;mäßig\r\n"
    assert read_participants(write(tmp_path, text)).rows == (("sub-01", "mäßig"),)
    text = "participant_id,Schmerz\nsub-01,mäßig\n"
    assert read_participants(write(tmp_path, text, "cp1252")).rows == (("sub-01", "mäßig"),)


def test_numbers_without_zeros_find_their_folder(tmp_path: Path) -> None:
    # More digits than Python takes for a number are a label as well.
    table = read_participants(write(tmp_path, f"ID\n1\n2\n3\nsub-004\n{'5' * 5000}\n"))
    matched = table.matched(["sub-001", "sub-02", "sub-002", "sub-004"])
    # '2' could be either of two folders; '3' has none.
    assert matched == {"sub-1": "sub-001", "sub-004": "sub-004"}


def test_who_is_listed_twice_is_known(tmp_path: Path) -> None:
    text = "ID\tsession_id\n1\tses-1\n1\tses-2\nsub-1\tses-2\n2\tses-1\n"
    assert read_participants(write(tmp_path, text)).repeated == ("sub-1",)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("age\tgroup\n1\t2\n", "a column must name the participants"),
        ("participant_id\tage\nsub-01\n", "as many cells as the header, 2"),
        ("", "needs a header"),
    ],
)
def test_what_is_wrong_is_said(text: str, rule: str, tmp_path: Path) -> None:
    with pytest.raises(TableError, match=rule):
        read_participants(write(tmp_path, text))
