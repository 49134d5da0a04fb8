"""Whether volumes change in those whose pain, mood or activity changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fibromorph.postprocessing.names import listed
from fibromorph.postprocessing.stats.change.data import ChangeData
from fibromorph.postprocessing.stats.designs.contract import score_title
from fibromorph.postprocessing.stats.designs.design import Design
from fibromorph.postprocessing.stats.designs.sections import CorrelationMethod
from fibromorph.postprocessing.stats.groups.model import INTERCEPT
from fibromorph.postprocessing.stats.models.effects import false_discovery
from fibromorph.postprocessing.stats.models.linear import (
    Bools,
    Floats,
    has_full_rank,
    independent_columns,
)
from fibromorph.postprocessing.stats.models.permutation import OwnModel, freedman_lane_each
from fibromorph.postprocessing.stats.models.slopes import slopes
from fibromorph.postprocessing.stats.people.study import SMALLEST_DF, SMALLEST_GROUP, Study
from fibromorph.postprocessing.stats.scores.correlation import (
    detectable_correlation,
    linearised,
    partial_correlation,
)
from fibromorph.postprocessing.stats.scores.responders import count_responders, score_at
from fibromorph.postprocessing.stats.scores.scope import FLOOR_SHARE

BOTH_ARMS, BOTH, PATIENTS, CONTROLS = "both arms", "both", "patients", "controls"
ALL = ""
"""Of which regions nothing can be said, where it is all of them."""
FEWEST_VALUES = 3
"""Different changes of a score that somebody must show for it to be related to anything."""
COLUMNS = (
    *("region", "session", "score", "group", "n", "method", "r", "ci_low", "ci_high"),
    *("p", "p_fdr", "p_permutation", "p_fwe"),
)
"""The order that `change_associations.tsv` begins with."""


@dataclass(frozen=True, eq=False)
class ScoreChange:
    """What was found: `change_associations.tsv`, `responders.tsv`, and sentences for the reader."""

    table: pd.DataFrame
    responders: pd.DataFrame
    notes: tuple[str, ...]

    @property
    def primary(self) -> pd.DataFrame:
        """By the design's first method, in all people together, strongest evidence first."""
        if self.table.empty:
            return self.table
        first = self.table.groupby(["score", "session"], sort=False)["group"].transform("first")
        method = str(self.table["method"].iloc[0])
        rows: pd.Series = (self.table["group"] == first) & (self.table["method"] == method)
        return self.table[rows].sort_values(["p_fwe", "p"])


@dataclass(frozen=True, eq=False)
class Followed:
    """One score in one group of the people followed up to one session; n people, all of them.

    Attributes:
        data: their volumes.
        name, session, group: of score, follow-up and group.
        before, after: (n,) score at baseline and at follow-up, NaN = missing.
        members: (n,) those of the group who have both, and what is adjusted for.
        table: (n, k) covariates of people, with the arm or group where there are two.
        compared: (n,) True for the first of two groups; None = one group.
    """

    data: ChangeData
    name: str
    session: str
    group: str
    before: Floats
    after: Floats
    members: Bools
    table: Floats
    compared: Bools | None

    @property
    def change(self) -> Floats:
        """(n,) score at follow-up less at baseline."""
        return self.after - self.before

    def at(self, region: str) -> FollowedRegion:
        """What is known of a region.

        Adjusted for are both baselines and `table`, but for what says nothing in these people. With
        both baselines the partial correlation of the changes is that of the values at follow-up
        (Cronbach & Furby 1970, Psychol Bull 74:68-80): what was high by chance, and falls back,
        does not pass for a change.
        """
        before = self.data.values_at(region, self.data.baseline)
        change = self.data.values_at(region, self.session) - before
        rows = self.members & ~np.isnan(change)
        adjusted = np.column_stack([before, self.before, self.table])[rows]
        design = np.column_stack([np.ones(len(adjusted)), adjusted - adjusted.mean(axis=0)])
        return FollowedRegion(
            region,
            change[rows],
            self.change[rows],
            np.asarray(design[:, independent_columns(design)[1:]]),
            None if self.compared is None else self.compared[rows],
            rows[self.members],
        )


