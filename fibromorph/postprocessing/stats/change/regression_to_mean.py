"""Regression to the mean: how much of a change chance alone would bring, and who is warned."""

from __future__ import annotations

import pandas as pd

from fibromorph.postprocessing.names import listed, plain_name
from fibromorph.postprocessing.stats.change.data import ChangeData
from fibromorph.postprocessing.stats.models.mixed import MixedFit

NOTICEABLE = 0.25
"""Of an interval's width: what regression to the mean of that size could change in a conclusion."""


def expected_regression(data: ChangeData, mixed: MixedFit) -> float:
    """ml by which the arms' difference at baseline, which is chance, shrinks without any effect.

    (1 - intraclass correlation) x (compared - treated mean at baseline) (Barnett et al. 2005, Int J
    Epidemiol 34:215-220), both after the covariates: what age or head size put between the arms
    stays. NaN without arms: patients and controls may differ for good.
    """
    if not data.arms:
        return float("nan")
    # After the arm come the sessions, and the sessions of the treated.
    gap = -mixed.beta[-1 - 2 * len(data.follow_up)]
    return float((1 - mixed.intraclass) * gap)


def regression_notes(data: ChangeData, table: pd.DataFrame) -> tuple[str, ...]:
    """Sentences for the report: no comparison group, groups apart at baseline, drop-out."""
    notes = [_comparison_note(data), _baseline_note(data, table), _loss_note(table)]
    return tuple(note for note in notes if note)


def _comparison_note(data: ChangeData) -> str:
    if data.compared:
        return ""
    return (
        "There is no comparison group with follow-up scans. Change in patients alone contains"
        " ageing, scanner drift and regression to the mean; it cannot be put down to therapy."
    )


def _baseline_note(data: ChangeData, table: pd.DataFrame) -> str:
    """Regions where the groups were already apart before, after the covariates."""
    if data.arms:
        return _chance_note(table, data.measure.unit)
    if not data.compared or "gap_low_ml" not in table:
        return ""
    apart = _regions(table[(table["gap_low_ml"] > 0) | (table["gap_high_ml"] < 0)])
    if not apart:
        return ""
    return (
        f"The groups differed at baseline in {listed(apart)}. Where patients and controls differ"
        " for good, nothing regresses to a common mean, and an analysis of covariance on follow-up"
        " would take part of the difference for change: it is given between arms only. Patients"
        " who were chosen for extreme values may regress to their own mean all the same."
    )


def _chance_note(table: pd.DataFrame, unit: str) -> str:
    width = table["ci_high_ml"] - table["ci_low_ml"]
    moved = _regions(table[table["regression_to_mean_ml"].abs() > NOTICEABLE * width])
    if not moved:
        return ""
    return (
        f"Regression to the mean: the arms differed so much at baseline in {listed(moved)} that, if"
        " they were drawn at random, chance undone moves the group x time effect by more than half"
        f" of its interval's half width (regression_to_mean_{unit}). There the analysis of"
        " covariance on follow-up is the safer reading (p_ancova_fwe). If they were not, the mixed"
        " model is."
    )


def _regions(rows: pd.DataFrame) -> list[str]:
    return [plain_name(str(region)) for region in dict.fromkeys(rows["region"])]


def _loss_note(table: pd.DataFrame) -> str:
    losses = []
    for _, row in table.drop_duplicates("session").iterrows():
        lost = int(row["lost_treated"] + row["lost_compared"])
        everyone = lost + int(row["n_treated"] + row["n_compared"])
        losses += [f"{lost} of {everyone} people in session {row['session']}"] if lost else []
    if not losses:
        return ""
    return (
        f"Some people have no usable scan: {', '.join(losses)}. The mixed model uses their baseline"
        " and is right if drop-out depends on what was measured, not on what would have been."
    )
