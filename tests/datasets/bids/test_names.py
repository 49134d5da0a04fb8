from __future__ import annotations

import pytest

from fibromorph.datasets.bids import parse_name


def test_a_name_is_taken_apart() -> None:
    name = parse_name("sub-01_ses-pre_acq-mprage_run-2_T1w.nii.gz")
    assert name is not None
    assert name.entities == {"sub": "01", "ses": "pre", "acq": "mprage", "run": "2"}
    assert (name.subject, name.session, name.run) == ("sub-01", "ses-pre", "acq-mprage_run-2")
    assert (name.suffix, name.extension) == ("T1w", ".nii.gz")
    assert name.stem == "sub-01_ses-pre_acq-mprage_run-2"


def test_a_data_set_may_have_no_sessions() -> None:
    name = parse_name("sub-A1_T1w.nii")
    assert name is not None
    assert (name.session, name.run) == (None, None)


@pytest.mark.parametrize(
    "text",
    [
        "T1w.nii.gz",
        "ses-01_sub-01_T1w.nii.gz",
        "sub-01_run-1_run-2_T1w.nii.gz",
        "sub-01_bad_T1w.nii.gz",
        "sub-01_T1w (copy).nii.gz",
        "sub-_T1w.nii.gz",
        "sub-01_T1w",
    ],
)
def test_other_names_are_not_bids(text: str) -> None:
    assert parse_name(text) is None