@dataclass(frozen=True, eq=False)
class FollowedRegion:
    """One region in the m of a question's members in whom its change is known.

    Attributes:
        region: name.
        change: (m,) of the volume, ml.
        score: (m,) change of the score.
        covariates: (m, k) both baselines and what else is adjusted for.
        compared: (m,) see `Followed`.
        rows: (members,) which of them these are.
    """

    region: str
    change: Floats
    score: Floats
    covariates: Floats
    compared: Bools | None
    rows: Bools

    @property
    def why_not(self) -> str:
        """Why nothing can be said of the region; '' if something can."""
        n, needed = len(self.score), self.covariates.shape[1] + 2 + SMALLEST_DF
        if n < needed:
            return f"{n} have both sessions and {needed} are needed with these covariates"
        if not has_full_rank(np.column_stack([np.ones(n), self.covariates, self.score])):
            return "the change follows from the covariates"
        return ""

    def model(self, method: CorrelationMethod) -> OwnModel:
        """What is fitted so that permutations test what `method` correlates."""
        outcome, score, covariates = linearised(
            self.change[:, None], self.score, self.covariates, method
        )
        nuisance = np.column_stack([np.ones(len(score)), covariates])
        return OwnModel(outcome[:, 0], score, nuisance, self.rows)


def analyse_score_change(
    whole: Study, data: ChangeData, on_block: Callable[[int], object] = lambda _: None
) -> ScoreChange | None:
    """Change in every score against change in every region, among the people followed.

    Args:
        whole: the scans of all sessions.
        data: their rows, of `change_data`.
        on_block: told how many permutations are done.

    Returns:
        None without scores.
    """
    if not whole.design.scores:
        return None
    asked, notes = questions(whole, data)
    parts = [part for one in asked for part in _one(whole, one, on_block)]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(COLUMNS))
    if parts:
        by_question = ["score", "session", "group", "method", "family"]
        p = table.groupby(by_question, sort=False)["p_permutation"]
        table["p_fdr"] = p.transform(lambda values: false_discovery(values.to_numpy(float)))
    table = table[[*COLUMNS, *(c for c in table.columns if c not in COLUMNS)]]
    return ScoreChange(table, count_responders(whole, data), tuple(notes))


def questions(whole: Study, data: ChangeData) -> tuple[list[Followed], list[str]]:
    """What can be asked of whom, all together first; and sentences on what cannot."""
    asked, notes, unmeasured = [], [], []
    for name in whole.design.scores:
        for session in data.follow_up:
            title = f"{score_title(name)} at {session}"
            before, after = (score_at(whole, data, name, s) for s in (data.baseline, session))
            if np.isnan(after - before).all():
                unmeasured.append(title)
                continue
            groups, reason = _groups(whole.design, data, name, after - before)
            reasons = [reason] if reason else []
            for group, people in groups.items():
                one = _followed(whole, data, (name, session, group), people)
                refused = _refused(one)
                asked += [] if ALL in refused else [one]
                reasons += [
                    f"nothing is computed in {group}{regions}, because {why}"
                    for regions, why in refused.items()
                ]
            notes += [f"Change in {title}: {'; '.join(reasons)}."] if reasons else []
    if unmeasured:
        notes.append(
            f"Change of {data.measure.many} is not related to change of scores that have no value"
            " of their own at follow-up (a row of the participants table with that session_id):"
            f" {listed(unmeasured)}."
        )
    return asked, notes


def _groups(
    design: Design, data: ChangeData, name: str, change: Floats
) -> tuple[dict[str, Bools], str]:
    """Group -> (n,) its people, all together first; and why controls are not among them."""
    treated = data.treated_people()
    everybody = np.ones(len(treated), dtype=bool)
    sessions = design.sessions
    if data.arms:
        return {BOTH_ARMS: everybody, sessions.treated: treated, sessions.untreated: ~treated}, ""
    if not data.compared:
        return {PATIENTS: treated}, ""
    well = pd.Series(change[~treated]).dropna()
    same = well.value_counts(normalize=True).max() if len(well) else 1.0
    if design.scores[name].only_patients(name):
        reason = "healthy controls have no such score by definition"
    elif len(well) < SMALLEST_GROUP:
        reason = f"{len(well)} controls have the score in both sessions"
    elif same >= FLOOR_SHARE:
        reason = f"{100 * same:.0f} % of controls have the same change"
    else:
        return {BOTH: everybody, PATIENTS: treated, CONTROLS: ~treated}, ""
    return {PATIENTS: treated}, f"patients only, because {reason}"


