"""Participants as studies really write them, and errors that name the cell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fibromorph.errors import TableError
from fibromorph.postprocessing.stats import read_participants
from fibromorph.postprocessing.stats.tables import ScanIds
from fibromorph.postprocessing.stats.tables.scan_ids import in_time


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "participants.tsv"
    path.write_text(text, encoding="utf-8")
    return path


def test_missing_cells_in_all_their_spellings(tmp_path: Path) -> None:
    path = table(tmp_path, "participant_id\tage\na\t1\nb\tn/a\nc\tNA\nd\t\ne\t-999\nf\t.\n")
    found = read_participants(path, missing_codes=["-999"]).numbers("age")
    assert found.iloc[0] == 1
    assert found.iloc[1:].isna().all()


@pytest.mark.parametrize("separator", ["\t", ",", ";"])
def test_separators_and_byte_order_marks(tmp_path: Path, separator: str) -> None:
    path = table(tmp_path, "\ufeffparticipant_id\tage\nsub-1\t40\n".replace("\t", separator))
    assert read_participants(path).numbers("age").tolist() == [40]


def test_ids_with_and_without_prefix_are_the_same_person(tmp_path: Path) -> None:
    path = table(tmp_path, "participant_id\tage\n01\t40\n")
    assert read_participants(path).ids == ["sub-01"]


def test_text_in_a_number_names_line_and_column(tmp_path: Path) -> None:
    rows = "".join(f"{i}\t{30 + i}\n" for i in range(9))
    path = table(tmp_path, f"participant_id\tage\n{rows}x\t41,5\n")
    with pytest.raises(TableError, match=r"line 11, column age.*decimal point.*41,5"):
        read_participants(path).is_numeric("age")


def test_a_participant_twice_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path, "participant_id\tage\nsub-1\t40\n1\t41\n")
    with pytest.raises(TableError, match=r"one row only.*sub-1"):
        read_participants(path)


def test_a_column_named_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="name of its own"):
        read_participants(table(tmp_path, "participant_id\tage\tage\na\t1\t2\n"))


def test_unknown_columns_list_those_that_are_there(tmp_path: Path) -> None:
    people = read_participants(table(tmp_path, "participant_id\tage\na\t1\n"))
    with pytest.raises(TableError, match=r"it has age.*found: weight"):
        people.require("weight", "covariates")


def test_sessions_by_a_rule() -> None:
    ids = ScanIds(r"^(?P<participant>sub-\d+)(?P<session>fu)?$", {"": "one", "fu": "two"}, True)
    assert ids.split("sub-01", None, "") == ("sub-01", "one")
    assert ids.split("sub-01fu", None, "") == ("sub-01", "two")
    with pytest.raises(TableError, match=r"must match sessions.rule"):
        ids.split("pilot", None, "table")
    assert ids.split("01", None, "table", person=True) == ("sub-01", "one")


def test_names_of_sessions_tell_their_order() -> None:
    assert in_time(["ses-post", "ses-pre"]) == ["ses-pre", "ses-post"]
    assert in_time(["ses-Nachher", "ses-Vorher"]) == ["ses-Vorher", "ses-Nachher"]
    assert in_time(["ses-fu", "ses-post", "ses-pre"]) == ["ses-pre", "ses-post", "ses-fu"]
    german = ["ses-vor", "ses-nach", "ses-nachuntersuchung"]
    assert in_time(reversed(german)) == german
    assert in_time(["ses-10", "ses-2", "", "ses-2"]) == ["", "ses-2", "ses-10"]
    assert in_time(["ses-followup", "ses-baseline", "ses-03"])[0] == "ses-baseline"
    assert in_time(["ses-m12", "ses-m0", "ses-m6"]) == ["ses-m0", "ses-m6", "ses-m12"]
    assert in_time(["ses-1" + "0" * 5000, "ses-02"])[0] == "ses-02"


def test_decimal_commas_are_refused_and_no_category(tmp_path: Path) -> None:
    rows = "".join(f"{i}\t{30 + i},5\n" for i in range(9))
    path = table(tmp_path, f"participant_id\tage\n{rows}")
    with pytest.raises(TableError, match=r"line 2, column age.*decimal point"):
        read_participants(path).is_numeric("age")


def test_blank_lines_count_in_errors(tmp_path: Path) -> None:
    path = table(tmp_path, "\nparticipant_id,age\n1,30\n\n2,40\n3,41 years\n4,33\n5,34\n6,35\n")
    with pytest.raises(TableError, match=r"line 6, column age.*41 years"):
        read_participants(path).is_numeric("age")
    path = table(tmp_path, "participant_id,age\n\n1,30\n\n1,40\n")
    with pytest.raises(TableError, match=r"line 5.*one row only"):
        read_participants(path)


def test_bids_names() -> None:
    ids = ScanIds()
    assert ids.split("sub-01_ses-02_run-1_T1w", None, "") == ("sub-01", "ses-02")
    assert ids.split("sub-01", "ses-03", "") == ("sub-01", "ses-03")
    assert ids.split("/subjects/sub-01/", None, "") == ("sub-01", "")
    assert ids.split("sub-01", "baseline", "") == ("sub-01", "baseline")
    assert ids.split("P_07", "2", "") == ("sub-P_07", "2")
    assert ids.split("07_ses-1_T1w.nii.gz", None, "") == ("sub-07", "ses-1")


def test_real_tables(data_root: Path) -> None:
    studies = data_root / "studies"
    fibromyalgia = read_participants(studies / "ds001928" / "participants.tsv")
    assert fibromyalgia.levels("group") == ["FM", "HC"]
    pain = fibromyalgia.numbers("pi")
    assert set(pain[fibromyalgia.cells["group"] == "HC"]) == {0}
    knees = read_participants(studies / "ds000208" / "participants.tsv")
    assert len(knees.ids) == 76
    assert knees.is_numeric("% Analsesia VAS")
    assert np.isnan(knees.numbers("% Analsesia VAS").iloc[0])


def test_a_row_of_another_length_names_its_line(tmp_path: Path) -> None:
    for row in ("3,FM,7", "3,FM,,7,1"):
        path = table(tmp_path, f"participant_id,group,bdi,pain\n1,HC,2,0\n{row}\n")
        with pytest.raises(TableError, match=r"line 3: every row needs as many cells.*, 4 "):
            read_participants(path)


def test_a_comma_in_a_name_does_not_make_the_table_one_of_commas(tmp_path: Path) -> None:
    path = table(tmp_path, "participant_id;group;pain, now\n1;FM;3\n2;HC;0\n")
    assert list(read_participants(path).cells.columns) == ["group", "pain, now"]
    path = table(tmp_path, "participant_id\tgroup\tage, years\tnote\n1\tFM\t33,5\t\n2\tHC\t40\tx\n")
    assert list(read_participants(path).cells.columns) == ["group", "age, years", "note"]
    path = table(tmp_path, "participant_id,group,pain now\n1,FM,not asked,\n2,HC,0,\n")
    assert list(read_participants(path).cells.columns) == ["group", "pain now"]


def test_a_header_too_long_is_an_error_like_any_other(tmp_path: Path) -> None:
    path = table(tmp_path, f"participant_id,{'x' * 140_000}\n1,2\n")
    with pytest.raises(TableError, match="field larger than field limit"):
        read_participants(path)


def test_a_quote_that_is_not_closed_swallows_nobody(tmp_path: Path) -> None:
    path = table(tmp_path, 'participant_id,note\n1,"tall\n2,short\n')
    with pytest.raises(TableError, match=r"line 2: every quote must be closed"):
        read_participants(path)


def test_a_table_that_excel_saved_as_unicode(tmp_path: Path) -> None:
    path = tmp_path / "people.txt"
    path.write_bytes("participant_id\tgroup\n1\tgrün\n".encode("utf-16"))
    assert read_participants(path).levels("group") == ["grün"]
    path.write_bytes(b"PK\x03\x04\x00\x00")
    with pytest.raises(TableError, match=r"must be text"):
        read_participants(path)


@pytest.mark.parametrize(
    "text",
    [
        'participant_id\tnote\n1\t"old" scan\n',
        'participant_id,note\n1,"old" scan\n',
        "participant_id,note\r1,old scan\r",
        "  \nparticipant_id,note\n1,old scan\n\n",
        "participant_id\tnote\t\n1\told scan\tlook\n",
    ],
)
def test_tables_as_programs_write_them(tmp_path: Path, text: str) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes(text.encode())
    assert read_participants(path).levels("note") == ["old scan"]
