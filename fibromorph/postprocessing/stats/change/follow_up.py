"""Follow-up scans against baseline: analysis of covariance, and single people."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from fibromorph.postprocessing.stats.change.data import ChangeData
from fibromorph.postprocessing.stats.models.linear import Ints, fit, independent

CERTAIN = 1.959963984540054
"""Two-sided 95 % of the normal distribution: minimal detectable change is stated at 95 %."""
BY_CHANCE = 0.05
"""Share of people who pass it, up or down, without any change."""
UNKNOWN = "error not known"


def ancova(data: ChangeData, region: str, session: str, confidence: float) -> dict[str, float]:
    """Follow-up on baseline and arm, HC3; of completers. Empty without arms.

    Its covariates are those of people at that session, and at baseline where these were others:
    another scanner or dose shifts the baseline, too. Between patients and controls, who differ
    for good, it would take part of that difference for change (Lord 1967, Psychol Bull 68:304-305).
    """
    if not data.arms:
        return {}
    before, after = data.values_at(region, data.baseline), data.values_at(region, session)
    both = data.pairs(region, session)
    nuisance = data.nuisance.to_numpy(float)[:, 1:]
    now = nuisance[_rows_at(data, session)[both]]
    then = nuisance[_rows_at(data, data.baseline)[both]]
    design = np.column_stack(
        [
            np.ones(int(both.sum())),
            before[both] - before[both].mean(),
            now,
            then[:, (now != then).any(axis=0)],
            data.treated_people()[both].astype(float),
        ]
    )
    fitted = fit(independent(design), after[both, None])
    difference, se = float(fitted.beta[-1, 0]), float(fitted.se_hc3[-1, 0])
    reach = float(stats.t.ppf(0.5 + confidence / 2, fitted.df)) * se
    return {
        "ancova_difference_ml": difference,
        "ancova_se_ml": se,
        "ancova_low_ml": difference - reach,
        "ancova_high_ml": difference + reach,
        "p_ancova": 2 * float(stats.t.sf(abs(difference / se), fitted.df)),
    }


def individuals(data: ChangeData) -> pd.DataFrame:
    """Each person's change against what two measurements can tell apart.

    Columns: region, session, participant_id, treated, change_ml, mdc_ml, verdict. The minimal
    detectable change is 1.96 sqrt(sd1^2 + sd2^2) with the two scans' own errors; without them it
    is not known, and nothing is claimed of single people.
    """
    parts = []
    for region in data.volumes:
        for session in data.follow_up:
            parts.append(_individual(data, str(region), session))
    return pd.concat(parts, ignore_index=True)


def _individual(data: ChangeData, region: str, session: str) -> pd.DataFrame:
    change = data.values_at(region, session) - data.values_at(region, data.baseline)
    before, after = data.sd_at(region, data.baseline), data.sd_at(region, session)
    limit = np.full(len(change), np.nan)
    if before is not None and after is not None:
        limit = CERTAIN * np.hypot(before, after)
    both = ~np.isnan(change)
    table = pd.DataFrame(
        {
            "region": region,
            "session": session,
            "participant_id": data.people,
            "treated": data.treated_people(),
            "change_ml": change,
            "mdc_ml": limit,
            "verdict": [_verdict(c, m) for c, m in zip(change, limit, strict=True)],
        }
    )
    return table[both]


def _verdict(change: float, limit: float) -> str:
    if np.isnan(limit):
        return UNKNOWN
    if abs(change) <= limit:
        return "within error"
    return "increase" if change > 0 else "decrease"


def _rows_at(data: ChangeData, session: str) -> Ints:
    """(people,) row of each person in a session; -1 where there is none."""
    rows = np.full(len(data.people), -1)
    here = np.flatnonzero(data.session == session)
    rows[data.person[here]] = here
    return rows
