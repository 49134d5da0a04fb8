"""Ordinary least squares of many outcomes on one design at once, with HC3 errors.

statsmodels fits one outcome at a time; a cohort has a hundred, refitted by every permutation,
specification and simulation. The tests hold this against statsmodels and R.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.intp]

ALONE = 1.0 - 1e-8
"""Leverage above which the design fits a row exactly."""
WEIGHTLESS = 1e-8
"""Weights up to this are 0 but for rounding."""


@dataclass(frozen=True, eq=False)
class LinearFit:
    """n rows, p columns of the design, R outcomes.

    Attributes:
        beta: (p, R).
        se: (p, R) classical standard errors.
        se_hc3: (p, R) robust to unequal variances (MacKinnon & White 1985). Of a row that the
            design fits exactly (leverage 1) nothing can be learnt: it counts with `sigma`.
        sigma: (R,) residual standard deviation.
        df: n - p.
        unscaled: (p, p) inverse of X'X.
        leverage: (n,).
        residuals: (n, R).
        to_beta: (p, n) takes outcomes to `beta`.
    """

    beta: Floats
    se: Floats
    se_hc3: Floats
    sigma: Floats
    df: int
    unscaled: Floats
    leverage: Floats
    residuals: Floats
    to_beta: Floats

    def hc3_covariance(self, first: int, second: int) -> Floats:
        """(R,) robust covariance of two coefficients."""
        weights = self.to_beta[first] * self.to_beta[second]
        return np.asarray(weights @ _row_variances(self.residuals, self.leverage, self.sigma))

    def hc3_influence(self, coefficient: int) -> Floats:
        """(n, R) what each row moves a coefficient by: their squares sum to `se_hc3` squared."""
        size = np.sqrt(_row_variances(self.residuals, self.leverage, self.sigma))
        return np.asarray(self.to_beta[coefficient][:, None] * np.copysign(size, self.residuals))

    @property
    def carried(self) -> Bools:
        """(n,) rows on which alone the last coefficient rests, with other rows or without."""
        return np.asarray((self.leverage > ALONE) & (np.abs(self.to_beta[-1]) > WEIGHTLESS))


def robust_df(design: Floats, fitted: LinearFit) -> float:
    """How many independent squares the HC3 error of the last coefficient is worth.

    Satterthwaite's degrees of freedom, (trace A)^2 / trace A^2, with A the quadratic form that the
    variance is of errors that are alike and normal (Bell & McCaffrey 2002, Surv Methodol
    28:169-181). Far below `df` where the coefficient rests on few people. Rows with leverage 1 are
    left out.
    """
    q, _ = np.linalg.qr(design)
    rest = 1.0 - fitted.leverage
    weight = (
        np.where(fitted.leverage > ALONE, 0.0, fitted.to_beta[-1] / spare(fitted.leverage)) ** 2
    )
    trace = float((weight * rest).sum())
    own = float((weight**2 * (rest**2 - fitted.leverage**2)).sum())
    return trace**2 / (own + float((((q * weight[:, None]).T @ q) ** 2).sum()))


def fit(design: Floats, outcomes: Floats) -> LinearFit:
    """Fit all columns of `outcomes` (n, R), none missing, on `design` (n, p) of full rank."""
    q, r = np.linalg.qr(design)
    inverse = np.linalg.inv(r)
    to_beta = inverse @ q.T
    beta = to_beta @ outcomes
    residuals = outcomes - design @ beta
    df = design.shape[0] - design.shape[1]
    sigma = np.sqrt((residuals**2).sum(axis=0) / df)
    unscaled = inverse @ inverse.T
    leverage = (q**2).sum(axis=1)
    return LinearFit(
        beta=beta,
        se=np.sqrt(np.diag(unscaled))[:, None] * sigma,
        se_hc3=np.sqrt((to_beta**2) @ _row_variances(residuals, leverage, sigma)),
        sigma=sigma,
        df=df,
        unscaled=unscaled,
        leverage=leverage,
        residuals=residuals,
        to_beta=to_beta,
    )


def patterns(outcomes: Floats) -> Iterator[tuple[Bools, Ints]]:
    """Columns with the same missing cells together: (rows that are known, columns)."""
    known = ~np.isnan(outcomes)
    shapes, member = np.unique(known, axis=1, return_inverse=True)
    for index in range(shapes.shape[1]):
        yield shapes[:, index], np.flatnonzero(member.ravel() == index)


def spare(leverage: Floats) -> Floats:
    """1 - leverage, kept above 0: a row that has a covariate's level to itself has residual 0."""
    return np.maximum(1.0 - leverage, 1e-8)


def _row_variances(residuals: Floats, leverage: Floats, sigma: Floats) -> Floats:
    """(n, R) what HC3 takes for the variance of each row.

    A person who alone has a covariate's level leaves no residual. With 0 instead of `sigma`, a
    group difference that rests on that person would seem to have hardly any error.
    """
    scaled = residuals / spare(leverage)[:, None]
    return np.where(leverage[:, None] > ALONE, sigma**2, scaled**2)


def independent(design: Floats) -> Floats:
    """`design` without columns that follow from others, for rows where a level is missing.

    The first and the last column stay: the intercept and the column that is asked about.
    """
    if has_full_rank(design):
        return design
    order = np.array([0, design.shape[1] - 1, *range(1, design.shape[1] - 1)])
    first, last, *others = order[independent_columns(design[:, order])]
    return np.asarray(design[:, [first, *others, last]])


def has_full_rank(design: Floats) -> bool:
    """Whether no column of `design` follows from the others."""
    scale = np.linalg.norm(design, axis=0)
    return bool((scale > 0).all()) and int(np.linalg.matrix_rank(design / scale)) == design.shape[1]


def independent_columns(design: Floats) -> list[int]:
    """Numbers of the columns of `design` that do not follow from those before them."""
    kept = list(range(design.shape[1]))
    while (column := dependent_column(design[:, kept])) is not None:
        del kept[column]
    return kept


def dependent_column(design: Floats) -> int | None:
    """The first column that follows from those before it; None if there is none."""
    for column in range(1, design.shape[1] + 1):
        if not has_full_rank(design[:, :column]):
            return column - 1
    return None
