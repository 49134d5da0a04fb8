"""How much of the difference between controls and patients a change closes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from fibromorph.postprocessing.stats.change_design import ChangeData
from fibromorph.postprocessing.stats.linear import Bools, Floats, fit, independent
from fibromorph.postprocessing.stats.model import build_model
from fibromorph.postprocessing.stats.study import Study


@dataclass(frozen=True, eq=False)
class _People:
    """Everybody with a baseline volume: n people.

    Attributes:
        baseline: (n,) volumes at average covariates.
        change: (n,) ml; NaN where there is no follow-up scan.
        patients, treated: (n,).
    """

    baseline: Floats
    change: Floats
    patients: Bools
    treated: Bools


def gap_share(
    whole: Study, data: ChangeData, region: str, session: str, rng: np.random.Generator
) -> dict[str, float]:
    """Gap, and share of it that is closed, of one region and session.

    Gap: controls minus patients at baseline, adjusted. Change: of treated patients, less that of
    the comparison group. The interval is a percentile bootstrap over people; where the gap's own
    interval contains 0 there is no gap to be closed, and the share is not given (NaN).

    Returns:
        gap_ml, gap_low_ml, gap_high_ml, gap_share, gap_share_low, gap_share_high; empty where no
        controls were scanned.
    """
    base = whole.at(data.baseline)
    known = base.covariates.notna().all(axis=1)
    if base.etiv is not None and base.design.etiv != "none":
        known &= base.etiv.notna()
    base = base.rows(known)
    if int((~base.patients).sum()) < 2:
        return {}
    people = _people(base, data, region, session)
    weights = _bootstrap_weights(people, whole.design.sessions.bootstraps, rng)
    gap = _mean(weights, people.baseline, ~people.patients)
    gap = gap - _mean(weights, people.baseline, people.patients)
    back = ~np.isnan(people.change)
    moved = _mean(weights, people.change, people.treated & back)
    if data.compared:
        moved = moved - _mean(weights, people.change, ~people.treated & back)
    return _shares(gap, moved, whole.design.inference.confidence)


def _shares(gap: Floats, moved: Floats, confidence: float) -> dict[str, float]:
    """From estimates (first) and their bootstrap draws (the rest)."""
    tails = [0.5 - confidence / 2, 0.5 + confidence / 2]
    low, high = (float(q) for q in np.nanquantile(gap[1:], tails))
    share, share_low, share_high = float("nan"), float("nan"), float("nan")
    if low > 0 or high < 0:
        share = float(moved[0] / gap[0])
        share_low, share_high = (float(q) for q in np.nanquantile(moved[1:] / gap[1:], tails))
    return {
        "gap_ml": float(gap[0]),
        "gap_low_ml": low,
        "gap_high_ml": high,
        "gap_share": share,
        "gap_share_low": share_low,
        "gap_share_high": share_high,
    }


def _people(base: Study, data: ChangeData, region: str, session: str) -> _People:
    model = build_model(base)
    volume = model.volumes[region].to_numpy(float)
    known = ~np.isnan(volume) & model.nuisance.notna().all(axis=1).to_numpy(bool)
    fitted = fit(independent(model.matrix[known]), volume[known, None])
    patients = model.patients[known]
    names = [p for p, k in zip(base.participants, known, strict=True) if k]
    difference = data.values_at(region, session) - data.values_at(region, data.baseline)
    treated = dict(zip(data.people, data.treated_people().tolist(), strict=True))
    return _People(
        baseline=fitted.residuals[:, 0] + fitted.beta[0, 0] + patients * fitted.beta[-1, 0],
        change=np.asarray(pd.Series(difference, data.people).reindex(names), dtype=np.float64),
        patients=patients,
        treated=np.array([treated.get(name, False) for name in names]),
    )


def _bootstrap_weights(people: _People, draws: int, rng: np.random.Generator) -> Floats:
    """(1 + draws, n) how often each person counts: once, then as drawn within each group."""
    stratum = people.patients.astype(int) + (people.patients & people.treated)
    weights = np.ones((1 + draws, len(stratum)))
    for level in np.unique(stratum):
        rows = np.flatnonzero(stratum == level)
        weights[1:, rows] = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), draws)
    return weights


def _mean(weights: Floats, values: Floats, members: Bools) -> Floats:
    """(1 + draws,) weighted means over members; NaN where nobody was drawn."""
    chosen = weights[:, members]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((chosen @ values[members]) / chosen.sum(axis=1))
