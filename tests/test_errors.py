from __future__ import annotations

import pickle

import pytest

from fibromorph.errors import FibromorphError, MissingExtraError, TableError


@pytest.mark.parametrize(
    "error",
    [
        TableError("cells must be numbers", value=ValueError("x"), subject="a.tsv, line 2"),
        MissingExtraError("demo", "nilearn"),
    ],
)
def test_errors_come_out_of_worker_processes_as_they_went_in(error: FibromorphError) -> None:
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
