"""Which column of a study is age and which is sex, by its name: one rule for all who ask."""

from __future__ import annotations

import re

_TIME = r"(scan|mri|test|testing|visit|baseline|study|inclusion|enrol?lment|assessment|exam)"
AGE = re.compile(rf"(age|alter)(_?in)?(_?(y|yr|yrs|years?|jahren?))?(_?at_?{_TIME})?(_years)?")
SEX = re.compile(r"(sex|gender|geschlecht|sexe)(_?at_?birth)?(_?(m_?f|f_?m))?")


def is_age(column: str) -> bool:
    """Whether a column is the age at the scan: `age`, `Alter (Jahre)`; not `age_of_onset`."""
    return AGE.fullmatch(_plain(column)) is not None


def is_sex(column: str) -> bool:
    """Whether a column is sex or gender: `sex`, `Geschlecht`, `gender (m/f)`."""
    return SEX.fullmatch(_plain(column)) is not None


def _plain(column: str) -> str:
    """Lower case, with one underscore for whatever parts the words."""
    return re.sub(r"[^a-z0-9]+", "_", column.casefold()).strip("_")
