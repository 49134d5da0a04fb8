"""How volumes go with pain, mood and activity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from fibromorph.postprocessing.stats.designs.contract import score_title
from fibromorph.postprocessing.stats.designs.sections import CorrelationMethod
from fibromorph.postprocessing.stats.groups.assumptions import FEWEST_DF, cooks_distance
from fibromorph.postprocessing.stats.groups.model import INTERCEPT, GroupModel
from fibromorph.postprocessing.stats.models.effects import false_discovery
from fibromorph.postprocessing.stats.models.linear import (
    Bools,
    Floats,
    fit,
    has_full_rank,
    independent_columns,
    robust_df,
)
from fibromorph.postprocessing.stats.models.measured import correction, fit_weighted
from fibromorph.postprocessing.stats.models.permutation import freedman_lane
from fibromorph.postprocessing.stats.models.slopes import slopes
from fibromorph.postprocessing.stats.people.study import SMALLEST_DF, Study
from fibromorph.postprocessing.stats.scores.correlation import (
    detectable_correlation,
    linearised,
    partial_correlation,
)
from fibromorph.postprocessing.stats.scores.scope import ScoreScope

COLUMNS = ("region", "score", "group", "n", "method", "r", "ci_low", "ci_high", "p", "p_fdr")
"""The order that `associations.tsv` begins with."""


def associate(
    study: Study,
    model: GroupModel,
    scopes: list[ScoreScope],
    on_block: Callable[[int], object] = lambda _: None,
) -> pd.DataFrame:
    """All regions x scores x groups x methods, see docs/statistics.md for the columns.

    Args:
        study: its scores and design.
        model: volumes and what is adjusted for; over both groups, group is adjusted for as well.
        scopes: in whom each score may be looked at.
        on_block: told how many permutations are done.
    """
    parts = []
    for number, scope in enumerate(scopes):
        for group in scope.groups:
            rng = np.random.default_rng([study.design.inference.seed, 2, number])
            parts += _one(_question(study, model, scope.name, group), rng, on_block)
    if not parts:
        return pd.DataFrame(columns=list(COLUMNS))
    table = pd.concat(parts, ignore_index=True)
    # As p_fwe does: of p, which supposes more, one row might be found by one and not by the other.
    questions = table.groupby(["score", "group", "method", "family"], sort=False)
    table["p_fdr"] = questions["p_permutation"].transform(
        lambda p: false_discovery(p.to_numpy(float))
    )
    return table[[*COLUMNS, *(c for c in table.columns if c not in COLUMNS)]]


def narrowed(study: Study, model: GroupModel, scope: ScoreScope) -> ScoreScope:
    """The scope without groups in which too few have the score for what is adjusted for."""
    groups, few, reasons = [], [], [scope.reason] if scope.reason else []
    title = score_title(scope.name)
    for group in scope.groups:
        asked = _question(study, model, scope.name, group)
        n, parameters = int(asked.members.sum()), asked.covariates(asked.members).shape[1] + 2
        if n - parameters < SMALLEST_DF:
            reasons.append(
                f"{title}: nothing is computed in {group}, because {n} have the score and"
                f" {parameters + SMALLEST_DF} are needed with these covariates."
            )
        elif asked.follows_from_covariates:
            reasons.append(f"{title}: in {group} it follows from the covariates.")
        else:
            groups.append(group)
            few += [group] if asked.worth < FEWEST_DF else []
    if groups and _own_columns(study, model, scope.name):
        reasons.append(f"{title} is a covariate, too; what goes with it is not adjusted for it.")
    return replace(scope, groups=tuple(groups), reason=" ".join(reasons), few=tuple(few))


@dataclass(frozen=True, eq=False)
class _Question:
    """One score in one group.

    Attributes:
        study, model: see `associate`.
        name, group: of score and group.
        score: (n,) NaN = missing.
        members: (n,) those of the group who have the score.
        table: (n, k) nuisance without intercept and without the score itself.
    """

    study: Study
    model: GroupModel
    name: str
    group: str
    score: Floats
    members: Bools
    table: Floats

    def covariates(self, rows: Bools) -> Floats:
        """(rows, k) what is adjusted for, without columns that say nothing in these rows."""
        design = np.column_stack([np.ones(int(rows.sum())), self.table[rows]])
        return np.asarray(design[:, independent_columns(design)[1:]])

    def with_known(self, region: str) -> _Question:
        """The same, of the members of whom the region is known."""
        known = self.model.volumes[region].notna().to_numpy()
        return replace(self, members=self.members & known)

    @property
    def is_estimable(self) -> bool:
        """Whether these members suffice for a slope of this score."""
        if self.members.sum() <= SMALLEST_DF:
            return False
        design = self.design
        return len(design) - design.shape[1] >= SMALLEST_DF and has_full_rank(design)

    @property
    def follows_from_covariates(self) -> bool:
        """Whether nothing of the score is left once the covariates are taken out."""
        return not has_full_rank(self.design)

    @property
    def worth(self) -> float:
        """Degrees of freedom that the slope's robust error is worth, see `robust_df`."""
        design = self.design
        return robust_df(design, fit(design, np.zeros((len(design), 1))))

    @property
    def design(self) -> Floats:
        """(members, k + 2) intercept, what is adjusted for, and the score last."""
        score = self.score[self.members]
        ones = np.ones(len(score))
        return np.column_stack([ones, self.covariates(self.members), score - score.mean()])


