"""What the group model takes for granted, tested and shown rather than assumed."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from fibromorph.postprocessing.stats.groups.model import INTERCEPT, GroupModel
from fibromorph.postprocessing.stats.models.effects import hedges_g, small_sample_factor
from fibromorph.postprocessing.stats.models.linear import (
    Bools,
    Floats,
    LinearFit,
    fit,
    has_full_rank,
    independent,
    patterns,
    robust_df,
    spare,
)
from fibromorph.postprocessing.stats.tables.region_names import ETIV

FEWEST_DF = 4.0
"""Below this, tests of nothing have p <= 0.05 too often: docs/statistics-validation.md."""

INFLUENTIAL = 4.0
"""Over the number of people: the Cook's distance above which somebody is called influential."""


def check_assumptions(model: GroupModel, etiv: pd.Series | None = None) -> pd.DataFrame:
    """One row a region.

    Args:
        model: of the group comparison.
        etiv: its slopes are compared too where it is not among the model's covariates.

    Columns: `p_slope_COVARIATE`, parallel slopes of group x covariate (HC3) for age, eTIV and every
    other covariate; `variance_ratio` patients over controls and `p_variance` (Brown-Forsythe) of
    residuals; `p_normal` (Shapiro-Wilk); `cooks_distance`, the largest, and `influential`, whose;
    `g_without_low`, `g_without_high`, the range of Hedges' g when one person is left out, and
    `g_moved_by`, who moves it furthest.
    """
    slopes = model.nuisance.drop(columns=INTERCEPT)
    if etiv is not None and ETIV not in slopes:
        slopes = slopes.assign(**{ETIV: etiv - etiv.mean()})
    rows = {region: _region(model, slopes, region) for region in model.regions}
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index.name = "region"
    return table


def carried_notes(model: GroupModel) -> tuple[str, ...]:
    """Where the group difference rests on somebody alone, or on few, and in which regions."""
    found: dict[str, list[str]] = {}
    for known, columns in patterns(model.volumes.to_numpy(float)):
        names = [str(key[0]) for key in model.volumes.index[known]]
        regions = [model.regions[column] for column in columns]
        for note in (_carried_note(independent(model.matrix[known]), names), _lost(model, known)):
            found.setdefault(note, []).extend(regions)
    found.pop("", None)
    everywhere = len(model.regions)
    return tuple(
        note if len(regions) == everywhere else f"In {', '.join(regions)}: {note}"
        for note, regions in found.items()
    )


def _lost(model: GroupModel, known: Bools) -> str:
    """Covariates that follow from the group among the people whose value is known."""
    patients = model.patients[known].astype(float)
    both = np.column_stack([np.ones(len(patients)), patients])
    lost = [
        str(name)
        for name, column in model.nuisance[known].items()
        if name != INTERCEPT
        and np.ptp(column) > 0
        and not has_full_rank(np.column_stack([both, column.to_numpy(float)]))
    ]
    if not lost:
        return ""
    return (
        f"{', '.join(lost)} follows from the group among those whose value is known, and is not"
        " adjusted for: what looks like a difference between the groups may be its doing."
    )


def _carried_note(design: Floats, names: list[str]) -> str:
    fitted = fit(design, np.zeros((len(design), 1)))
    if fitted.carried.any():
        carrying = zip(names, fitted.carried, strict=True)
        alone = ", ".join(name for name, carries in carrying if carries)
        return (
            f"The adjusted group difference rests on {alone} alone: nobody else in their group has"
            " such covariates. How far such a value is off by chance cannot be told from it; the"
            " spread of all others stands for it. Remove the covariate, or find more people like"
            " that."
        )
    worth = robust_df(design, fitted)
    if worth >= FEWEST_DF:
        return ""
    return (
        "The adjusted group difference rests on the few people whose covariates both groups have:"
        f" its error is known as from {worth:.1f} degrees of freedom instead of {fitted.df}. p and"
        " intervals find differences too often; p_permutation and p_fwe keep their level. Remove"
        " the covariate that separates the groups, or find more people like those few."
    )


def _region(model: GroupModel, slopes: pd.DataFrame, region: str) -> dict[str, object]:
    volume = model.volumes[region].to_numpy(float)
    known = ~np.isnan(volume)
    design = independent(model.matrix[known])
    fitted = fit(design, volume[known, None])
    names = [str(key[0]) for key in model.volumes.index[known]]
    return {
        **_parallel_slopes(model, slopes, volume, known),
        **_spread(fitted.residuals[:, 0], model.patients[known]),
        **_influence(fitted, design, names),
    }


def _parallel_slopes(
    model: GroupModel, slopes: pd.DataFrame, volume: Floats, known: Bools
) -> dict[str, object]:
    out: dict[str, object] = {}
    for name in slopes:
        column = slopes[name].to_numpy(float)
        more = [] if name in model.nuisance else [column]
        design = np.column_stack([model.matrix, *more, column * model.patients])[known]
        if not has_full_rank(design):
            continue
        fitted = fit(design, volume[known, None])
        t = fitted.beta[-1, 0] / fitted.se_hc3[-1, 0]
        out[f"p_slope_{name}"] = 2 * float(stats.t.sf(abs(t), fitted.df))
    return out


def _spread(residuals: Floats, patients: Bools) -> dict[str, object]:
    ill, well = residuals[patients], residuals[~patients]
    return {
        "variance_ratio": float(ill.var(ddof=1) / well.var(ddof=1)),
        "p_variance": float(stats.levene(ill, well, center="median").pvalue),
        "p_normal": float(stats.shapiro(residuals).pvalue),
    }


def _influence(fitted: LinearFit, design: Floats, names: list[str]) -> dict[str, object]:
    distance = cooks_distance(fitted)
    worst = int(distance.argmax())
    without = leave_one_out_g(fitted, design)
    g = hedges_g(float(fitted.beta[-1, 0]), float(fitted.sigma[0]), fitted.df)
    return {
        "cooks_distance": float(distance[worst]),
        "influential": names[worst],
        "g_without_low": float(without.min()),
        "g_without_high": float(without.max()),
        "g_moved_by": names[int(np.abs(without - g).argmax())],
    }


def cooks_distance(fitted: LinearFit) -> Floats:
    """(n,) Cook's distance of every row for the first outcome."""
    error, leverage = fitted.residuals[:, 0], fitted.leverage
    parameters = fitted.beta.shape[0]
    scaled = error**2 / (parameters * fitted.sigma[0] ** 2)
    return np.asarray(scaled * leverage / spare(leverage) ** 2)


def leave_one_out_g(fitted: LinearFit, design: Floats) -> Floats:
    """(n,) Hedges' g of the last column without each row in turn, by the usual update formulas."""
    error, rest = fitted.residuals[:, 0], spare(fitted.leverage)
    change = fitted.unscaled[-1] @ design.T * error / rest
    squares = fitted.sigma[0] ** 2 * fitted.df - error**2 / rest
    sigma = np.sqrt(squares / (fitted.df - 1))
    return np.asarray(small_sample_factor(fitted.df - 1) * (fitted.beta[-1, 0] - change) / sigma)
