"""What a design that was written for the tables at hand leaves unused, and what does not fit."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from fibromorph.errors import FibromorphError
from fibromorph.postprocessing.names import listed
from fibromorph.postprocessing.stats.change.data import change_data
from fibromorph.postprocessing.stats.designs.contract import Measure, measure_called
from fibromorph.postprocessing.stats.designs.demographics import is_age, is_sex
from fibromorph.postprocessing.stats.designs.design import Design
from fibromorph.postprocessing.stats.groups.model import build_model
from fibromorph.postprocessing.stats.people.joining import build_study
from fibromorph.postprocessing.stats.people.sites import require_sites
from fibromorph.postprocessing.stats.tables import CohortVolumes, Participants
from fibromorph.postprocessing.stats.tables.cells import is_number

CODE = re.compile(r"-\d+|(\d)\1+")
"""What stands for "not known" where nothing else can: -9, -999, 99, 888."""
FEW = 0.2
"""Share of cells up to which those beyond a range are mistakes; of more, the scale is another."""


def who_fits(design: Design, cohort: CohortVolumes, people: Participants) -> list[str]:
    """Whom the statistics would compare, or why they would refuse these tables."""
    try:
        study, whole = build_study(design, cohort, people)
        require_sites(study)
        build_model(study)
        change_data(whole)
    except FibromorphError as error:
        return [f"does not fit yet: {error}"]
    ill = int(study.patients.sum())
    left_out = [f"left out by the rule '{s.rule}': {s.names}" for s in study.flow if s.left_out]
    return [
        *study.notes,
        *left_out,
        f"{ill} patients and {len(study.patients) - ill} controls fit",
    ]


def unused(design: Design, people: Participants, told: Collection[str] = ()) -> list[str]:
    """A line on the columns that the design does not use, and why; none if it uses all.

    Args:
        told: columns of which something is said elsewhere.
    """
    used = {
        *told,
        *(design.groups.column, design.site.column, design.sessions.arm),
        *(*design.covariates, *design.sessions.time_varying),
        *(score.column for score in design.scores.values()),
    }
    others = [str(c) for c in people.cells.columns if c not in used]
    reasons = {column: _reason(design, people, column) for column in others}
    told = [f"{column} ({reason})" for column, reason in reasons.items() if reason]
    strange = [column for column, reason in reasons.items() if not reason]
    if strange:
        told.append(f"{listed(strange)} (no name that is known: name what is a score or covariate)")
    return [f"not used: {', '.join(told)}"] if told else []


def within(people: Participants, column: str, measure: Measure) -> bool:
    """Whether a column holds nothing but numbers that the measure may have."""
    return not _broken(people, column, measure)


def _reason(design: Design, people: Participants, column: str) -> str:
    levels = people.levels(column)
    if len(levels) < 2:
        nothing = " or nothing" if people.cells[column].isna().any() else ""
        return f"{levels[0]}{nothing} in everybody" if levels else "empty"
    for kind, rule in (("age", is_age), ("sex", is_sex)):
        if rule(column):
            return f"{kind} is taken from {next(filter(rule, design.covariates))}"
    measure = measure_called(column)
    if measure is None:
        return ""
    if measure.name in design.scores:
        return f"{measure.name} is taken from {design.scores[measure.name].column}"
    return _broken(people, column, measure)


def _broken(people: Participants, column: str, measure: Measure) -> str:
    """Why a column cannot be this measure; '' if it can."""
    found = enumerate(people.cells[column])
    cells = [(people.line(row, column), cell) for row, cell in found if cell]
    texts = [(line, cell) for line, cell in cells if not is_number(cell)]
    if len(texts) > FEW * len(cells) and not is_number(texts[0][1].replace(",", ".")):
        return "text"
    if texts:
        line, cell = texts[0]
        comma = is_number(cell.replace(",", "."))
        return f"{cell} in {line}: {'a decimal comma' if comma else 'no number'}"
    return _beyond([(line, float(cell)) for line, cell in cells], measure)


def _beyond(cells: Sequence[tuple[str, float]], measure: Measure) -> str:
    high = float("inf") if measure.high is None else measure.high
    outside = [(line, value) for line, value in cells if not measure.low <= value <= high]
    if not outside:
        return ""
    bounds = f"{measure.low:g} and more" if measure.high is None else f"{measure.low:g}-{high:g}"
    (line, value), values = outside[0], [value for _, value in cells]
    if all(CODE.fullmatch(f"{found:g}") for _, found in outside):
        return f"{value:g} in {line}: a missing code?"
    if len(outside) <= FEW * len(cells):
        return f"{value:g} in {line}, beyond {measure.name}'s {bounds}"
    return f"{min(values):g}-{max(values):g}, beyond {measure.name}'s {bounds}"
