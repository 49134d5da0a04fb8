"""Joining the tables of scans and people under a design, and leaving out whom it leaves out."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

from fibromorph.errors import ConfigError, TableError
from fibromorph.postprocessing.statistics.cohort import Cohort, step
from fibromorph.postprocessing.statistics.contract import Measure, header_of, measure_named
from fibromorph.postprocessing.statistics.design import Design, Group, Sessions, Variable
from fibromorph.postprocessing.statistics.families import chosen_families
from fibromorph.postprocessing.statistics.formats import VolumeTable
from fibromorph.postprocessing.statistics.tables import Table, is_missing, looks_numeric

Key = tuple[str, str]


def variable_of(measure: Measure, header: str) -> Variable:
    """A variable of the contract under a user's own header."""
    return Variable(
        column=header,
        kind="number" if measure.numeric else "category",
        unit=measure.unit,
        low=measure.low,
        high=measure.high,
    )


def resolve(name: str, design: Design, table: Table) -> Variable:
    """Where a name of the design is found: under `variables`, in the contract, or as a header."""
    if name in design.variables:
        return design.variables[name]
    measure = measure_named(name)
    header = header_of(measure, table.headers) if measure else None
    if measure and header:
        return variable_of(measure, header)
    return Variable(column=name)


def variable_values(variable: Variable, table: Table) -> pd.Series[float] | pd.Series[str]:
    """Numbers as float, categories as text, missing as NaN.

    A column in which at least one cell is a number is numeric unless the design says 'category'.

    Raises:
        TableError: no such column, text in a number, or a number out of range.
    """
    texts = table.column(variable.column)
    if variable.kind == "number" or (variable.kind == "auto" and looks_numeric(texts)):
        return table.numbers(variable.column, variable.low, variable.high)
    return texts.where(~texts.map(is_missing), np.nan)


def normal_id(text: str) -> str:
    """Participant ids agree whether or not they carry BIDS' 'sub-'."""
    return text if text.startswith("sub-") else f"sub-{text}"


def _key(participant: str, session: str, rule: Sessions) -> Key:
    """Participant and session, the session taken from the end of the id where the rule says so."""
    found = re.search(rule.id_suffix, participant) if rule.id_suffix else None
    if found and found.group() and not session:
        return normal_id(participant[: found.start()]), found.group()
    return normal_id(participant), session


def _point_index(session: str, rule: Sessions) -> int | None:
    if not rule.points:
        return 0
    return next((i for i, p in enumerate(rule.points) if re.search(p.match, session)), None)


def scan_points(volumes: VolumeTable, rule: Sessions) -> pd.DataFrame:
    """participant, session, point and time of every scan.

    Raises:
        TableError: a session that no time point matches, or two scans of a person at one point.
    """
    keys = [_key(p, s, rule) for p, s in zip(volumes.participants, volumes.sessions, strict=True)]
    indices = [_point_index(s, rule) for _, s in keys]
    lost = sorted({s for (_, s), i in zip(keys, indices, strict=True) if i is None})
    path = volumes.table.path
    if lost:
        rule_text = "every session must match a time point: extend sessions.points in the design"
        raise TableError(rule_text, value=", ".join(map(repr, lost)), subject=path)
    seen: dict[tuple[str, int | None], int] = {}
    for row, ((person, _), index) in enumerate(zip(keys, indices, strict=True)):
        if (person, index) in seen:
            rule_text = (
                "one scan a participant and time point; several sessions need sessions.points"
            )
            raise TableError(rule_text, value=person, subject=volumes.table.line(row))
        seen[person, index] = row
    return _points_frame(keys, [i or 0 for i in indices], rule, volumes.volumes_ml.index)


def _points_frame(
    keys: list[Key], indices: list[int], rule: Sessions, index: pd.Index[int]
) -> pd.DataFrame:
    points = rule.points
    return pd.DataFrame(
        {
            "participant": [k[0] for k in keys],
            "session": [k[1] for k in keys],
            "point": [points[i].name if points else "" for i in indices],
            "time": [points[i].time if points else 0.0 for i in indices],
        },
        index=index,
    )


def _participant_rows(table: Table, rule: Sessions) -> dict[tuple[str, int], int]:
    """(participant, index of the time point) -> row of the participants table.

    Raises:
        TableError: a participant twice at one time point.
    """
    sessions = list(table.column("session_id")) if table.has("session_id") else []
    ids = table.column(table.headers[0] if not table.has("participant_id") else "participant_id")
    rows: dict[tuple[str, int], int] = {}
    for row, text in enumerate(ids):
        person, session = _key(text, sessions[row] if sessions else "", rule)
        point = _point_index(session, rule) if session or sessions else 0
        if (person, point or 0) in rows:
            rule_text = "a participant must have one row (or one a session, with session_id)"
            raise TableError(rule_text, value=person, subject=table.line(row))
        rows[person, point or 0] = row
    return rows


def _rows_of_scans(
    scans: pd.DataFrame, table: Table, design: Design
) -> tuple[list[int], list[int]]:
    """For each scan the participants row of its own time point, and the person's first row."""
    rows = _participant_rows(table, design.sessions)
    first: dict[str, int] = {}
    for (person, _), row in sorted(rows.items(), key=lambda item: item[0][1]):
        first.setdefault(person, row)
    left_out = {normal_id(p) for p in design.exclusions.participants}
    unknown = sorted(set(scans["participant"]) - set(first) - left_out)
    if unknown:
        rule = "every scanned participant must be in the table, or in exclusions.participants"
        raise TableError(rule, value=", ".join(unknown[:10]), subject=table.path)
    points = [p.name for p in design.sessions.points] or [""]
    at = [points.index(p) for p in scans["point"]]
    home = [first.get(p, -1) for p in scans["participant"]]
    own = [rows.get((p, i), h) for p, i, h in zip(scans["participant"], at, home, strict=True)]
    return own, home


