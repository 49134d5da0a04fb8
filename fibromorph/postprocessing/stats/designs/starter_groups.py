"""Who are patients and who controls, told by what a column is called and by what its cells say."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from fibromorph.errors import TableError
from fibromorph.postprocessing.stats.tables import Participants
from fibromorph.postprocessing.stats.tables.participants import FEW_LEVELS

GROUP_NAMES = re.compile(
    r"(group|grp|gruppe|groupe|dx|diagnos[ei]s?|type|cohort|kohorte|case|status|condition)", re.I
)
SURE_CONTROLS = re.compile(
    r"(hcs?|hv|cn|nc|ctrl|ctl|controls?|healthy.*|kontroll(e|en|gruppe|person|personen)|gesund.*"
    r"|t[eé]moins?)",
    re.I,
)
CONTROLS = re.compile(rf"({SURE_CONTROLS.pattern}|con|0|no|nein|normal)", re.I)
PATIENTS = re.compile(
    r"(fms?|fibro.*|pat|pts?|patient(s|en|in|innen)?|cases?|cwp|crps|c?lbp|(chronic.?)?pain|ill"
    r"|schmerz.*|krank.*)",
    re.I,
)
Rule = Callable[[str], object]


def guess_groups(people: Participants) -> tuple[str, str, str]:
    """(column, patients' level, controls' level).

    A column named like a group whose cells name controls, else any whose cells name controls and
    patients, else a column named like a group whose cells only may mean controls (0, no).

    Raises:
        TableError: no column has the two groups.
    """
    columns = [str(c) for c in people.cells.columns if len(people.levels(str(c))) <= FEW_LEVELS]
    named = [c for c in columns if GROUP_NAMES.fullmatch(c)]
    for chosen, well, ill in (
        (named, SURE_CONTROLS.fullmatch, bool),
        (columns, SURE_CONTROLS.fullmatch, PATIENTS.fullmatch),
        (named, CONTROLS.fullmatch, bool),
    ):
        for column in chosen:
            levels = _two_levels(people, column, well, ill)
            if levels is not None:
                return column, *levels
    raise TableError(
        "no column tells patients from controls by what its cells say (HC, control, ...; FM,"
        " patient, ...); write the design by hand from configs/stats-fibromyalgia.yaml",
        value=_found(people, named or columns),
        subject=people.path,
    )


def _two_levels(
    people: Participants, column: str, is_well: Rule, is_ill: Rule
) -> tuple[str, str] | None:
    """The most frequent level of patients and of controls; None if there is none of either."""
    count = people.cells[column].value_counts()
    levels = sorted(people.levels(column), key=lambda level: -int(count[level]))
    well = [level for level in levels if is_well(level)]
    ill = [level for level in levels if level not in well and is_ill(level)]
    return (ill[0], well[0]) if well and ill else None


def _found(people: Participants, columns: Sequence[str]) -> str:
    """Columns of few levels with their levels."""
    shown = [f"{c}: {', '.join(people.levels(c))}" for c in columns if people.levels(c)]
    return "; ".join(shown[:5])