def _followed(
    whole: Study, data: ChangeData, asked: tuple[str, str, str], people: Bools
) -> Followed:
    name, session, group = asked
    before, after = (score_at(whole, data, name, s) for s in (data.baseline, session))
    table, compared = _covariates(whole, data, name, session), None
    if people.all() and data.compared:
        compared = data.treated_people()
        table = np.column_stack([compared.astype(float), table])
    members = people & ~np.isnan(np.column_stack([before, after, table])).any(axis=1)
    members &= ~np.isnan(_changes(data, session)).all(axis=1)
    return Followed(data, name, session, group, before, after, members, table, compared)


def _covariates(whole: Study, data: ChangeData, name: str, session: str) -> Floats:
    """(n, k) covariates at baseline, and by how much what varies with time has changed.

    What is the score itself is left out: adjusted for it, nothing of it would be left.
    """
    own = whole.design.scores[name].column
    nuisance = data.nuisance.drop(columns=[INTERCEPT, own], errors="ignore")
    before, after = (
        nuisance.xs(s, level=1).reindex(data.people).to_numpy(float)
        for s in (data.baseline, session)
    )
    return np.where(nuisance.columns.isin(whole.time_varying.columns), after - before, before)


def _changes(data: ChangeData, session: str) -> Floats:
    """(n, R) ml; NaN where a scan or a volume is missing."""
    regions = [str(region) for region in data.volumes]
    return np.column_stack(
        [data.values_at(r, session) - data.values_at(r, data.baseline) for r in regions]
    )


def _refused(one: Followed) -> dict[str, str]:
    """Of which regions nothing can be said, in words that go on from the group, and why."""
    if len(np.unique(one.change[one.members])) < FEWEST_VALUES:
        return {ALL: f"fewer than {FEWEST_VALUES} different changes were seen"}
    regions: dict[str, list[str]] = {}
    for region in map(str, one.data.volumes):
        if why := one.at(region).why_not:
            regions.setdefault(why, []).append(region)
    if sum(map(len, regions.values())) == one.data.volumes.shape[1]:
        return {ALL: next(iter(regions))}
    return {f" of {listed(names)}": why for why, names in regions.items()}


def _one(whole: Study, one: Followed, on_block: Callable[[int], object]) -> Iterator[pd.DataFrame]:
    """One question, family by family."""
    design = whole.design
    permutations, methods = design.inference.permutations, design.correlations.methods
    rng = np.random.default_rng(
        [design.inference.seed, 5, *one.name.encode(), *one.session.encode(), *one.group.encode()]
    )
    for family, regions in whole.families.items():
        known = [part for region in regions if not (part := one.at(region)).why_not]
        if not known:
            continue
        parts = []
        for method in methods:
            drawn = freedman_lane_each(
                [part.model(method) for part in known], rng, permutations, on_block
            )
            rows = pd.DataFrame([_row(design, one, part, method) for part in known])
            parts.append(rows.assign(family=family, p_permutation=drawn.p, p_fwe=drawn.p_fwe))
        yield pd.concat(parts).sort_index(kind="stable")


def _row(
    design: Design, one: Followed, part: FollowedRegion, method: CorrelationMethod
) -> dict[str, object]:
    inference = design.inference
    found = partial_correlation(
        part.change, part.score, part.covariates, method, inference.confidence
    )
    return {
        **{"region": part.region, "session": one.session, "score": one.name, "group": one.group},
        **{"n": len(part.score), "method": method, "r": found.r, "ci_low": found.ci_low},
        **{"ci_high": found.ci_high, "df": found.df, "p": found.p},
        "detectable_r": detectable_correlation(found.df, inference.alpha, inference.power),
        **slopes(part.change, part.score, part.covariates, part.compared, inference.confidence),
    }
