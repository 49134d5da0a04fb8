"""The participants' columns that a design asks for, looked up by scan, checked and coded."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from fibromorph.errors import ConfigError, TableError
from fibromorph.postprocessing.stats.designs.contract import BY_NAME
from fibromorph.postprocessing.stats.designs.demographics import is_age, is_sex
from fibromorph.postprocessing.stats.designs.design import Design
from fibromorph.postprocessing.stats.designs.sections import Score
from fibromorph.postprocessing.stats.tables import Participants
from fibromorph.postprocessing.stats.tables.participants import FEW_LEVELS
from fibromorph.postprocessing.stats.tables.scan_ids import NO_SESSION, with_prefix
from fibromorph.postprocessing.stats.tables.scan_times import ACQ_TIME

OLDEST = 120
MOST_SEXES = 3


@dataclass(frozen=True, eq=False)
class Columns:
    """Values of the participants table for scans.

    A scan takes the row of its own session, else the participant's row without session; what
    belongs to a person (group, covariates, site, arm) else the first row that knows it. What varies
    with time, and a score at follow-up, takes the row of its own session only: a value that holds
    for all sessions does not change.
    """

    design: Design
    participants: Participants

    def cells(self, column: str, index: pd.Index) -> pd.Series:
        """Text of a column that belongs to a person, by scan; None = missing."""
        found = _looked_up(self.participants.cells[column], index, borrow=True)
        return pd.Series(found, index=index, dtype=object, name=column)

    def numbers(self, column: str, index: pd.Index, *, borrow: bool = True) -> pd.Series:
        """Numbers of a column, by scan; NaN = missing; `borrow` as for what belongs to a person."""
        found = _looked_up(self.participants.numbers(column), index, borrow=borrow)
        return pd.Series(found, index=index, dtype=float, name=column)

    def text(self, column: str, index: pd.Index) -> pd.Series | None:
        """Text of an optional column; None if the design leaves it out."""
        return self.cells(column, index) if column else None

    def constant(self, index: pd.Index) -> dict[str, str]:
        """Covariates that are the same in all scans, with what they are there."""
        known = {name: self._values(name, index).dropna() for name in self.design.covariates}
        return {n: _shown(v.iloc[0]) for n, v in known.items() if v.nunique() == 1}

    def without(self, covariates: Collection[str]) -> Columns:
        """The columns of the design less some of its covariates."""
        left = tuple(name for name in self.design.covariates if name not in covariates)
        return replace(self, design=self.design.model_copy(update={"covariates": left}))

    def complete(self, index: pd.Index) -> pd.Series:
        """Whether all covariates of a scan are known."""
        known = pd.Series(True, index=index)
        for name in self.design.covariates:
            known &= self.cells(name, index).notna()
        return known

    def covariates(self, index: pd.Index) -> pd.DataFrame:
        """Numbers as they are; texts as one indicator a level but the first."""
        parts: dict[str, pd.Series] = {}
        for name in self.design.covariates:
            if self._is_numeric(name):
                parts[name] = self.numbers(name, index)
            else:
                parts.update(self._indicators(name, index))
        return pd.DataFrame(parts, index=index)

    def scores(self, index: pd.Index) -> pd.DataFrame:
        """Scores by their name."""
        columns = {}
        for name, score in self.design.scores.items():
            own = _of_session(self.participants.numbers(score.column), index)
            found = self.numbers(score.column, index, borrow=False)
            columns[name] = found.where(~index.isin(self.design.sessions.follow_up, level=1), own)
        return pd.DataFrame(columns, index=index)

    def time_varying(self, index: pd.Index) -> pd.DataFrame:
        """Numbers of what varies with time, NaN where a scan's session has no row of its own."""
        names = self.design.sessions.time_varying
        columns = {n: _of_session(self.participants.varying(n), index) for n in names}
        return pd.DataFrame(columns, index=index, dtype=float)

    def years(self, index: pd.Index) -> pd.Series | None:
        """Years since the person's first scan, named as their column; None where nothing tells."""
        found = self.participants.times()
        return None if found is None else _of_session(found[1], index).rename(found[0])

    def excluded(self, design: Design) -> list[str]:
        """Names under `exclusions.participants`, with their prefix."""
        return [with_prefix(name) for name in design.exclusions.participants]

    def _is_numeric(self, covariate: str) -> bool:
        return self.participants.is_numeric(covariate, self.design.table.categorical)

    def _values(self, covariate: str, index: pd.Index) -> pd.Series:
        read = self.numbers if self._is_numeric(covariate) else self.cells
        return read(covariate, index)

    def _indicators(self, name: str, index: pd.Index) -> dict[str, pd.Series]:
        cells = self.cells(name, index)
        levels = sorted({str(c) for c in cells if c is not None})
        if len(levels) > FEW_LEVELS:
            raise TableError(
                f"a covariate of text may have {FEW_LEVELS} levels at most",
                value=len(levels),
                subject=f"{self.participants.path}, column {name}",
            )
        if not levels:
            raise TableError(
                "a covariate must be known in somebody; take it out of covariates",
                subject=f"{self.participants.path}, column {name}",
            )
        return {
            f"{name}[{level}]": cells.map(
                lambda cell, level=level: np.nan if cell is None else float(cell == level)
            ).astype(float)
            for level in levels[1:]
        }


