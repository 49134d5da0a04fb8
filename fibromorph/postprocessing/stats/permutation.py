"""Permutation p values under nuisance covariates, family-wise over regions.

Freedman & Lane (1983) permute the residuals of the reduced model; the statistic is the HC3 t of the
contrast, which makes the test right in large samples when the groups' variances differ (DiCiccio &
Romano 2017, J Am Stat Assoc 112:1211-1220; Winkler et al. 2014, NeuroImage 92:381-397), and its
maximum over regions controls the family-wise error (Westfall & Young 1993). Where a small group has
the larger variance it rejects too often: docs/statistics-validation.md.

Nothing is refitted. With Q an orthonormal basis of nuisance and contrast, U the reduced model's
residuals and P a permutation of rows, coefficient and HC3 variance after P are sums of products of
permuted columns of Q with U and U squared: a block of permutations is one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fibromorph.postprocessing.stats.linear import (
    ALONE,
    Bools,
    Floats,
    Ints,
    independent,
    patterns,
    spare,
)

BLOCK_BYTES = 64_000_000
TOLERANCE = 1e-9
"""Relative; statistics that differ by rounding only are ties, which keeps small samples exact."""


@dataclass(frozen=True, eq=False)
class PermutationResult:
    """R outcomes.

    Attributes:
        t: (R,) observed HC3 t.
        p: (R,) two-sided, uncorrected.
        p_fwe: (R,) two-sided, corrected over all outcomes given (single-step max-T).
        largest: (permutations,) max |t| of each permutation, the identity first.
    """

    t: Floats
    p: Floats
    p_fwe: Floats
    largest: Floats


def freedman_lane(
    outcomes: Floats,
    contrast: Floats,
    nuisance: Floats,
    rng: np.random.Generator,
    permutations: int,
    on_block: Callable[[int], object] = lambda _: None,
) -> PermutationResult:
    """Test `contrast` in outcome = nuisance + contrast, jointly over the outcomes.

    Outcomes with missing cells take part: each permutation orders all rows once, and an outcome
    uses that order on the rows that it has.

    Args:
        outcomes: (n, R); NaN = missing.
        contrast: (n,) the column of interest.
        nuisance: (n, k) with the intercept.
        rng: draws the permutations; the identity is one of them.
        permutations: how many, the identity included.
        on_block: told how many are done, for a progress bar.
    """
    pieces = [_Piece(outcomes, contrast, nuisance, *pattern) for pattern in patterns(outcomes)]
    width = outcomes.shape[0] * max(2 * nuisance.shape[1] + 3, 4) * 8
    block = max(1, min(permutations, BLOCK_BYTES // width))
    observed = np.abs(_statistics(pieces, np.arange(outcomes.shape[0])[None], outcomes.shape[1])[0])
    as_large, exceeded = np.ones(outcomes.shape[1]), np.ones(outcomes.shape[1])
    largest = [np.array([observed.max()])]
    on_block(1)
    threshold = observed * (1.0 - TOLERANCE)
    for start in range(1, permutations, block):
        size = min(block, permutations - start)
        orders = rng.random((size, outcomes.shape[0])).argsort(axis=1)
        drawn = np.abs(_statistics(pieces, orders, outcomes.shape[1]))
        largest.append(drawn.max(axis=1))
        as_large += (drawn >= threshold).sum(axis=0)
        exceeded += (largest[-1][:, None] >= threshold).sum(axis=0)
        on_block(size)
    return PermutationResult(
        t=_statistics(pieces, np.arange(outcomes.shape[0])[None], outcomes.shape[1])[0],
        p=as_large / permutations,
        p_fwe=exceeded / permutations,
        largest=np.concatenate(largest),
    )


class _Piece:
    """The outcomes that miss the same rows, prepared for permuting."""

    def __init__(
        self, outcomes: Floats, contrast: Floats, nuisance: Floats, rows: Bools, columns: Ints
    ) -> None:
        self.columns = columns
        self.rows = np.flatnonzero(rows)
        design = independent(np.column_stack([nuisance, contrast])[self.rows])
        basis, _ = np.linalg.qr(design[:, :-1])
        values = outcomes[np.ix_(self.rows, columns)]
        self.residuals = values - basis @ (basis.T @ values)
        x = contrast[self.rows] - basis @ (basis.T @ contrast[self.rows])
        x /= np.linalg.norm(x)
        full = np.column_stack([basis, x])
        leverage = (full**2).sum(axis=1)
        # As in `linear.fit`: rows without a residual count with the variance of all.
        alone = leverage > ALONE
        weight = np.where(alone, 0.0, x / spare(leverage)) ** 2
        self.alone = float((x[alone] ** 2).sum())
        self.df = len(x) - full.shape[1]
        self.gram = full.T @ (weight[:, None] * full)
        # Columns to permute: those met by U, then the weight, met by U squared.
        self.linear = np.column_stack([full, weight[:, None] * full])
        self.weight = weight

    def t(self, orders: Ints) -> Floats:
        """(permutations, columns) HC3 t."""
        own = self._own_orders(orders)
        size, width = own.shape[0], self.gram.shape[0]
        # Permuting the design by P is permuting the residuals by its inverse: as random.
        flat = self.linear[own].transpose(0, 2, 1).reshape(size * 2 * width, -1)
        products = (flat @ self.residuals).reshape(size, 2 * width, -1)
        coefficients, crossed = products[:, :width], products[:, width:]
        squares = self.weight[own] @ self.residuals**2
        variance = squares - 2.0 * (coefficients * crossed).sum(axis=1)
        variance += (coefficients * np.matmul(self.gram, coefficients)).sum(axis=1)
        if self.alone:
            squared = (self.residuals**2).sum(axis=0) - (coefficients**2).sum(axis=1)
            variance += self.alone * squared / self.df
        smallest = np.finfo(float).tiny
        return np.asarray(coefficients[:, -1] / np.sqrt(np.maximum(variance, smallest)))

    def _own_orders(self, orders: Ints) -> Ints:
        """The orders of all rows, restricted to the rows of this piece."""
        total = orders.shape[1]
        if self.rows.size == total:
            return orders
        position = np.full(total, -1)
        position[self.rows] = np.arange(self.rows.size)
        restricted = position[orders]
        return restricted[restricted >= 0].reshape(orders.shape[0], self.rows.size)


def _statistics(pieces: list[_Piece], orders: Ints, outcomes: int) -> Floats:
    out = np.zeros((orders.shape[0], outcomes))
    for piece in pieces:
        out[:, piece.columns] = piece.t(orders)
    return out
