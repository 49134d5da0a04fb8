"""Regression to the mean: how much of a change chance alone would bring, and who is warned."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fibromorph.postprocessing.names import listed, plain_name
from fibromorph.postprocessing.stats.change_design import ChangeData
from fibromorph.postprocessing.stats.mixed import MixedFit

NOTICEABLE_D = 0.25


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
    """Regions where the groups were already apart before."""
    if not data.compared:
        return ""
    treated = data.treated_people()
    apart = []
    for region in dict.fromkeys(table["region"]):
        baseline = data.values_at(str(region), data.baseline)
        ill, well = baseline[treated], baseline[~treated]
        spread = np.sqrt((np.nanvar(ill, ddof=1) + np.nanvar(well, ddof=1)) / 2)
        if abs(np.nanmean(ill) - np.nanmean(well)) > NOTICEABLE_D * spread:
            apart.append(plain_name(str(region)))
    if not apart:
        return ""
    where = f"(|d| > {NOTICEABLE_D}) in {listed(apart)}"
    if not data.arms:
        return (
            f"The groups differed at baseline {where}. Where patients and controls differ for good,"
            " nothing regresses to a common mean, and an analysis of covariance on follow-up would"
            " take part of the difference for change: it is given between arms only. Patients who"
            " were chosen for extreme values may regress to their own mean all the same."
        )
    return (
        f"Regression to the mean: the arms differed at baseline {where}. If they were drawn at"
        " random, part of any group x time effect there is chance undone; column"
        " regression_to_mean_ml says how much to expect, and the analysis of covariance on"
        " follow-up is the safer reading. If they were not, the mixed model is."
    )


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
