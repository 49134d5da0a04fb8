"""A design written for the tables at hand, for a user to correct."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import yaml

from fibromorph.errors import ConfigError
from fibromorph.files import write_whole
from fibromorph.postprocessing.stats.designs.contract import measure_called
from fibromorph.postprocessing.stats.designs.demographics import is_age, is_sex
from fibromorph.postprocessing.stats.designs.design import Design, load_design, parse_design
from fibromorph.postprocessing.stats.designs.sections import MeasureName
from fibromorph.postprocessing.stats.designs.starter_groups import guess_groups
from fibromorph.postprocessing.stats.designs.starter_notes import unused, who_fits, within
from fibromorph.postprocessing.stats.tables import (
    CohortVolumes,
    Participants,
    by_session,
    read_cohort,
    read_participants,
    with_session_files,
)
from fibromorph.postprocessing.stats.tables.measure import THICKNESS, VOLUME
from fibromorph.postprocessing.stats.tables.region_names import is_fluid, is_total
from fibromorph.postprocessing.stats.tables.scan_ids import NO_SESSION
from fibromorph.postprocessing.stats.tables.scan_times import is_time
from fibromorph.postprocessing.stats.tables.wide import guess_by_session

SITE_NAMES = r"(site|scanner|center|centre)"
ARM_NAMES = (
    r"(trial_?|study_?)?arms?|(treatment|therapy|intervention)(_?(arm|group))?|allocat(ion|ed)(_?\w+)?"
    r"|randomi[sz](ed|ation)(_?\w+)?|assigned(_?\w+)?|assignment"
)
UNTREATED_LEVELS = (
    r"(wait\w*|wl|wlc|control\w*|con|ctrl|placebo|sham|tau|usual.*|(standard|routine).*|untreated"
    r"|no(ne)?|no_.*|0)"
)
HEMISPHERE = "-Cerebral-Cortex"
BY_SESSION, NAMELESS = "table.by_session", "no session"
HEADER = """\
# A design for `fibromorph stats`, written from {volumes} and {participants}.
# Read it all: what is guessed may be wrong. Every key that may be left out is shown with its
# default: configs/stats-fibromyalgia.yaml and stats-therapy.yaml explain them, docs/statistics.md
# what is done with them.
"""


def write_starter(
    path: Path,
    volumes: Sequence[Path],
    participants: Path,
    *,
    measure: MeasureName | None = None,
) -> list[str]:
    """Write a design with every key that bears on the tables, guessed from headers and levels.

    Args:
        path: of the design.
        volumes: see `read_cohort`.
        participants: `participants.tsv`.
        measure: see `read_cohort`.

    Returns:
        In words: what was guessed, who fits or what does not, what was not used and why.

    Raises:
        ConfigError: the file is there already.
        TableError: the tables cannot be read, or no column has the two groups.
    """
    if path.exists():
        raise ConfigError("a design is never overwritten: name another file", subject=path)
    cohort = read_cohort(volumes, measure=measure)
    people = read_participants(participants)
    design = guess_design(cohort, people)
    people = with_session_files(by_session(people, design.table.by_session, BY_SESSION))
    head = HEADER.format(volumes=", ".join(p.name for p in volumes), participants=participants.name)
    content = yaml.safe_dump(
        design.model_dump(mode="json", exclude=_beside_the_point(cohort)),
        sort_keys=False,
        allow_unicode=True,
        width=96,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, head + content)
    arms = _arm_columns(people, design.groups.column, design.groups.patients)
    return [
        *_folders(volumes, cohort),
        *_spread(design),
        *_beside(people),
        *choices(design, people),
        *who_fits(load_design(path), cohort, people),
        *unused(design, people, told=arms),
    ]


def _beside(people: Participants) -> list[str]:
    columns = list(dict.fromkeys(column for _, column in people.sources))
    return [f"read from sub-*_sessions.tsv: {', '.join(columns)}"] if columns else []


def choices(design: Design, people: Participants) -> list[str]:
    """What was guessed, in words: what is not named here was not understood."""
    groups, sessions = design.groups, design.sessions
    scores = ", ".join(f"{name} from {s.column}" for name, s in design.scores.items())
    lines = [
        f"patients: {groups.column} = {groups.patients}; controls: {groups.controls}; others are"
        " left out",
        f"adjusted for: {', '.join(design.covariates) or 'nothing'}"
        + ("" if design.measure == THICKNESS.name else f"; eTIV: {design.etiv}"),
        f"scores: {scores or 'none'}",
    ]
    if sessions.follow_up:
        later = ", ".join(sessions.follow_up)
        lines.append(f"baseline: {sessions.baseline or NAMELESS}; follow-up: {later}")
    if sessions.arm:
        lines.append(
            f"treated: {sessions.arm} = {sessions.treated}; untreated: {sessions.untreated}"
        )
    times = people.times()
    if sessions.follow_up and times is not None:
        lines.append(
            f"scans' times: {times[0]}; where arms were followed for unequal times, put it into"
            " sessions.time_varying"
        )
    for column, levels in _arm_columns(people, groups.column, groups.patients).items():
        if column != sessions.arm:
            lines.append(
                f"column {column} found ({', '.join(levels)}); if these are arms, set sessions.arm,"
                " treated and untreated" + ("" if sessions.follow_up else ", and follow_up")
            )
    if design.site.column:
        lines.append(f"site: {design.site.column}")
    return lines


def guess_design(cohort: CohortVolumes, people: Participants) -> Design:
    """A design that fits these tables.

    Raises:
        TableError: no column has the two groups.
    """
    wide = _wide(cohort, people)
    people = with_session_files(by_session(people, wide, BY_SESSION))
    group, patients, controls = guess_groups(people)
    columns = [str(c) for c in people.cells.columns]
    sessions = cohort.sessions
    site = next((c for c in columns if re.fullmatch(SITE_NAMES, c, re.I)), "")
    content = {
        "table": {"by_session": wide},
        "groups": {"column": group, "patients": patients, "controls": controls},
        "covariates": _covariates(people, columns),
        **_measured(cohort),
        "families": guess_families(cohort),
        "scores": _scores(people, columns, group),
        "sessions": {
            **{"baseline": sessions[0], "follow_up": sessions[1:]},
            **(_arms(people, group, patients) if sessions[1:] else {}),
        },
        "site": {"column": site, "method": "covariate" if site else "none"},
    }
    return parse_design(content).of_measure(cohort.measure)


def guess_families(cohort: CohortVolumes) -> dict[str, list[str]]:
    """Cortex, other grey and white matter, and fluid spaces apart; totals left out.

    Of thickness: regions of the cortex, and hemispheres apart from them.
    """
    parts = [r for r in cohort.regions if not is_total(r)]
    if cohort.measure is THICKNESS:
        wholes = [r for r in parts if r.endswith(HEMISPHERE)]
        regions = [r for r in parts if r not in wholes]
        return (
            {"cortex": regions, "hemispheres": wholes} if regions and wholes else {"cortex": parts}
        )
    cortex = [r for r in parts if r.startswith("ctx-")]
    fluid = [r for r in parts if is_fluid(r)]
    rest = [r for r in parts if r not in cortex and r not in fluid]
    families = {"cortex": cortex, "structures": rest, "fluid": fluid}
    return {name: found for name, found in families.items() if found}


def _measured(cohort: CohortVolumes) -> dict[str, str]:
    """What the design says of head size, or that it asks for thickness, where it is none."""
    if cohort.measure is THICKNESS:
        return {"measure": THICKNESS.name}
    return {"etiv": VOLUME.head_size if cohort.knows_etiv else "none"}


def _beside_the_point(cohort: CohortVolumes) -> set[str]:
    """Keys that say nothing to what was measured."""
    return set() if cohort.measure is VOLUME else {"etiv", "volumes"}


def _folders(paths: Sequence[Path], cohort: CohortVolumes) -> list[str]:
    """A line on folders, which may hold more than was read of them."""
    if cohort.measure is THICKNESS or not any(path.is_dir() for path in paths):
        return []
    return [
        "volumes were read; for the thickness that such a folder may hold, set measure: thickness"
    ]


def _wide(cohort: CohortVolumes, people: Participants) -> dict[str, dict[str, str]]:
    """Scores and dates that the table has in a column for each session of the scans."""
    if any(session != NO_SESSION for _, session in people.cells.index):
        return {}
    return guess_by_session(
        [str(c) for c in people.cells.columns],
        cohort.sessions,
        lambda name: measure_called(name) is not None or is_time(name),
    )


def _spread(design: Design) -> list[str]:
    """A line for what is read from columns by session."""
    return [
        f"{name} by session: {', '.join(f'{c} ({s or NAMELESS})' for s, c in columns.items())}"
        for name, columns in design.table.by_session.items()
    ]


def _arm_columns(people: Participants, group: str, patients: str) -> dict[str, list[str]]:
    """Columns named like a trial's arm -> their levels among patients."""
    owners = people.cells.index.get_level_values(0)
    rows = people.cells[owners.isin(owners[people.cells[group] == patients])]
    named = [c for c in map(str, rows) if re.fullmatch(ARM_NAMES, c, re.I) and c != group]
    levels = {c: sorted(set(rows[c].dropna())) for c in named}
    return {column: found for column, found in levels.items() if found}


def _arms(people: Participants, group: str, patients: str) -> dict[str, str]:
    """The arm of the first column that has two, one of them named as untreated; else nothing."""
    for column, levels in _arm_columns(people, group, patients).items():
        untreated = [v for v in levels if re.fullmatch(UNTREATED_LEVELS, v, re.IGNORECASE)]
        treated = [v for v in levels if v not in untreated]
        if len(untreated) == len(treated) == 1:
            return {"arm": column, "treated": treated[0], "untreated": untreated[0]}
    return {}


def _covariates(people: Participants, columns: Sequence[str]) -> list[str]:
    """Age and sex, whatever they are called, where they vary."""
    varying = [c for c in columns if len(people.levels(c)) > 1]
    found = [next(filter(rule, varying), "") for rule in (is_age, is_sex)]
    return [c for c in columns if c in found]


def _scores(people: Participants, columns: Sequence[str], group: str) -> dict[str, str]:
    """Columns that look like a measure of the contract and hold numbers within its range."""
    scores: dict[str, str] = {}
    for column in columns:
        measure = measure_called(column)
        if measure is None or column == group or measure.name in scores:
            continue
        if within(people, column, measure):
            scores[measure.name] = column
    return scores
