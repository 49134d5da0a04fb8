"""Linear mixed model with a random intercept a person, by REML.

One variance ratio is all there is to search for, so the likelihood is profiled over it (Bates et
al. 2015, J Stat Softw 67:1); statsmodels' MixedLM takes a second a region and stops at fewer
digits. The tests hold this against lme4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, sparse

from fibromorph.postprocessing.stats.models.linear import Floats, Ints

LARGEST_LOG_RATIO = 14.0
SMALLEST_VARIANCE = 1e-30


@dataclass(frozen=True, eq=False)
class MixedFit:
    """One outcome.

    Attributes:
        beta: (p,).
        se: (p,) model-based.
        between: standard deviation of people's intercepts.
        within: residual standard deviation.
        ratio: between^2 / within^2.
    """

    beta: Floats
    se: Floats
    between: float
    within: float
    ratio: float

    @property
    def intraclass(self) -> float:
        """Share of the variance that is between people."""
        return self.ratio / (1 + self.ratio)


def fit_mixed(design: Floats, outcome: Floats, person: Ints) -> MixedFit:
    """Fit by REML.

    Args:
        design: (n, p) of full rank.
        outcome: (n,).
        person: (n,) 0-based number of the person of each row, none left out.
    """
    counts = np.bincount(person)

    def deviance(log_ratio: float) -> float:
        return _deviance(design, outcome, person, counts, float(np.exp(log_ratio)))

    best = optimize.minimize_scalar(
        deviance,
        bounds=(-LARGEST_LOG_RATIO, LARGEST_LOG_RATIO),
        method="bounded",
        options={"xatol": 1e-10, "maxiter": 500},
    )
    ratio = float(np.exp(best.x))
    if _deviance(design, outcome, person, counts, 0.0) <= best.fun:
        ratio = 0.0
    return _at(design, outcome, person, ratio)


def fit_mixed_known(design: Floats, outcome: Floats, person: Ints, sd: Floats) -> MixedFit:
    """The same with the standard deviation of each measurement known, by REML.

    outcome = design b + u_person + v + e, with e ~ N(0, sd^2) known, and what is left within a
    person, v, estimated: metafor's `rma.mv(random = list(~ 1 | person, ~ 1 | row))`.

    Args:
        design, outcome, person: as `fit_mixed`.
        sd: (n,) not negative.

    Returns:
        `within` is the standard deviation of v, the known errors not in it.
    """
    known = sd**2
    plain = fit_mixed(design, outcome, person)
    # Logs need a floor, also where a region has the same volume in every scan.
    floor = 1e-9 * (plain.within**2 + float(known.mean())) + SMALLEST_VARIANCE
    left = max(plain.within**2 - float(known.mean()), 0.05 * plain.within**2, floor)
    between = max(plain.between**2, 0.05 * plain.within**2, floor)

    def deviance(logs: Floats) -> float:
        within, of_people = np.exp(logs)
        residual = within + known
        x, y, log_determinant = whiten_known(design, outcome, person, residual, of_people)
        _, triangle = np.linalg.qr(np.column_stack([x, y]))
        p = design.shape[1]
        of_design = 2 * float(np.log(np.abs(np.diag(triangle)[:p])).sum())
        return log_determinant + of_design + float(triangle[p, p] ** 2)

    best = optimize.minimize(
        deviance,
        np.log([left, between]),
        method="Nelder-Mead",
        bounds=[(np.log(floor), None)] * 2,
        options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 2000},
    )
    within, of_people = np.exp(best.x)
    x, y, _ = whiten_known(design, outcome, person, within + known, of_people)
    unscaled = np.linalg.inv(x.T @ x)
    return MixedFit(
        beta=unscaled @ (x.T @ y),
        se=np.sqrt(np.diag(unscaled)),
        between=float(np.sqrt(of_people)),
        within=float(np.sqrt(within)),
        ratio=float(of_people / within),
    )


def whiten_known(
    design: Floats, outcome: Floats, person: Ints, residual: Floats, between: float
) -> tuple[Floats, Floats, float]:
    """Design and outcome times the inverse root of their covariance, and its log determinant.

    A person's V = D^(1/2) (I + between z z') D^(1/2), D the residual variances, z = D^(-1/2) 1.
    """
    z = residual**-0.5
    squares = by_person(z**2, person)
    shrink = (1 - 1 / np.sqrt(1 + between * squares)) / squares
    rows = np.column_stack([design, outcome]) * z[:, None]
    rows = rows - (shrink[person] * z)[:, None] * by_person(rows * z[:, None], person)[person]
    log_determinant = float(np.log(residual).sum() + np.log1p(between * squares).sum())
    return rows[:, :-1], rows[:, -1], log_determinant


def whiten(values: Floats, person: Ints, ratio: float) -> Floats:
    """Rows multiplied by the inverse root of their covariance over the residual variance.

    Args:
        values: (n,) or (n, p).
        person: (n,).
        ratio: of variances, between over within.
    """
    counts = np.bincount(person)
    shrink = (1 - 1 / np.sqrt(1 + counts * ratio)) / counts
    sums = by_person(values, person)
    factor = shrink[person] if values.ndim == 1 else shrink[person, None]
    return np.asarray(values - factor * sums[person])


def by_person(values: Floats, person: Ints) -> Floats:
    """Sums over the rows of each person: (people,) or (people, p)."""
    rows = np.arange(len(person))
    gather = sparse.csr_array((np.ones(len(person)), (person, rows)))
    return np.asarray(gather @ values)


def _deviance(design: Floats, outcome: Floats, person: Ints, counts: Ints, ratio: float) -> float:
    """-2 log restricted likelihood, up to a constant."""
    x, y = whiten(design, person, ratio), whiten(outcome, person, ratio)
    _, triangle = np.linalg.qr(np.column_stack([x, y]))
    p = design.shape[1]
    squares = float(triangle[p, p] ** 2)
    of_design = 2 * float(np.log(np.abs(np.diag(triangle)[:p])).sum())
    df = len(y) - p
    return float(np.log1p(counts * ratio).sum() + of_design + df * np.log(squares / df))


def _at(design: Floats, outcome: Floats, person: Ints, ratio: float) -> MixedFit:
    x, y = whiten(design, person, ratio), whiten(outcome, person, ratio)
    unscaled = np.linalg.inv(x.T @ x)
    beta = unscaled @ (x.T @ y)
    within = float(np.sqrt(((y - x @ beta) ** 2).sum() / (len(y) - x.shape[1])))
    return MixedFit(
        beta=beta,
        se=within * np.sqrt(np.diag(unscaled)),
        between=within * float(np.sqrt(ratio)),
        within=within,
        ratio=ratio,
    )
