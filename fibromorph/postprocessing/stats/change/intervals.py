"""Whether those who are compared were followed for as long."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fibromorph.postprocessing.stats.change.data import ChangeData
from fibromorph.postprocessing.stats.people.study import Study

NOTICEABLE = 0.1
"""Difference of mean intervals, as a share of their mean, that a reader is told of."""


def interval_notes(whole: Study, data: ChangeData) -> tuple[str, ...]:
    """Sentences for the report where two groups' scans are not known to be equally far apart.

    In a group that is followed for longer, ageing goes further: its volumes change by more with no
    effect at all.

    Args:
        whole: the scans of all sessions.
        data: their rows, of `change_data`.
    """
    if not data.compared:
        return ()
    if whole.years is None:
        return (
            "When scans were made is not known, and so whether the groups were followed for as"
            " long: in the one followed for longer, ageing goes further. A column scan_date of the"
            " participants table, with a row a session, would tell.",
        )
    if whole.years.name in whole.design.sessions.time_varying:
        return ()
    treated, sessions = data.treated_people(), whole.design.sessions
    names = (sessions.treated, sessions.untreated) if data.arms else ("patients", "controls")
    before = whole.years.xs(data.baseline, level=1).reindex(data.people)
    notes = []
    for session in data.follow_up:
        interval = whole.years.xs(session, level=1).reindex(data.people) - before
        one, other = _mean(interval[treated]), _mean(interval[~treated])
        unknown = [name for name, mean in zip(names, (one, other), strict=True) if np.isnan(mean)]
        if unknown:
            notes.append(
                f"When scans of {session} were made is not known of {' or '.join(unknown)}, and so"
                " whether the groups were followed for as long."
            )
        elif abs(one - other) > NOTICEABLE * abs(one + other) / 2:
            notes.append(
                f"Scans of {session} were made {one:.2f} years after the baseline in {names[0]} and"
                f" {other:.2f} in {names[1]} (means, from {whole.years.name}): ageing alone then"
                f" changes one of the groups by more. Name {whole.years.name} under"
                " sessions.time_varying, and change is compared at equal times."
            )
    return tuple(notes)


def _mean(interval: pd.Series) -> float:
    return float(interval.mean()) if interval.notna().any() else float(np.nan)
