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

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fibromorph.postprocessing.stats.models.linear import (
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
    pieces = [
        _Piece(outcomes[np.ix_(rows, columns)], contrast[rows], nuisance[rows], rows, columns)
        for rows, columns in patterns(outcomes)
    ]
    width = outcomes.shape[0] * max(2 * nuisance.shape[1] + 3, 4) * 8
    return _permuted(pieces, rng, permutations, BLOCK_BYTES // width, on_block)


@dataclass(frozen=True, eq=False)
class OwnModel:
    """One outcome with a model of its own, on the m of n rows in which it is known.

    Attributes:
        outcome: (m,).
        contrast: (m,) the column of interest.
        nuisance: (m, k) with the intercept.
        rows: (n,) which they are.
    """

    outcome: Floats
    contrast: Floats
    nuisance: Floats
    rows: Bools


def freedman_lane_each(
    models: Sequence[OwnModel],
    rng: np.random.Generator,
    permutations: int,
    on_block: Callable[[int], object] = lambda _: None,
) -> PermutationResult:
    """As `freedman_lane`, for outcomes that are adjusted for something of their own each.

    Every permutation orders the rows alike for all of them, so that they stay as correlated as
    they are and the maximum over them controls the family-wise error (Winkler et al. 2014).

    Args:
        models: one an outcome, of the same n rows.
        rng, permutations, on_block: see `freedman_lane`.
    """
    pieces = [
        _PieceOfOne(m.outcome[:, None], m.contrast, m.nuisance, m.rows, np.array([column]))
        for column, m in enumerate(models)
    ]
    return _permuted(pieces, rng, permutations, BLOCK_BYTES // (models[0].rows.size * 24), on_block)


def _permuted(
    pieces: Sequence[_Piece],
    rng: np.random.Generator,
    permutations: int,
    block: int,
    on_block: Callable[[int], object],
) -> PermutationResult:
    """The test of all pieces, `block` permutations at a time."""
    block = max(1, min(permutations, block))
    rows, outcomes = pieces[0].total, sum(piece.columns.size for piece in pieces)
    identity = _statistics(pieces, np.arange(rows)[None], outcomes)[0]
    observed = np.abs(identity)
    as_large, exceeded = np.ones(outcomes), np.ones(outcomes)
    largest = [np.array([observed.max()])]
    on_block(1)
    threshold = observed * (1.0 - TOLERANCE)
    for start in range(1, permutations, block):
        size = min(block, permutations - start)
        orders = rng.random((size, rows)).argsort(axis=1)
        drawn = np.abs(_statistics(pieces, orders, outcomes))
        largest.append(drawn.max(axis=1))
        as_large += (drawn >= threshold).sum(axis=0)
        exceeded += (largest[-1][:, None] >= threshold).sum(axis=0)
        on_block(size)
    return PermutationResult(
        t=identity,
        p=as_large / permutations,
        p_fwe=exceeded / permutations,
        largest=np.concatenate(largest),
    )


class _Piece:
    """The outcomes that miss the same rows, prepared for permuting.

    Args:
        outcomes: (m, columns), none missing.
        contrast: (m,).
        nuisance: (m, k).
        rows: (n,) which of all rows these are.
        columns: numbers of the outcomes.
    """

    def __init__(
        self, outcomes: Floats, contrast: Floats, nuisance: Floats, rows: Bools, columns: Ints
    ) -> None:
        self.columns = columns
        self.total = rows.size
        self.rows = np.flatnonzero(rows)
        design = independent(np.column_stack([nuisance, contrast]))
        basis, _ = np.linalg.qr(design[:, :-1])
        self.residuals = outcomes - basis @ (basis.T @ outcomes)
        x = contrast - basis @ (basis.T @ contrast)
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
        products, squares = self._sums(self._own_orders(orders))
        width = self.gram.shape[0]
        coefficients, crossed = products[:, :width], products[:, width:]
        variance = squares - 2.0 * (coefficients * crossed).sum(axis=1)
        variance += (coefficients * np.matmul(self.gram, coefficients)).sum(axis=1)
        if self.alone:
            squared = (self.residuals**2).sum(axis=0) - (coefficients**2).sum(axis=1)
            variance += self.alone * squared / self.df
        smallest = np.finfo(float).tiny
        return np.asarray(coefficients[:, -1] / np.sqrt(np.maximum(variance, smallest)))

    def _sums(self, own: Ints) -> tuple[Floats, Floats]:
        """(permutations, 2 p, columns) U met by `linear`, (permutations, columns) U squared met by
        the weights."""
        size, width = own.shape[0], self.linear.shape[1]
        # Permuting the design by P is permuting the residuals by its inverse: as random.
        flat = self.linear[own].transpose(0, 2, 1).reshape(size * width, -1)
        products = (flat @ self.residuals).reshape(size, width, -1)
        return products, self.weight[own] @ self.residuals**2

    def _own_orders(self, orders: Ints) -> Ints:
        """The orders of all rows, restricted to the rows of this piece."""
        if self.rows.size == self.total:
            return orders
        position = np.full(self.total, -1)
        position[self.rows] = np.arange(self.rows.size)
        restricted = position[orders]
        return restricted[restricted >= 0].reshape(orders.shape[0], self.rows.size)


class _PieceOfOne(_Piece):
    """A single outcome: permuting its residuals is less to gather than permuting the design.

    That is the inverse of what `_Piece` does with the same orders: a test has pieces of one kind.
    """

    def _sums(self, own: Ints) -> tuple[Floats, Floats]:
        permuted = self.residuals[own, 0]
        return (permuted @ self.linear)[..., None], (permuted**2 @ self.weight)[:, None]


def _statistics(pieces: Sequence[_Piece], orders: Ints, outcomes: int) -> Floats:
    out = np.zeros((orders.shape[0], outcomes))
    for piece in pieces:
        out[:, piece.columns] = piece.t(orders)
    return out