def _question(study: Study, model: GroupModel, name: str, group: str) -> _Question:
    score, patients = study.scores[name].to_numpy(float), model.patients
    everyone = np.ones(len(patients), dtype=bool)
    members = {"patients": patients, "controls": ~patients, "both": everyone}[group]
    others = [c for c in model.nuisance if c not in (INTERCEPT, *_own_columns(study, model, name))]
    table = model.nuisance[others].to_numpy(float)
    if group == "both":
        table = np.column_stack([patients.astype(float), table])
    return _Question(study, model, name, group, score, members & ~np.isnan(score), table)


def _own_columns(study: Study, model: GroupModel, name: str) -> list[str]:
    """Covariates that are the score itself: adjusted for them, nothing of it would be left."""
    column = study.design.scores[name].column
    return [str(c) for c in model.nuisance if c == column]


def _one(
    asked: _Question, rng: np.random.Generator, on_block: Callable[[int], object]
) -> list[pd.DataFrame]:
    """One score in one group, over all families and methods."""
    correlations, inference = asked.study.design.correlations, asked.study.design.inference
    score, covariates = asked.score[asked.members], asked.covariates(asked.members)
    parts = []
    for family, regions in asked.study.families.items():
        able = [region for region in regions if asked.with_known(region).is_estimable]
        if not able:
            continue
        volumes = asked.model.volumes.loc[asked.members, able].to_numpy(float)
        joint = {}
        for method in correlations.methods:
            outcomes, contrast, nuisance = linearised(volumes, score, covariates, method)
            nuisance = np.column_stack([np.ones(len(score)), nuisance])
            joint[method] = freedman_lane(
                outcomes, contrast, nuisance, rng, inference.permutations, on_block
            )
        rows = [
            {
                **row,
                "family": family,
                "p_permutation": joint[method].p[i],
                "p_fwe": joint[method].p_fwe[i],
            }
            for i, region in enumerate(able)
            for method, row in _region(asked.with_known(region), region).items()
        ]
        rows += [
            {**_named(asked.with_known(region), region, method), "family": family}
            for region in regions
            if region not in able
            for method in correlations.methods
        ]
        parts.append(pd.DataFrame(rows))
    return parts


def _named(asked: _Question, region: str, method: CorrelationMethod) -> dict[str, object]:
    """What a row begins with; of a region that too few have, it is all there is."""
    n = int(asked.members.sum())
    return {
        "region": region,
        "score": asked.name,
        "group": asked.group,
        "n": n,
        "method": method,
    }


def _region(asked: _Question, region: str) -> dict[CorrelationMethod, dict[str, object]]:
    """Method -> its row, but for what permutations say; of members of whom the region is known."""
    volume, known = asked.model.volumes[region].to_numpy(float), asked.members
    covariates = asked.covariates(known)
    inference = asked.study.design.inference
    patients = asked.model.patients[known] if asked.group == "both" else None
    shared = slopes(volume[known], asked.score[known], covariates, patients, inference.confidence)
    rests = _rests_on(asked, volume)
    factor, reliability = _reliability(asked, region)
    rows: dict[CorrelationMethod, dict[str, object]] = {}
    for method in asked.study.design.correlations.methods:
        found = partial_correlation(
            volume[known], asked.score[known], covariates, method, inference.confidence
        )
        rows[method] = {
            **_named(asked, region, method),
            **{"r": found.r, "ci_low": found.ci_low},
            **{"ci_high": found.ci_high, "df": found.df, "p": found.p},
            "detectable_r": detectable_correlation(found.df, inference.alpha, inference.power),
            "reliability": reliability,
            "r_corrected": float(np.clip(factor * found.r, -1, 1)),
            **shared,
            **rests,
        }
    return rows


def _rests_on(asked: _Question, volume: Floats) -> dict[str, object]:
    """The largest Cook's distance for the slope on the score, and whose it is."""
    distance = cooks_distance(fit(asked.design, volume[asked.members, None]))
    worst = int(np.flatnonzero(asked.members)[distance.argmax()])
    return {
        "cooks_distance": float(distance.max()),
        "influential": asked.study.participants[worst],
    }


def _reliability(asked: _Question, region: str) -> tuple[float, float]:
    """(factor that undoes the error of volumes, reliability); NaN where errors are not known."""
    if asked.model.sd is None:
        return float("nan"), float("nan")
    sd = asked.model.sd[region].to_numpy(float)
    sure = asked.members & ~np.isnan(sd)
    design = np.column_stack([np.ones(int(sure.sum())), asked.covariates(sure)])
    if len(design) - design.shape[1] < SMALLEST_DF:
        return float("nan"), float("nan")
    outcome = asked.model.volumes[region].to_numpy(float)[sure]
    reliability = fit_weighted(design, outcome, sd[sure]).reliability
    return correction(reliability), reliability
