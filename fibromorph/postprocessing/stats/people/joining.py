"""Scans and participants joined by the design, with everybody who is left out remembered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from fibromorph.errors import ConfigError, TableError
from fibromorph.postprocessing.names import listed
from fibromorph.postprocessing.stats.designs.design import Design
from fibromorph.postprocessing.stats.designs.families import resolve_families
from fibromorph.postprocessing.stats.people.columns import Columns, group_of, read_columns
from fibromorph.postprocessing.stats.people.enough import require_enough
from fibromorph.postprocessing.stats.people.flow import Flow
from fibromorph.postprocessing.stats.people.study import Study
from fibromorph.postprocessing.stats.people.table_notes import table_notes
from fibromorph.postprocessing.stats.tables import CohortVolumes, Participants, with_combined
from fibromorph.postprocessing.stats.tables.region_names import ETIV
from fibromorph.postprocessing.stats.tables.scan_ids import NO_SESSION, PREFIX
from fibromorph.postprocessing.stats.tables.scan_times import ACQ_TIME

LARGEST_HEAD_ML = 4000.0
"""Of the median person, whatever defines eTIV; in mm3 it is a thousand times as much."""


def build_study(
    design: Design, cohort: CohortVolumes, participants: Participants
) -> tuple[Study, Study]:
    """Join, exclude, check.

    Returns:
        (the baseline scans, the scans of all sessions that the design names); without follow-up
        sessions both are the same.

    Raises:
        ConfigError: a column, level, region or participant of the design that is not there.
        TableError: a scan of an unknown participant, a bad cell, too few people.
    """
    design = design.of_measure(cohort.measure)
    cohort = with_combined(cohort, design.combined, design.at("combined"))
    baseline = baseline_session(design, cohort)
    wanted = (baseline, *design.sessions.follow_up)
    participants, meant = participants.matched(cohort.participants)
    columns = read_columns(design, participants)
    _require_known(cohort, columns, design)
    _require_sessions(columns, wanted)
    rows = _scan_rows(cohort, wanted)
    flow = Flow("in the participants table", participants.ids)
    people = dict.fromkeys(p for (p, s) in rows.index if s == baseline)
    flow.note(
        f"with a scan{f' in session {baseline}' if baseline else ''}",
        [p for p in participants.ids if p not in people],
        len(people),
    )
    base = _excluded(rows[rows["session"] == baseline], design, cohort, columns, flow)
    columns, base, constant = _adjustable(base, cohort, columns, flow)
    design = columns.design
    _require_somebody(base, flow, participants)
    later, left_out = _later(rows[rows["session"] != baseline], base, design, cohort)
    both = pd.concat([base, later]) if len(later) else base
    index = pd.MultiIndex.from_tuples(both.index)
    covariates = _at_baseline(columns, base.index, index)
    whole = _assemble(design, cohort, columns, covariates, flow)
    whole = replace(whole, notes=(*_matched_note(meant), *constant, *whole.notes, *left_out))
    study = whole.at(baseline)
    require_enough(study, participants)
    return study, whole


def baseline_session(design: Design, cohort: CohortVolumes) -> str:
    """The session of the cross-sectional questions.

    Raises:
        ConfigError: a session of the design that no scan has.
    """
    present = cohort.sessions
    named = [s for s in (design.sessions.baseline, *design.sessions.follow_up) if s]
    for session in named:
        if session not in present:
            raise ConfigError(
                f"the session must be among those of the scans ({', '.join(present) or 'none'})",
                value=session,
                subject=design.at("sessions"),
            )
    free = [s for s in present if s not in design.sessions.follow_up]
    if not design.sessions.baseline and not free:
        raise ConfigError(
            "one session of the scans must be left for the baseline",
            value=", ".join(design.sessions.follow_up),
            subject=design.at("sessions.follow_up"),
        )
    return design.sessions.baseline or (free[0] if free else "")


def _scan_rows(cohort: CohortVolumes, wanted: Sequence[str]) -> pd.DataFrame:
    index = cohort.soft.index
    rows = pd.DataFrame({"session": [s for _, s in index]}, index=index)
    return rows[rows["session"].isin(wanted)]


def _require_known(cohort: CohortVolumes, columns: Columns, design: Design) -> None:
    known = {*columns.participants.ids}
    excluded = columns.excluded(design)
    strange = sorted(set(excluded) - known - set(cohort.participants))
    if strange:
        raise ConfigError(
            "participants must be in the tables",
            value=strange[0],
            subject=design.at("exclusions.participants"),
        )
    unknown = [p for p in cohort.participants if p not in known and p not in excluded]
    if unknown:
        raise TableError(
            f"every scan's participant must be in {columns.participants.path}; add the row,"
            " or list it under exclusions.participants",
            value=", ".join(unknown[:5]),
            subject=cohort.sources[0],
        )


def _matched_note(meant: Mapping[str, str]) -> list[str]:
    """That rows of participants were taken for scans of the same number."""
    if not meant:
        return []
    names = [f"{row.removeprefix(PREFIX)} is {scan}" for row, scan in meant.items()]
    return [f"Ids of participants that lost their zeros were matched by number: {listed(names)}."]


def _require_sessions(columns: Columns, wanted: Sequence[str]) -> None:
    """Refuse columns that belong to a session where no row is of a session that is asked for."""
    design, index = columns.design, columns.participants.cells.index
    own = {str(s) for _, s in index}
    # What BIDS says of sessions stands in a table of its own.
    beside = [ACQ_TIME] if columns.participants.session_times else []
    varying = [c for c in design.sessions.time_varying if c not in beside]
    asked = [*varying, *(score.column for score in design.scores.values())]
    fitting = own & {*wanted, *(() if varying else (NO_SESSION,))}
    if asked and not fitting:
        raise TableError(
            f"{', '.join(dict.fromkeys(asked))} belong to a session: the table's session_id must"
            f" name those of the scans ({', '.join(s or 'none' for s in wanted)})",
            value=", ".join(sorted(s or "none" for s in own)),
            subject=columns.participants.path,
        )


def _excluded(
    rows: pd.DataFrame, design: Design, cohort: CohortVolumes, columns: Columns, flow: Flow
) -> pd.DataFrame:
    """Baseline rows that stay, by name, quality, group and site."""
    named = columns.excluded(design)
    rows = flow.keep("not excluded by name", rows, _each(rows, lambda key: key[0] not in named))
    if cohort.excluded:
        stays = _each(rows, lambda key: key not in cohort.excluded)
        rows = flow.keep("not excluded in exclusions.tsv", rows, stays)
    if cohort.quality is not None and design.exclusions.quality_below > 0:
        rows = _good(rows, design, cohort, flow)
    groups = group_of(design, columns, rows.index)
    levels = f"{design.groups.patients} or {design.groups.controls}"
    rows = flow.keep(f"group known and {levels}", rows, groups.notna())
    if design.site.column:
        known_site = columns.cells(design.site.column, rows.index).notna()
        rows = flow.keep("site known", rows, known_site)
    return rows


def _adjustable(
    rows: pd.DataFrame, cohort: CohortVolumes, columns: Columns, flow: Flow
) -> tuple[Columns, pd.DataFrame, list[str]]:
    """The columns less covariates that are the same in everybody, the rows that know what is
    adjusted for, and sentences on what is not."""
    # Nobody is left out for what says nothing; and without some people, more may be the same.
    first = columns.constant(rows.index)
    columns = columns.without(first)
    if columns.design.missing.method == "drop":
        asked = "covariates" if columns.design.etiv == "none" else "covariates and eTIV"
        rows = flow.keep(f"{asked} known", rows, _complete(rows, cohort, columns))
    then = columns.constant(rows.index)
    notes = [
        f"{name} is {value} in everybody analysed: not adjusted for it."
        for name, value in {**first, **then}.items()
    ]
    return columns.without(then), rows, notes


def _complete(rows: pd.DataFrame, cohort: CohortVolumes, columns: Columns) -> pd.Series:
    """Whether all is known that is adjusted for."""
    known = columns.complete(rows.index)
    if cohort.etiv_ml is not None and cohort.knows_etiv and columns.design.etiv != "none":
        known &= cohort.etiv_ml.loc[rows.index].notna()
    return known


def _good(rows: pd.DataFrame, design: Design, cohort: CohortVolumes, flow: Flow) -> pd.DataFrame:
    assert cohort.quality is not None
    limit = design.exclusions.quality_below
    # An unknown quality is no reason to leave a scan out.
    stays = ~(cohort.quality.loc[rows.index] < limit)
    stays |= _each(rows, lambda key: key in cohort.kept)
    rule = f"quality at least {limit:g}"
    return flow.keep(f"{rule}, or kept in exclusions.tsv" if cohort.kept else rule, rows, stays)


def _later(
    rows: pd.DataFrame, base: pd.DataFrame, design: Design, cohort: CohortVolumes
) -> tuple[pd.DataFrame, list[str]]:
    """Follow-up scans of the people who stayed, of sufficient quality, and who was left out."""
    people = {p for p, _ in base.index}
    flow = Flow("follow-up scans", rows.index)
    rows = flow.keep("of people who stayed", rows, _each(rows, lambda key: key[0] in people))
    stays = _each(rows, lambda key: key not in cohort.excluded)
    rows = flow.keep("not excluded in exclusions.tsv", rows, stays)
    if cohort.quality is not None and design.exclusions.quality_below > 0 and len(rows):
        rows = _good(rows, design, cohort, flow)
    notes = [
        f"Follow-up: {len(step.left_out)} of {len(step.left_out) + step.remain} scans are left"
        f" out by the rule '{step.rule}': {step.names}."
        for step in flow.steps[2:]
        if step.left_out
    ]
    return rows, notes


def _each(rows: pd.DataFrame, rule: Callable[[tuple[str, str]], bool]) -> pd.Series:
    return pd.Series([bool(rule(key)) for key in rows.index], index=rows.index, dtype=bool)


def _at_baseline(columns: Columns, base: pd.Index, index: pd.MultiIndex) -> pd.DataFrame:
    """Covariates of all scans, as they were when the person was first scanned.

    An age at each visit would take the slope of age over people out of every person's change; what
    is to vary from scan to scan is named under `sessions.time_varying`.
    """
    first = columns.covariates(base).droplevel(1)
    return first.reindex(index.get_level_values(0)).set_axis(index)


def _assemble(
    design: Design, cohort: CohortVolumes, columns: Columns, covariates: pd.DataFrame, flow: Flow
) -> Study:
    """All that is known of the scans that `covariates` has rows of."""
    index = covariates.index
    soft, hard = cohort.soft, cohort.hard
    first, other = (soft, hard) if design.volumes == "soft" or hard is None else (hard, soft)
    families = resolve_families(design, cohort.regions)
    regions = [region for group in families.values() for region in group]
    etiv = _etiv(design, cohort)

    def at(table: pd.DataFrame | None) -> pd.DataFrame | None:
        return None if table is None else table.loc[index, regions]

    volumes = first.loc[index, regions]
    return Study(
        design=design,
        volumes=volumes,
        other_volumes=at(other),
        sd=at(cohort.sd),
        patients=group_of(design, columns, index).astype(bool),
        covariates=covariates,
        scores=columns.scores(index),
        etiv=None if etiv is None else etiv.loc[index],
        site=columns.text(design.site.column, index),
        arm=columns.text(design.sessions.arm, index),
        time_varying=columns.time_varying(index),
        families=families,
        flow=tuple(flow.steps),
        notes=table_notes(design, cohort, volumes),
        tool=cohort.tool,
        shares=cohort.shares,
        years=columns.years(index),
        repeats=cohort.repeats,
        measure=cohort.measure,
    )


def _etiv(design: Design, cohort: CohortVolumes) -> pd.Series | None:
    """The head sizes that the design asks for, or that go with what was measured in any case."""
    if design.etiv == cohort.measure.head_size == "none":
        return None
    if not cohort.knows_etiv and design.etiv != "none":
        lacking = "skull-stripped scans lack" if cohort.measure.kinds else "this table lacks"
        raise TableError(
            f"a scan must have an eTIV for this adjustment, which {lacking}; set etiv: none",
            value=f"etiv: {design.etiv}",
            subject=cohort.sources[0],
        )
    heads = cohort.etiv_ml if cohort.knows_etiv else None
    if heads is None:
        return None
    median = float(heads.median())
    if median > LARGEST_HEAD_ML and design.etiv != "none":
        raise TableError(
            f"a table in ml must have eTIV in ml, its median {LARGEST_HEAD_ML:g} at most",
            value=f"{median:g}",
            subject=f"{cohort.sources[0]}, column {ETIV}",
        )
    return heads


def _require_somebody(base: pd.DataFrame, flow: Flow, participants: Participants) -> None:
    if base.empty:
        last = next(step for step in reversed(flow.steps) if step.left_out)
        raise TableError(
            f"somebody must be left after exclusions; the last were left out by '{last.rule}'",
            value=last.names,
            subject=participants.path,
        )
