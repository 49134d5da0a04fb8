"""When scans were made: from a column of the participants table, or BIDS `sub-*_sessions.tsv`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from fibromorph.postprocessing.stats.tables.cells import is_number, read_text_table
from fibromorph.postprocessing.stats.tables.scan_ids import ScanIds

ACQ_TIME = "acq_time"
"""BIDS' name of the column, in `sessions.tsv` and elsewhere."""
DATE_NAMES = r"acq_?time|((scan|mri|visit|session|acq)_?)?date|date_?of_?(scan|mri|visit)"
YEAR_NAMES = r"years|(time_?)?years_?since_?\w+|follow_?up_?years|time_?(in_?)?years"
MOSTLY = 0.8
DAYS_A_YEAR = 365.25

Keys = tuple[str, str]


def read_session_times(participants: Path, ids: ScanIds) -> dict[Keys, str]:
    """(participant, session) -> `acq_time` of the `sub-*/sub-*_sessions.tsv` beside a table.

    Raises:
        TableError: one of them cannot be read.
    """
    times: dict[Keys, str] = {}
    for path in sorted(participants.parent.glob("sub-*/sub-*_sessions.tsv")):
        table = read_text_table(path)
        if {"session_id", ACQ_TIME} <= {*table.columns}:
            for session, time in zip(table["session_id"], table[ACQ_TIME], strict=True):
                if session is not None and time is not None:
                    times[ids.split(path.parent.name, session, str(path), person=True)] = time
    return times


def find_times(cells: pd.DataFrame, beside: Mapping[Keys, str]) -> tuple[str, pd.Series] | None:
    """The first column that says when scans were made: (name, years since the person's first).

    Args:
        cells: of the participants table, by (participant, session).
        beside: of `read_session_times`.
    """
    for name in map(str, cells.columns):
        if re.fullmatch(f"{DATE_NAMES}|{YEAR_NAMES}", name, re.IGNORECASE):
            years = years_since_first(cells[name])
            if years is not None:
                return name, years
    if beside:
        years = years_since_first(pd.Series(beside))
        return None if years is None else (ACQ_TIME, years)
    return None


def years_since_first(cells: pd.Series) -> pd.Series | None:
    """Years since each person's first scan, of dates (ISO 8601, or 31.12.2024) or of years.

    Days that were shifted for anonymity, by as many in all of a person's sessions, do no harm.

    Returns:
        By (participant, session), NaN = missing; None where fewer than four in five known cells
        are either, or no person has two.
    """
    known = cells.dropna().astype(str)
    if known.map(is_number).all():
        years = known.astype(float)
    else:
        iso = pd.to_datetime(known, format="ISO8601", errors="coerce", utc=True)
        dates = iso.fillna(pd.to_datetime(known, format="%d.%m.%Y", errors="coerce", utc=True))
        if dates.notna().mean() < MOSTLY:
            return None
        years = (dates - pd.Timestamp(0, tz="UTC")) / np.timedelta64(1, "D") / DAYS_A_YEAR
    by_person = years.groupby(level=0)
    if years.empty or by_person.count().max() < 2:
        return None
    return (years - by_person.transform("min")).reindex(cells.index)
