"""When scans were made: from a column of the participants table, or BIDS' tables beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from fibromorph.postprocessing.stats.tables.cells import is_number, read_text_table
from fibromorph.postprocessing.stats.tables.scan_ids import ScanIds

ACQ_TIME = "acq_time"
"""BIDS' name of the column, in `sessions.tsv` and elsewhere."""
SESSIONS = "sub-*/sub-*_sessions.tsv"
TIME_TABLES = ("sub-*/sub-*_scans.tsv", "sub-*/ses-*/sub-*_ses-*_scans.tsv", SESSIONS)
"""Where BIDS may have them beside `participants.tsv`; the first that knows a session tells."""
DATE_NAMES = r"acq_?time|((scan|mri|visit|session|acq)_?)?date|date_?of_?(scan|mri|visit)"
YEAR_NAMES = r"years|(time_?)?years_?since_?\w+|follow_?up_?years|time_?(in_?)?years"
FORMATS = ("%d.%m.%Y", "%d.%m.%y")
"""Of dates beside ISO 8601, those that can be read in one way alone."""
SPREADSHEET_DAYS = (20_000, 80_000)
"""Spreadsheets count days from 1899-12-30; these are from 1954 to 2119."""
T1W = re.compile(r"_T1w\.")
LONGEST_YEARS = 60
"""Nobody is followed for longer: what is further apart is no number of years."""
MOSTLY = 0.8
DAYS_A_YEAR = 365.25

Keys = tuple[str, str]


def read_session_times(participants: Path, ids: ScanIds) -> dict[Keys, str]:
    """(participant, session) -> `acq_time` in the `TIME_TABLES` beside a table.

    Of scans it is that of the first T1-weighted one.

    Raises:
        TableError: one of them cannot be read.
    """
    times: dict[Keys, str] = {}
    for pattern in TIME_TABLES:
        for path in sorted(participants.parent.glob(pattern)):
            for name, session, time in _timed(path):
                times.setdefault(ids.split(name, session, str(path), person=True), time)
    return times


def _timed(path: Path) -> Iterator[tuple[str, str | None, str]]:
    """(scan, nothing, its time) of a table of scans, (participant, session, time) of sessions."""
    table = read_text_table(path)
    column = "filename" if path.name.endswith("_scans.tsv") else "session_id"
    if not {column, ACQ_TIME} <= {*table.columns}:
        return
    for cell, time in zip(table[column], table[ACQ_TIME], strict=True):
        if cell is None or time is None:
            continue
        if column == "session_id":
            yield path.parent.name, cell, time
        elif T1W.search(cell):
            yield cell, None, time


def find_times(cells: pd.DataFrame, beside: Mapping[Keys, str]) -> tuple[str, pd.Series] | None:
    """The first column that says when scans were made: (name, years since the person's first).

    Args:
        cells: of the participants table, by (participant, session).
        beside: of `read_session_times`.
    """
    for name in map(str, cells.columns):
        if is_time(name):
            years = years_since_first(cells[name])
            if years is not None:
                return name, years
    if beside:
        years = years_since_first(pd.Series(beside))
        return None if years is None else (ACQ_TIME, years)
    return None


def is_time(name: str) -> bool:
    """Whether a column's name says that it tells when scans were made."""
    return re.fullmatch(f"{DATE_NAMES}|{YEAR_NAMES}", name, re.IGNORECASE) is not None


def years_since_first(cells: pd.Series) -> pd.Series | None:
    """Years since each person's first scan, of dates or of years.

    Dates are ISO 8601, with or without hyphens, 31.12.2024, or days as spreadsheets count them.
    Days that were shifted for anonymity, by as many in all of a person's sessions, do no harm.

    Returns:
        By (participant, session), NaN = missing; None where fewer than four in five known cells
        are either, no person has two, or two of a person are more than 60 years apart.
    """
    known = cells.dropna().astype(str)
    years = _years(known)
    if years is None or years.empty or years.groupby(level=0).count().max() < 2:
        return None
    since = years - years.groupby(level=0).transform("min")
    return None if since.max() > LONGEST_YEARS else since.reindex(cells.index)


def _years(known: pd.Series) -> pd.Series | None:
    """Years from any day on; None where the cells are neither dates nor numbers."""
    if known.map(is_number).all() and not known.str.fullmatch(r"(19|20)\d{6}").all():
        numbers = known.astype(float)
        days = numbers.between(*SPREADSHEET_DAYS).all()
        return numbers / DAYS_A_YEAR if days else numbers
    dates = pd.to_datetime(known, format="ISO8601", errors="coerce", utc=True)
    for form in FORMATS:
        dates = dates.fillna(pd.to_datetime(known, format=form, errors="coerce", utc=True))
    if dates.notna().mean() < MOSTLY:
        return None
    return (dates - pd.Timestamp(0, tz="UTC")) / np.timedelta64(1, "D") / DAYS_A_YEAR
