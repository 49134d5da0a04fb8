from __future__ import annotations

import pytest

from fibromorph.datasets.cohort.anatomy import Anatomy
from fibromorph.datasets.cohort.body import Mould, mould_of
from tests.datasets.cohort import phantoms


@pytest.fixture(scope="session")
def anatomy() -> Anatomy:
    return phantoms.anatomy()


@pytest.fixture(scope="session")
def mould(anatomy: Anatomy) -> Mould:
    return mould_of(anatomy)
