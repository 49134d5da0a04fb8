"""Which scans answer a longitudinal question, and against whom."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from fibromorph.errors import TableError
from fibromorph.postprocessing.names import listed
from fibromorph.postprocessing.stats.change.covariates import (
    LEAST_DF,
    etiv_of_people,
    of_changes,
    of_levels,
)
from fibromorph.postprocessing.stats.change.question import (
    Question,
    choose,
    controls_returned,
)
from fibromorph.postprocessing.stats.designs.design import Design
from fibromorph.postprocessing.stats.models.linear import (
    Bools,
    Floats,
    Ints,
    dependent_column,
    independent_columns,
)
from fibromorph.postprocessing.stats.people.head_size import adjust
from fibromorph.postprocessing.stats.people.study import SMALLEST_GROUP, Study, baseline_of
from fibromorph.postprocessing.stats.tables.measure import VOLUME, BrainMeasure


@dataclass(frozen=True, eq=False)
class ChangeMatrix:
    """The design of one region.

    Attributes:
        values: (n, p) of full rank; the last columns are the sessions' contrasts, and where there
            is a comparison group, before them the sessions, and before those who is treated.
        columns: session -> the column of its contrast.
        adjusting: session -> how many covariates its change is adjusted for.
    """

    values: Floats
    columns: dict[str, int]
    adjusting: dict[str, int]

    def apart(self) -> Floats:
        """(n, p) the same model with each group's own change for columns.

        A contrast's column is now the change of the treated, and as many columns as there are
        sessions before it that of those whom they are compared with.
        """
        count = len(self.columns)
        values = self.values.copy()
        values[:, -2 * count : -count] -= values[:, -count:]
        return values


@dataclass(frozen=True, eq=False)
class ChangeData:
    """Scans of two or more sessions, n rows.

    Attributes:
        volumes: (n, R) ml or mm, head size taken out where the design does so.
        sd: (n, R) or None; within people, see `Study.sd_within`.
        treated: (n,) True for those whose change is asked for; all True without comparison.
        nuisance: (n, k) intercept and centred covariates, of people and of scans.
        slopes: (n, m) people's covariates in each follow-up session, which change is adjusted for.
        person: (n,) number of the participant.
        people: their names, by number.
        session: (n,) name.
        baseline: session.
        follow_up: sessions.
        contrast: what is compared, in words.
        against: whom the treated are compared with, in words; '' = nobody.
        arms: whether both groups are arms of patients, alike at baseline but for chance.
        notes: what was left out, for the reader.
        measure: what `volumes` are.
    """

    volumes: pd.DataFrame
    sd: pd.DataFrame | None
    treated: Bools
    nuisance: pd.DataFrame
    slopes: pd.DataFrame
    person: Ints
    people: list[str]
    session: np.ndarray
    baseline: str
    follow_up: tuple[str, ...]
    contrast: str
    against: str
    arms: bool
    notes: tuple[str, ...] = ()
    measure: BrainMeasure = VOLUME

    @property
    def compared(self) -> bool:
        """Whether there is a comparison group."""
        return bool(self.against)

    @property
    def groups(self) -> dict[str, Bools]:
        """Title -> (people,) its members."""
        treated = self.treated_people()
        return {"treated": treated, "compared": ~treated} if self.compared else {"treated": treated}

    def noting(self, sentence: str) -> ChangeData:
        """The same with one more note."""
        return replace(self, notes=(*self.notes, sentence))

    def design(self) -> tuple[Floats, dict[str, int]]:
        """(n, p) matrix, and the column of each follow-up session's contrast."""
        times = [(self.session == s).astype(float) for s in self.follow_up]
        columns = [*self.nuisance.to_numpy(float).T, *self.slopes.to_numpy(float).T]
        if self.compared:
            columns += [self.treated.astype(float), *times]
            times = [time * self.treated for time in times]
        first = len(columns)
        matrix = np.column_stack([*columns, *times])
        return matrix, {s: first + i for i, s in enumerate(self.follow_up)}

    def independent(self, region: str, known: Bools) -> ChangeMatrix:
        """`design` at the known volumes of a region, without covariates that say nothing there.

        Raises:
            TableError: the change follows from the covariates.
        """
        matrix, columns = self.design()
        first = self.nuisance.shape[1] + self.slopes.shape[1]
        kept = _independent(matrix[known], first)
        if not {0, *range(first, matrix.shape[1])} <= {*kept}:
            raise TableError(
                "change needs scans of all groups and sessions; take the region out of"
                " families, or the session out of sessions.follow_up",
                value=region,
                subject=f"the {self.measure.many}",
            )
        names = [*self.nuisance, *self.slopes]
        adjusting = [str(names[c]) for c in kept if self.nuisance.shape[1] <= c < first]
        return ChangeMatrix(
            values=matrix[known][:, kept],
            columns={s: kept.index(c) for s, c in columns.items()},
            adjusting={s: sum(name.endswith(f" x {s}") for name in adjusting) for s in columns},
        )

    def pairs(self, region: str, session: str) -> Bools:
        """(people,) who has a volume both at baseline and in a later session."""
        before = self.values_at(region, self.baseline)
        return ~np.isnan(before) & ~np.isnan(self.values_at(region, session))

    def values_at(self, region: str, session: str) -> Floats:
        """(people,) volumes in one session; NaN where there is none."""
        return self._spread(self.volumes[region].to_numpy(float), session)

    def sd_at(self, region: str, session: str) -> Floats | None:
        """(people,) their standard deviations; None where not known."""
        return None if self.sd is None else self._spread(self.sd[region].to_numpy(float), session)

    def treated_people(self) -> Bools:
        """(people,) True for those whose change is asked for."""
        out = np.zeros(len(self.people), dtype=bool)
        out[self.person] = self.treated
        return out

    def _spread(self, values: Floats, session: str) -> Floats:
        out = np.full(len(self.people), np.nan)
        rows = self.session == session
        out[self.person[rows]] = values[rows]
        return out


