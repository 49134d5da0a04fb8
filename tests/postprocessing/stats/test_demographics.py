"""Which columns are age and sex."""

from __future__ import annotations

import pytest

from fibromorph.postprocessing.stats.designs.demographics import is_age, is_sex


@pytest.mark.parametrize(
    "column",
    ["age", "Age", "age_years", "AGE (years)", "age_at_scan", "Age at MRI", "Alter", "Alter_Jahre"],
)
def test_age_has_many_names(column: str) -> None:
    assert is_age(column)
    assert not is_sex(column)


@pytest.mark.parametrize("column", ["sex", "Sex", "gender", "Geschlecht", "sexe", "sex (m/f)"])
def test_sex_has_many_names(column: str) -> None:
    assert is_sex(column)
    assert not is_age(column)


@pytest.mark.parametrize(
    "column", ["age_of_onset", "age_at_onset", "agent", "sexual_function", "age_at_diagnosis"]
)
def test_what_only_looks_like_it(column: str) -> None:
    assert not is_age(column)
    assert not is_sex(column)
