"""Which scans answer a longitudinal question, and against whom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from fibromorph.errors import TableError
from fibromorph.postprocessing.stats.flow import SHOWN
from fibromorph.postprocessing.stats.head_size import adjust
from fibromorph.postprocessing.stats.linear import (
    Bools,
    Floats,
    Ints,
    dependent_column,
    independent_columns,
)
from fibromorph.postprocessing.stats.model import centred, site_indicators
from fibromorph.postprocessing.stats.study import SMALLEST_GROUP, Study, baseline_of
from fibromorph.postprocessing.stats.tables.region_names import ETIV


@dataclass(frozen=True, eq=False)
class ChangeData:
    """Scans of two or more sessions, n rows.

    Attributes:
        volumes: (n, R) ml, head size taken out where the design does so.
        sd: (n, R) or None.
        treated: (n,) True for those whose change is asked for; all True without comparison.
        nuisance: (n, k) intercept and centred covariates, of people and of scans.
        person: (n,) number of the participant.
        people: their names, by number.
        session: (n,) name.
        baseline: session.
        follow_up: sessions.
        contrast: what is compared, in words.
        compared: whether there is a comparison group.
        arms: whether both groups are arms of patients, alike at baseline but for chance.
    """

    volumes: pd.DataFrame
    sd: pd.DataFrame | None
    treated: Bools
    nuisance: pd.DataFrame
    person: Ints
    people: list[str]
    session: np.ndarray
    baseline: str
    follow_up: tuple[str, ...]
    contrast: str
    compared: bool
    arms: bool

    def design(self) -> tuple[Floats, dict[str, int]]:
        """(n, p) matrix, and the column of each follow-up session's contrast."""
        times = [(self.session == s).astype(float) for s in self.follow_up]
        columns = [*self.nuisance.to_numpy(float).T]
        if self.compared:
            columns += [self.treated.astype(float), *times]
            times = [time * self.treated for time in times]
        first = len(columns)
        matrix = np.column_stack([*columns, *times])
        return matrix, {s: first + i for i, s in enumerate(self.follow_up)}

    def independent(self, region: str, known: Bools) -> tuple[Floats, dict[str, int]]:
        """`design` at the known volumes of a region, without covariates that say nothing there.

        Raises:
            TableError: the change follows from the covariates.
        """
        matrix, columns = self.design()
        matrix, first = matrix[known], self.nuisance.shape[1]
        # Covariates last: what follows from group and session is taken out, not these.
        order = [0, *range(first, matrix.shape[1]), *range(1, first)]
        kept = sorted(order[column] for column in independent_columns(matrix[:, order]))
        if not {0, *range(first, matrix.shape[1])} <= {*kept}:
            raise TableError(
                "change needs scans of all groups and sessions; take the region out of"
                " families, or the session out of sessions.follow_up",
                value=region,
                subject="the volumes",
            )
        return matrix[:, kept], {s: kept.index(c) for s, c in columns.items()}

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
    design = whole.design
    if not design.sessions.follow_up:
        return None
    study, treated, contrast, compared = _choose(whole)
    session = np.array(study.sessions, dtype=object)
    numbers, people = pd.factorize(np.array(study.participants, dtype=object))
    volumes, factor = _volumes(study)
    data = ChangeData(
        volumes=volumes,
        sd=study.sd if study.sd is None or factor is None else study.sd * factor,
        treated=treated.to_numpy(bool),
        nuisance=_nuisance(study),
        person=numbers,
        people=[str(p) for p in people],
        session=session,
        baseline=baseline_of(whole),
        follow_up=design.sessions.follow_up,
        contrast=contrast,
        compared=compared,
        arms=whole.arm is not None,
    )
    _require_pairs(data)
    _require_rank(data)
    return data


def _choose(whole: Study) -> tuple[Study, pd.Series, str, bool]:
    sessions = whole.design.sessions
    known = _known_times(whole)
    if whole.arm is not None:
        member = whole.patients & whole.arm.isin([sessions.treated, sessions.untreated]) & known
        study = whole.rows(member)
        assert study.arm is not None
        contrast = f"{sessions.treated} against {sessions.untreated}"
        return study, study.arm == sessions.treated, contrast, True
    returned = set(whole.rows(known & ~_is_baseline(whole) & ~whole.patients).participants)
    if len(returned) >= SMALLEST_GROUP:
        study = whole.rows(known)
        return study, study.patients, "patients against controls", True
    study = whole.rows(known & whole.patients)
    return study, study.patients, "patients alone", False


def unknown_note(whole: Study) -> tuple[str, ...]:
    """A sentence on scans whose covariates are not known, if there are any."""
    unknown = whole.volumes.index[~_known_times(whole)]
    if not len(unknown):
        return ()
    names = ", ".join(f"{p} {s}".strip() for p, s in unknown[:SHOWN])
    more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
    return (f"Change leaves out {len(unknown)} scans with unknown covariates: {names}{more}.",)


def _known_times(whole: Study) -> pd.Series:
    """Rows whose covariates, of people and of scans, are known."""
    known = whole.covariates.notna().all(axis=1) & whole.time_varying.notna().all(axis=1)
    if whole.etiv is not None and whole.design.etiv != "none":
        known &= _etiv_of_people(whole).notna()
    return known


def _is_baseline(whole: Study) -> pd.Series:
    baseline = baseline_of(whole)
    return pd.Series([s == baseline for s in whole.sessions], index=whole.volumes.index)


def _etiv_of_people(study: Study) -> pd.Series:
    """A head keeps its size: the mean over a person's sessions, less noisy than any one."""
    assert study.etiv is not None
    return study.etiv.groupby(level=0).transform("mean")


def _volumes(study: Study) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    etiv = None if study.etiv is None else _etiv_of_people(study)
    controls = ~study.patients
    fitted_on = controls if controls.any() else study.patients
    return adjust(study.volumes, etiv, fitted_on, study.design.etiv)


def _nuisance(study: Study) -> pd.DataFrame:
    parts = [study.covariates, study.time_varying]
    if study.etiv is not None and study.design.etiv == "covariate":
        parts.append(_etiv_of_people(study).to_frame(ETIV))
    if study.site is not None and study.design.site.method != "none":
        parts.append(site_indicators(study.site))
    table = pd.concat(parts, axis=1)
    # Covariates that do not vary among these people (sex in a study of women) say nothing.
    return centred(table.loc[:, table.nunique() > 1])


def _require_pairs(data: ChangeData) -> None:
    treated = data.treated_people()
    groups = {"treated": treated, "compared": ~treated} if data.compared else {"treated": treated}
    for region in map(str, data.volumes.columns):
        before = ~np.isnan(data.values_at(region, data.baseline))
        for session in data.follow_up:
            both = before & ~np.isnan(data.values_at(region, session))
            for title, members in groups.items():
                pairs = int(both[members].sum())
                if pairs < SMALLEST_GROUP:
                    raise TableError(
                        f"change needs {SMALLEST_GROUP} people a group with a region's volume at"
                        f" baseline and follow-up ({data.contrast}, {title}); take the session out"
                        " of sessions.follow_up, or the region out of families",
                        value=f"{region}, {session}: {pairs}",
                        subject="design, key sessions",
                    )


def _require_rank(data: ChangeData) -> None:
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
            subject="design, keys covariates, site, sessions.time_varying",
        )
    raise TableError(
        f"change needs scans of every group in every session ({data.contrast})",
        value=", ".join(data.follow_up),
        subject="design, key sessions.follow_up",
    )
