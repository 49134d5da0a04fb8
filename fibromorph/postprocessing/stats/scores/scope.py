"""In whom a score may be related to volumes: patients, controls, or both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from fibromorph.postprocessing.stats.designs.contract import score_title
from fibromorph.postprocessing.stats.people.study import SMALLEST_GROUP, Study

FLOOR_SHARE = 0.8


@dataclass(frozen=True)
class ScoreScope:
    """What is done with one score.

    Attributes:
        name: of the score.
        groups: of patients, controls, both; empty where nothing can be said.
        reason: why not all of them, as a sentence; empty if all.
        d: difference between the groups in sd; NaN where one has none.
        few: of `groups` those in which few people carry the slope, see `linear.robust_df`.
    """

    name: str
    groups: tuple[str, ...]
    reason: str
    d: float
    few: tuple[str, ...] = ()


def scope_of(study: Study, name: str) -> ScoreScope:
    """Decide for one score.

    Controls are left out where they have no score, all the same one, or nearly all: a correlation
    over both groups would then only restate the group difference.
    """
    score, patients = study.scores[name], study.patients
    ill, well = score[patients].dropna(), score[~patients].dropna()
    d = standardised_difference(score, patients)
    if len(ill) < SMALLEST_GROUP or ill.nunique() < 3:
        reason = (
            f"{score_title(name)}: patients have too few different values; nothing is computed."
        )
        return ScoreScope(name, (), reason, d)
    reason = _why_not_controls(study, name, well)
    return ScoreScope(
        name, ("patients",) if reason else ("patients", "controls", "both"), reason, d
    )


def standardised_difference(values: pd.Series, patients: pd.Series) -> float:
    """Patients minus controls over the pooled sd; NaN where a group has fewer than two values."""
    ill, well = values[patients].dropna(), values[~patients].dropna()
    if min(len(ill), len(well)) < 2:
        return float("nan")
    squares = (len(ill) - 1) * ill.var() + (len(well) - 1) * well.var()
    pooled = np.sqrt(squares / (len(ill) + len(well) - 2))
    return float((ill.mean() - well.mean()) / pooled) if pooled > 0 else float("nan")


def _why_not_controls(study: Study, name: str, well: pd.Series) -> str:
    only = f"{score_title(name)}: patients only, because"
    if study.design.scores[name].only_patients(name):
        return f"{only} healthy controls have no such score by definition."
    if len(well) < SMALLEST_GROUP:
        return f"{only} {len(well)} controls have the score."
    counts = well.value_counts()
    value, share = counts.index[0], counts.iloc[0] / len(well)
    if share == 1:
        return f"{only} every control has {value:g}: over both groups it would restate the group."
    if share >= FLOOR_SHARE:
        return f"{only} {100 * share:.0f} % of controls have {value:g}."
    return ""