def _of_session(values: pd.Series, index: pd.Index) -> pd.Series:
    """Numbers from the rows of each scan's own session; NaN where there is no such row."""
    return pd.Series([values.get(key, np.nan) for key in index], index=index, dtype=float)


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _looked_up(values: pd.Series, index: pd.Index, *, borrow: bool) -> list[object]:
    """Each scan's value, None where no row knows it."""
    known = {key: value for key, value in zip(values.index, values, strict=True) if pd.notna(value)}
    first: dict[str, object] = {}
    for (participant, _), value in known.items():
        first.setdefault(participant, value)
    found = []
    for participant, session in index:
        other = first.get(participant) if borrow else None
        without_session = known.get((participant, NO_SESSION), other)
        found.append(known.get((participant, session), without_session))
    return found


def read_columns(design: Design, participants: Participants) -> Columns:
    """Check every column that the design names.

    Raises:
        ConfigError: a level that the group or arm column does not have.
        TableError: a column that is not there, text in a number, a score out of its range.
    """
    participants.require(design.groups.column, design.at("groups.column"))
    for level, key in ((design.groups.patients, "patients"), (design.groups.controls, "controls")):
        _require_level(participants, design.groups.column, level, design.at(f"groups.{key}"))
    _require_one_spelling(
        participants, design.groups.column, [design.groups.patients, design.groups.controls]
    )
    _require_one_value(participants, design.groups.column)
    for name in design.covariates:
        participants.require(name, design.at("covariates"))
        _require_age(participants, name)
        if is_sex(name) and name not in design.table.categorical:
            _require_sexes(participants, name)
    for name, score in design.scores.items():
        participants.require(score.column, design.at(f"scores.{name}"))
        _require_range(participants, name, score)
    for column, key in ((design.site.column, "site.column"), (design.sessions.arm, "sessions.arm")):
        if column:
            participants.require(column, design.at(key))
    if design.sessions.arm:
        for key in ("treated", "untreated"):
            level = getattr(design.sessions, key)
            _require_level(participants, design.sessions.arm, level, design.at(f"sessions.{key}"))
        arms = [design.sessions.treated, design.sessions.untreated]
        _require_one_spelling(participants, design.sessions.arm, arms)
        _require_one_value(participants, design.sessions.arm)
    if site := design.site.column:
        _require_one_spelling(participants, site, participants.levels(site))
    for column in design.sessions.time_varying:
        if column != ACQ_TIME or not participants.session_times:
            participants.require(column, design.at("sessions.time_varying"))
    return Columns(design, participants)


def group_of(design: Design, columns: Columns, index: pd.Index) -> pd.Series:
    """True for patients, False for controls, missing for anybody else."""
    known = {design.groups.patients: True, design.groups.controls: False}
    cells = columns.cells(design.groups.column, index)
    return cells.map(known.get).astype(object)


def _require_level(participants: Participants, column: str, level: str, where: str) -> None:
    levels = participants.levels(column)
    if level not in levels:
        raise ConfigError(
            f"the level must be in column {column} of {participants.path}"
            f" (it has {', '.join(levels[:12])})",
            value=level,
            subject=where,
        )


def _require_one_spelling(participants: Participants, column: str, asked: Sequence[str]) -> None:
    """Refuse levels that differ from one that is asked for in capitals alone.

    Each spelling would be a group, an arm or a site of its own.
    """
    every = participants.levels(column)
    for level in asked:
        alike = [v for v in every if v != level and v.casefold() == level.casefold()]
        if alike:
            rule = f"a level must be spelled alike in all rows: {level}"
            where = f"{participants.path}, column {column}"
            raise TableError(rule, value=alike[0], subject=where)


def _require_one_value(participants: Participants, column: str) -> None:
    """Refuse a person who is a patient in one session's row and a control in another's."""
    first: dict[str, str] = {}
    cells = participants.cells[column]
    for (person, session), cell in zip(cells.index, cells, strict=True):
        if cell is not None and first.setdefault(person, cell) != cell:
            raise TableError(
                f"{column} must be the same in all rows of a person: {first[person]}",
                value=f"{person}: {cell}",
                subject=participants.at((person, session), column),
            )


def _require_age(participants: Participants, name: str) -> None:
    if not is_age(name) or not participants.is_numeric(name):
        return
    for key, value in participants.numbers(name).items():
        if not 0 <= value <= OLDEST and not np.isnan(value):
            raise TableError(
                f"an age must be within 0 to {OLDEST} years; a code for 'not known' belongs to"
                " table.missing_codes",
                value=f"{value:g}",
                subject=participants.at((str(key[0]), str(key[1])), name),  # type: ignore[index]
            )


def _require_sexes(participants: Participants, name: str) -> None:
    """Refuse a code among two sexes, which would weigh as a number, and spellings as sexes."""
    if participants.is_numeric(name):
        found = [f"{value:g}" for value in sorted({*participants.numbers(name).dropna()})]
        most = 2
    else:
        found, most = participants.levels(name), MOST_SEXES
        _require_one_spelling(participants, name, found)
    if len(found) > most:
        raise TableError(
            f"a sex may have {most} levels, spelled alike in all rows; a code for 'not known'"
            " belongs to table.missing_codes, and a column with more to table.categorical",
            value=", ".join(found[:12]),
            subject=f"{participants.path}, column {name}",
        )


def _require_range(participants: Participants, name: str, score: Score) -> None:
    low, high = score.limits(name)
    values = participants.numbers(score.column)
    for key, value in zip(values.index, values, strict=True):
        if (low is not None and value < low) or (high is not None and value > high):
            unit = f" ({BY_NAME[name].unit})" if name in BY_NAME else ""
            shown = f"{'' if low is None else f'{low:g}'} to {'' if high is None else f'{high:g}'}"
            raise TableError(
                f"{name} must be within {shown}{unit}; correct the cell, or give scores.{name}"
                " its own low and high",
                value=f"{value:g}",
                subject=participants.at(key, score.column),
            )