def change_data(whole: Study) -> ChangeData | None:
    """The rows of the longitudinal question; None if the design names no follow-up.

    With arms, treated against untreated patients; else patients against controls where enough
    controls came back; else patients alone.

    Raises:
        TableError: fewer than five people of a group with a volume at baseline and at a follow-up,
            or a covariate that follows from group and session.
    """
    sessions = whole.design.sessions
    if not sessions.follow_up:
        return None
    question = choose(whole)
    data = _assemble(whole, question, sessions.follow_up)
    thin = [s for s in data.follow_up if _is_thin(data, s)]
    if thin and len(thin) < len(data.follow_up):
        question = question.without(thin)
        data = _assemble(whole, question, tuple(s for s in data.follow_up if s not in thin))
        data = data.noting(
            f"Change leaves out session {listed(thin)}: fewer than {SMALLEST_GROUP} people of a"
            " group have a scan there and at baseline."
        )
    if data.arms and controls_returned(whole):
        data = data.noting(
            "Controls were scanned again, too. Between arms their change is not used: distances are"
            " to controls as they were at baseline, and what ageing takes from controls is not in"
            " them."
        )
    _require_pairs(data, whole.design)
    _require_rank(data, whole.design)
    return data if sessions.adjust == "level" else _adjust_change(data, question.study)


def _assemble(whole: Study, question: Question, follow_up: tuple[str, ...]) -> ChangeData:
    """Adjusted for covariates in level, not yet in change."""
    study = question.study
    numbers, people = pd.factorize(np.array(study.participants, dtype=object))
    volumes, factor = _volumes(study)
    sd = study.sd_within
    return ChangeData(
        volumes=volumes,
        sd=sd if sd is None or factor is None else sd * factor,
        treated=question.treated.to_numpy(bool),
        nuisance=of_levels(study),
        slopes=pd.DataFrame(index=study.volumes.index),
        person=numbers,
        people=[str(p) for p in people],
        session=np.array(study.sessions, dtype=object),
        baseline=baseline_of(whole),
        follow_up=follow_up,
        contrast=question.contrast,
        against=question.against,
        arms=whole.arm is not None,
        measure=study.measure,
    )


