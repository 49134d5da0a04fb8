"""Multiple imputation of covariates and volumes, and Rubin's rules.

Chained equations with predictive mean matching (van Buuren & Groothuis-Oudshoorn 2011, J Stat Softw
45:3). statsmodels has them too, but draws from numpy's global generator; here one is passed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from fibromorph.postprocessing.stats.groups.model import site_indicators
from fibromorph.postprocessing.stats.models.linear import Floats
from fibromorph.postprocessing.stats.people.study import Study
from fibromorph.postprocessing.stats.tables.region_names import ETIV

CYCLES = 10
DONORS = 5
COMPONENTS = 3


@dataclass(frozen=True, eq=False)
class Pooled:
    """Estimates over m imputations: mean, standard error, degrees of freedom; arrays alike."""

    estimate: Floats
    se: Floats
    df: Floats


def impute(study: Study, rng: np.random.Generator) -> Study:
    """The study with missing covariates, eTIV and volumes drawn once.

    Predictors are covariates, eTIV, group, site where it is adjusted for, and the first principal
    components of the volumes; of a volume, those of the other regions: with itself among them,
    people without it would be drawn towards the mean of all, and groups towards each other. What
    the comparison adjusts for must be among them, or it finds what imputation has left out.
    """
    table = study.covariates.copy()
    if study.etiv is not None:
        table[ETIV] = study.etiv
    fixed = np.column_stack([_known(study), _components(study.volumes, study.patients)])
    owners = [study.covariate_of(str(column)) for column in table.columns]
    filled = _chained(table.to_numpy(float), fixed, rng, owners)
    completed = pd.DataFrame(filled, table.index, table.columns)
    return replace(
        study,
        covariates=completed[list(study.covariates.columns)],
        etiv=None if study.etiv is None else completed[ETIV],
        volumes=_filled_volumes(study, filled, rng),
    )


def pool(estimates: Floats, errors: Floats, complete_df: Floats) -> Pooled:
    """Rubin's rules with Barnard & Rubin's degrees of freedom (1999, Biometrika 86:948-955).

    Args:
        estimates: (m, ...) one an imputation.
        errors: (m, ...) their standard errors.
        complete_df: (...) degrees of freedom if nothing were missing.
    """
    m = estimates.shape[0]
    within, between = (errors**2).mean(axis=0), estimates.var(axis=0, ddof=1)
    total = within + (1 + 1 / m) * between
    share = np.clip((1 + 1 / m) * between / total, 1e-12, 1.0)
    old = (m - 1) / share**2
    observed = (complete_df + 1) / (complete_df + 3) * complete_df * (1 - share)
    df = 1 / (1 / old + 1 / np.maximum(observed, 1e-12))
    return Pooled(estimates.mean(axis=0), np.sqrt(total), df)


def _known(study: Study) -> Floats:
    """(n, k) group and sites, which nobody lacks."""
    columns = study.patients.to_numpy(float)[:, None]
    if study.site is None or study.design.site.method == "none":
        return columns
    return np.column_stack([columns, site_indicators(study.site).to_numpy(float)])


def _components(volumes: pd.DataFrame, patients: pd.Series) -> Floats:
    """(n, up to 3) scores of the first principal components of all volumes."""
    values = _standardised(volumes, patients)
    return _leading(values, values.T @ values)


def _standardised(volumes: pd.DataFrame, patients: pd.Series) -> Floats:
    """(n, R) volumes in standard deviations, missing cells at their group's mean."""
    means = volumes.groupby(patients).transform("mean").fillna(volumes.mean())
    values = volumes.fillna(means).to_numpy(float)
    return np.asarray((values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-12))


def _leading(values: Floats, products: Floats) -> Floats:
    """(n, up to 3) scores of the first principal components, by the columns' inner products."""
    _, vectors = np.linalg.eigh(products)
    return np.asarray(values @ vectors[:, ::-1][:, :COMPONENTS])


def _filled_volumes(study: Study, covariates: Floats, rng: np.random.Generator) -> pd.DataFrame:
    """Missing volumes drawn, each region from covariates, group and the other regions."""
    table = study.volumes.to_numpy(float)
    fixed = [np.ones(len(table)), covariates, _known(study)]
    values = _standardised(study.volumes, study.patients)
    products = values.T @ values
    filled = table.copy()
    for number in np.flatnonzero(np.isnan(table).any(axis=0)):
        others = np.arange(values.shape[1]) != number
        components = _leading(values[:, others], products[np.ix_(others, others)])
        predictors = np.column_stack([*fixed, components])
        filled[:, number] = _matched(predictors, table[:, [number]], rng)[:, 0]
    return pd.DataFrame(filled, study.volumes.index, study.volumes.columns)


def _chained(
    table: Floats, fixed: Floats, rng: np.random.Generator, owners: Sequence[str]
) -> Floats:
    """Fill the columns of `table` in turn from all others and `fixed`.

    Columns of one owner, the levels of a covariate, are filled together: nobody has two levels.
    """
    missing = np.isnan(table)
    if not missing.any():
        return table
    filled = np.where(missing, np.nanmean(table, axis=0), table)
    names = np.array(owners, dtype=object)
    blocks = [np.flatnonzero(names == owner) for owner in dict.fromkeys(owners)]
    for _ in range(CYCLES):
        for block in blocks:
            if missing[:, block].any():
                others = np.delete(filled, block, axis=1)
                predictors = np.column_stack([np.ones(len(table)), others, fixed])
                filled[:, block] = _matched(predictors, table[:, block], rng)
    return filled


def _matched(predictors: Floats, values: Floats, rng: np.random.Generator) -> Floats:
    """Missing rows of (n, k) taken from one of the five people whose predictions are nearest."""
    known = ~np.isnan(values).any(axis=1)
    distance = np.zeros((int((~known).sum()), int(known.sum())))
    for column in values.T:
        beta, drawn = _draw_coefficients(predictors[known], column[known], rng)
        donors, wanted = predictors[known] @ beta, predictors[~known] @ drawn
        distance += (donors[None, :] - wanted[:, None]) ** 2
    nearest = np.argsort(distance, axis=1)[:, :DONORS]
    chosen = nearest[np.arange(len(nearest)), rng.integers(0, nearest.shape[1], len(nearest))]
    out = values.copy()
    out[~known] = values[known][chosen]
    return out


def _draw_coefficients(x: Floats, y: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Least-squares coefficients, and a draw from their posterior under a flat prior."""
    # A little ridge: indicators of rare levels may be constant among the known.
    inverse = np.linalg.inv(x.T @ x + 1e-8 * np.diag(np.diag(x.T @ x) + 1e-12))
    beta = inverse @ (x.T @ y)
    df = max(len(y) - x.shape[1], 1)
    sigma = np.sqrt(((y - x @ beta) ** 2).sum() / rng.chisquare(df))
    return beta, beta + sigma * np.linalg.cholesky(inverse) @ rng.standard_normal(x.shape[1])
