"""Permutation tests under nuisance (Freedman & Lane 1983) with the maximum over regions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fibromorph.postprocessing.statistics.progress import steps

Floats = NDArray[np.float64]
CHUNK = 250


@dataclass(frozen=True)
class Permuted:
    """p of each region: alone, and corrected for all regions together (single-step max |t|)."""

    p: Floats
    p_fwe: Floats


@dataclass(frozen=True)
class _Pattern:
    """Regions that are known for the same people.

    Attributes:
        columns: of the volumes.
        known: (n,) who.
        residuals: (m, regions) after the nuisance, with unit norm.
        basis: (m, q) orthonormal basis of the nuisance, intercept included.
        contrast: (m,) the group after the nuisance, with unit norm.
    """

    columns: NDArray[np.intp]
    known: NDArray[np.bool_]
    residuals: Floats
    basis: Floats
    contrast: Floats

    @property
    def df(self) -> int:
        return int(self.basis.shape[0] - self.basis.shape[1] - 1)


def freedman_lane(
    volumes: Floats,
    group: Floats,
    nuisance: Floats,
    permutations: int,
    rng: np.random.Generator,
    progress: str = "",
) -> Permuted:
    """Permute the residuals of the reduced model and refit, two-sided, common variance t.

    Permuting residuals e is permuting the rows of an orthonormal basis Q of the full model:
    the refitted t follows from Q' P e, so a whole chunk is one matrix product. Regions known for
    fewer people are permuted in the order that the whole sample's permutation gives those people,
    which keeps the regions' dependence. The observed order counts as one permutation.

    Args:
        volumes: (n, regions), NaN where missing.
        group: (n,) 1 or 0, or any regressor of interest.
        nuisance: (n, k) without intercept.
        permutations: drawn, besides the observed order.
        rng: source of the permutations.
        progress: title of the progress bar; none if empty.
    """
    patterns = _patterns(volumes, group, nuisance)
    observed = np.empty(volumes.shape[1])
    for pattern in patterns:
        rows = np.arange(pattern.basis.shape[0])[None]
        observed[pattern.columns] = _abs_t(pattern, rows)[0]
    above, above_max = np.ones(observed.size), np.ones(observed.size)
    for size in steps(permutations, CHUNK, progress):
        orders = rng.permuted(np.tile(np.arange(len(group)), (size, 1)), axis=1)
        t = np.empty((size, observed.size))
        for pattern in patterns:
            t[:, pattern.columns] = _abs_t(pattern, _restricted(orders, pattern.known))
        # Ties from rounding count as exceeding.
        above += (t >= observed - 1e-10).sum(axis=0)
        above_max += (t.max(axis=1)[:, None] >= observed - 1e-10).sum(axis=0)
    return Permuted(above / (permutations + 1), above_max / (permutations + 1))


def _patterns(volumes: Floats, group: Floats, nuisance: Floats) -> list[_Pattern]:
    known = np.isfinite(volumes)
    kinds, index = np.unique(known, axis=1, return_inverse=True)
    return [
        _pattern(volumes, group, nuisance, kinds[:, k], np.flatnonzero(index.ravel() == k))
        for k in range(kinds.shape[1])
    ]


def _pattern(
    volumes: Floats,
    group: Floats,
    nuisance: Floats,
    known: NDArray[np.bool_],
    columns: NDArray[np.intp],
) -> _Pattern:
    z = np.column_stack([np.ones(int(known.sum())), nuisance[known]])
    basis, _ = np.linalg.qr(z)
    y = volumes[np.ix_(known, columns)]
    residuals = y - basis @ (basis.T @ y)
    contrast = group[known] - basis @ (basis.T @ group[known])
    return _Pattern(
        columns,
        known,
        residuals / np.linalg.norm(residuals, axis=0),
        basis,
        contrast / np.linalg.norm(contrast),
    )


def _restricted(orders: NDArray[np.intp], known: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The orders of the known people among themselves, as indices into the known."""
    if known.all():
        return orders
    place = np.cumsum(known) - 1
    kept = known[orders]
    return np.asarray(place[orders[kept]].reshape(orders.shape[0], int(known.sum())))


def _abs_t(pattern: _Pattern, orders: NDArray[np.intp]) -> Floats:
    """(orders, regions) |t|; residuals have unit norm, so RSS = 1 - |Q' P e|^2."""
    moved = np.empty((orders.shape[0], pattern.basis.shape[1] + 1, orders.shape[1]))
    full = np.column_stack([pattern.contrast, pattern.basis]).T
    moved[:] = full[:, orders].transpose(1, 0, 2)
    fitted = moved @ pattern.residuals
    b, rest = fitted[:, 0], (fitted**2).sum(axis=1)
    return np.asarray(np.abs(b) * np.sqrt(pattern.df / np.maximum(1 - rest, 1e-12)))