def _adjust_change(data: ChangeData, study: Study) -> ChangeData:
    """With the covariates that change can be adjusted for, and a note on those that it cannot."""
    slopes = of_changes(study, data.follow_up)
    if slopes.empty:
        return data
    pairs = [int(data.pairs(str(r), s).sum()) for r in data.volumes for s in data.follow_up]
    columns = 1 + data.compared + slopes.shape[1] // len(data.follow_up)
    if min(pairs) - columns < LEAST_DF:
        return data.noting(
            "Covariates are adjusted for in level, not in change: with both scans of"
            f" {min(pairs)} people that would leave fewer than {LEAST_DF} degrees of freedom."
        )
    first = data.nuisance.shape[1]
    adjusting = replace(data, slopes=slopes)
    kept = _independent(adjusting.design()[0], first + slopes.shape[1])
    told = [name for column, name in enumerate(slopes, first) if column in kept]
    lost = [str(name) for name in slopes if name not in told]
    adjusting = replace(adjusting, slopes=slopes[told])
    if not lost:
        return adjusting
    return adjusting.noting(
        f"Change is not adjusted for {listed(lost)}, which cannot be told apart from group and"
        " session among those who came back."
    )


def _volumes(study: Study) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    etiv = None if study.etiv is None else etiv_of_people(study)
    controls = ~study.patients
    fitted_on = controls if controls.any() else study.patients
    return adjust(study.volumes, etiv, fitted_on, study.design.etiv)


def _fewest(data: ChangeData, region: str, session: str) -> tuple[int, str]:
    """The smaller group's number of people with both volumes, and which group it is."""
    both = data.pairs(region, session)
    return min((int(both[members].sum()), title) for title, members in data.groups.items())


def _is_thin(data: ChangeData, session: str) -> bool:
    """Whether no region of a session has the people that change needs."""
    return all(_fewest(data, str(r), session)[0] < SMALLEST_GROUP for r in data.volumes)


def _require_pairs(data: ChangeData, design: Design) -> None:
    for region in map(str, data.volumes.columns):
        for session in data.follow_up:
            pairs, title = _fewest(data, region, session)
            if pairs < SMALLEST_GROUP:
                raise TableError(
                    f"change needs {SMALLEST_GROUP} people a group with a region's"
                    f" {data.measure.name} at baseline and follow-up ({data.contrast}, {title});"
                    " take the session out of sessions.follow_up, or the region out of families",
                    value=f"{region}, {session}: {pairs}",
                    subject=design.at("sessions"),
                )


def _independent(matrix: Floats, covariates: int) -> list[int]:
    """Columns of full rank: what follows from group and session is taken out, not these.

    Args:
        matrix: (n, p), first the intercept and covariates.
        covariates: how many columns these are.
    """
    order = [0, *range(covariates, matrix.shape[1]), *range(1, covariates)]
    return sorted(order[column] for column in independent_columns(matrix[:, order]))


def _require_rank(data: ChangeData, design: Design) -> None:
    matrix, _ = data.design()
    names = [str(name) for name in data.nuisance.columns]
    order = [0, *range(len(names), matrix.shape[1]), *range(1, len(names))]
    column = dependent_column(matrix[:, order])
    if column is None:
        return
    if order[column] < len(names):
        raise TableError(
            "a covariate of the change model must not follow from group, session and the others:"
            " its effect and the change could not be told apart; take it out",
            value=names[order[column]],
            subject=design.at("covariates", "site", "sessions.time_varying"),
        )
    raise TableError(
        f"change needs scans of every group in every session ({data.contrast})",
        value=", ".join(data.follow_up),
        subject=design.at("sessions.follow_up"),
    )