def _levels(texts: pd.Series[str], group: Group, table: Table) -> pd.Series[float]:
    """1 for patients, 0 for controls, NaN for other levels.

    Raises:
        TableError: a level of the design that the column does not have.
    """
    present = sorted({t for t in texts if isinstance(t, str) and not is_missing(t)})
    for level in (group.patients, group.controls):
        if level is not None and level not in present:
            rule = f"'{group.column}' must have the level; it has: {', '.join(present)}"
            raise TableError(rule, value=level, subject=table.path)
    codes = {group.patients: 1.0}
    if group.controls is not None:
        codes[group.controls] = 0.0
    return texts.map(codes).astype(float)


def _names(design: Design) -> list[str]:
    site = [design.site.column] if design.site.column else []
    names = [*design.covariates, *design.change.covariates, *design.scores]
    return list(dict.fromkeys([*names, *design.change.time_varying, *site]))


def assemble(volumes: VolumeTable, participants: Table, design: Design) -> Cohort:
    """Join the two tables under a design, and leave out whom it leaves out.

    Raises:
        TableError: unknown column, level or participant; duplicates; text in numbers.
        ConfigError: an unknown region or exclusion.
    """
    scans = scan_points(volumes, design.sessions)
    own, home = _rows_of_scans(scans, participants, design)
    variables = {name: resolve(name, design, participants) for name in _names(design)}
    people = scans.drop(columns="session")
    group = _levels(participants.column(design.group.column), design.group, participants)
    people = people.assign(is_patient=_taken(group, home))
    for name, variable in variables.items():
        values = variable_values(variable, participants)
        varying = name in design.change.time_varying or name in design.scores
        people = people.assign(**{name: _taken(values, own if varying else home)})
    families = chosen_families(design.families.regions, list(volumes.volumes_ml.columns))
    regions = [r for members in families.values() for r in members]
    cohort = Cohort(
        people=people,
        volumes_ml=volumes.volumes_ml[regions],
        etiv_ml=volumes.etiv_ml,
        sd_ml=_companion(volumes.sd_ml, regions),
        soft_ml=_companion(volumes.soft_ml, regions),
        hard_ml=_companion(volumes.hard_ml, regions),
        families=families,
        variables=variables,
        flow=(step(people, "scans in the volumes table"),),
        notes=_scanless(participants, scans, design),
        quality={
            q.column: _quality(q.column, volumes, participants, own)
            for q in design.exclusions.quality
        },
    )
    return _checked_etiv(_excluded(cohort, design), design, volumes)


def _taken(values: pd.Series[float] | pd.Series[str], rows: list[int]) -> list[Any]:
    items: list[Any] = list(values)
    return [items[r] if r >= 0 else np.nan for r in rows]


def _companion(table: pd.DataFrame | None, regions: list[str]) -> pd.DataFrame | None:
    if table is None or not set(regions) <= set(table.columns):
        return None
    return table[regions]


def _scanless(participants: Table, scans: pd.DataFrame, design: Design) -> tuple[str, ...]:
    people = {person for person, _ in _participant_rows(participants, design.sessions)}
    missing = sorted(people - set(scans["participant"]))
    if not missing:
        return ()
    names = ", ".join(missing[:8]) + (" ..." if len(missing) > 8 else "")
    return (f"{len(missing)} participants have no scan in the volumes table: {names}.",)


def _quality(
    column: str, volumes: VolumeTable, participants: Table, own: list[int]
) -> pd.Series[float]:
    if volumes.table.has(column):
        return volumes.table.numbers(column)
    values = participants.numbers(column)
    return pd.Series([float(values.iloc[r]) if r >= 0 else np.nan for r in own])


def _excluded(cohort: Cohort, design: Design) -> Cohort:
    left_out = {normal_id(p) for p in design.exclusions.participants}
    unknown = sorted(left_out - set(cohort.people["participant"]))
    if unknown:
        rule = "exclusions.participants must be scanned participants"
        raise ConfigError(rule, value=", ".join(unknown))
    cohort = cohort.keep(~cohort.people["participant"].isin(left_out), "left out by hand")
    cohort = cohort.keep(cohort.people["is_patient"].notna(), "not in one of the two groups")
    for quality in design.exclusions.quality:
        values = cohort.quality[quality.column]
        low = values < (-np.inf if quality.minimum is None else quality.minimum)
        high = values > (np.inf if quality.maximum is None else quality.maximum)
        cohort = cohort.keep(~(low | high), f"quality: {quality.column}")
    return cohort


def _checked_etiv(cohort: Cohort, design: Design, volumes: VolumeTable) -> Cohort:
    if design.etiv.method == "none":
        return cohort
    if cohort.etiv_ml is None:
        rule = "the volumes table must have eTIV, or etiv.method must be 'none'"
        raise TableError(rule, value=design.etiv.method, subject=volumes.table.path)
    return cohort.keep(cohort.etiv_ml.notna(), "no eTIV")
