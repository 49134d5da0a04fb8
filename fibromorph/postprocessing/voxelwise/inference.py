"""Permutation tests of one question over all voxels, by nilearn's `permuted_ols`.

Freedman & Lane's scheme with ordinary t; a mean is tested by flips of sign (Winkler et al. 2014,
NeuroImage 92:381-397). nilearn is called for a block of permutations at a time: what it draws of
the largest t, enhanced t and cluster is joined, so that progress can be shown, processes can share
the work, and results do not depend on how many there are.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
from scipy import stats

from fibromorph.postprocessing.stats.designs.sections import Vbm
from fibromorph.postprocessing.stats.models.linear import Bools, Floats
from fibromorph.postprocessing.voxelwise.maps import Singles, TissueMaps
from fibromorph.postprocessing.voxelwise.question import Question

BLOCK = 50
"""Permutations a call: each computes the unpermuted statistics again."""
OnBlock = Callable[[int], object]


@dataclass(frozen=True, eq=False)
class Inference:
    """V voxels.

    Attributes:
        t: (V,) of the question.
        p: statistic -> (V,) two-sided p, family-wise over all voxels by its maximum: `voxel` (t),
            `tfce`, `cluster` (the size of the cluster that a voxel is in, 1 outside).
        largest: (permutations,) sorted max |t| of each.
    """

    t: Floats
    p: dict[str, Floats]
    largest: Floats

    @property
    def primary(self) -> str:
        """The statistic that decides."""
        return "tfce" if "tfce" in self.p else "voxel"

    def critical_t(self, alpha: float) -> float:
        """|t| above which the largest t is rarer than `alpha` under permutation."""
        return float(np.quantile(self.largest, 1 - alpha, method="higher"))

    def p_of(self, t: float) -> float:
        """Family-wise p of one t."""
        return float(_p_fwe(np.array([abs(t)]), self.largest)[0])


def permute(
    question: Question,
    maps: TissueMaps,
    settings: Vbm,
    seed: Sequence[int],
    *,
    workers: int = 1,
    on_block: OnBlock = lambda _: None,
) -> Inference:
    """Test every voxel.

    Args:
        question: what is asked.
        maps: of all people.
        settings: permutations, enhancement, clusters.
        seed: of the random numbers.
        workers: processes; results are the same for any number.
        on_block: told how many permutations are done.
    """
    outcomes = question.outcomes(maps)
    varies = np.ptp(outcomes, axis=0) > 0
    job = _Job.of(question, maps, settings, outcomes[:, varies], varies)
    counts = _counts(settings.permutations)
    draws = np.random.SeedSequence(list(seed)).generate_state(len(counts)) % (2**31 - 1)
    parts = []
    for part in _run(job, counts, [int(draw) for draw in draws], workers):
        parts.append(part)
        on_block(len(part["h0_max_t"][0]))
    return _joined(parts, varies)


@dataclass(frozen=True, eq=False)
class _Job:
    """What is the same in every block.

    Attributes:
        tested: (n, 1); outcomes: (n, W) of voxels that vary; nuisance: (n, k) or None.
        mask, affine: where the voxels lie; needed for what depends on neighbours.
        tfce, threshold: see `Vbm`.
    """

    tested: Floats
    outcomes: Singles
    nuisance: Floats | None
    mask: Bools
    affine: Floats
    tfce: bool
    threshold: float | None

    @classmethod
    def of(
        cls, question: Question, maps: TissueMaps, settings: Vbm, outcomes: Singles, varies: Bools
    ) -> _Job:
        nuisance = question.nuisance.to_numpy(float)
        return cls(
            tested=question.tested[:, None],
            outcomes=outcomes,
            nuisance=nuisance if nuisance.size else None,
            mask=np.asarray(maps.spread(varies)),
            affine=maps.affine,
            tfce=settings.tfce,
            threshold=settings.cluster_forming_p,
        )


def _counts(permutations: int) -> list[int]:
    """Blocks of about the same size."""
    blocks = -(-permutations // BLOCK)
    return [len(part) for part in np.array_split(np.arange(permutations), blocks)]


def _run(
    job: _Job, counts: list[int], seeds: list[int], workers: int
) -> Iterator[dict[str, Floats]]:
    if workers == 1:
        _take(job)
        yield from map(_block, counts, seeds)
        _taken.clear()
        return
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_take, initargs=(job,)
    ) as pool:
        yield from pool.map(_block, counts, seeds)


_taken: list[Any] = []
"""The job of this process and its masker: sent once, not with every block."""


def _take(job: _Job) -> None:
    import nibabel
    from nilearn.maskers import NiftiMasker

    masker = NiftiMasker(mask_img=nibabel.Nifti1Image(job.mask.astype(np.uint8), job.affine))
    _taken[:] = [job, masker.fit()]


def _block(count: int, seed: int) -> dict[str, Floats]:
    from nilearn.mass_univariate import permuted_ols

    job, masker = _taken
    with warnings.catch_warnings():
        # Of its own images of cluster sizes: numbers of 64 bits become 32 bits long.
        warnings.filterwarnings("ignore", message=".*64-bit ints", category=UserWarning)
        found: dict[str, Floats] = permuted_ols(
            job.tested,
            job.outcomes,
            job.nuisance,
            n_perm=count,
            two_sided_test=True,
            random_state=seed,
            masker=masker,
            tfce=job.tfce,
            threshold=job.threshold,
            output_type="dict",
        )
    return found


_STATISTICS = {
    "voxel": ("t", "h0_max_t"),
    "tfce": ("tfce", "h0_max_tfce"),
    "cluster": ("size", "h0_max_size"),
}
"""Statistic -> what `permuted_ols` calls it, and the largest of each permutation."""


def _joined(parts: Sequence[dict[str, Floats]], varies: Bools) -> Inference:
    p = {}
    for name, (observed, drawn) in _STATISTICS.items():
        if drawn in parts[0]:
            largest = np.sort(np.concatenate([part[drawn][0] for part in parts]))
            p[name] = _spread(_p_fwe(np.abs(parts[0][observed][0]), largest), varies, 1.0)
    largest = np.sort(np.concatenate([part["h0_max_t"][0] for part in parts]))
    return Inference(t=_spread(parts[0]["t"][0], varies, 0.0), p=p, largest=largest)


def _p_fwe(observed: Floats, largest: Floats) -> Floats:
    """(1 + draws that are as large) / (1 + draws)."""
    smaller = np.searchsorted(largest, observed, side="left")
    return np.asarray((1 + len(largest) - smaller) / (1 + len(largest)))


def _spread(values: Floats, varies: Bools, otherwise: float) -> Floats:
    out = np.full(len(varies), otherwise)
    out[varies] = values
    return out


def uncorrected_p(t: Floats, df: int) -> Floats:
    """Two-sided p of t, by its distribution."""
    return np.asarray(2 * stats.t.sf(np.abs(t), df))


def smoothness_mm(question: Question, maps: TissueMaps) -> float:
    """Full width at half maximum of the residuals, mean of three axes.

    From the correlation of neighbours, as of a Gaussian autocorrelation: FWHM = sqrt(8 ln 2) x
    sqrt(-1 / (4 ln r)) voxels (Kiebel et al. 1999, NeuroImage 10:756-766; Jenkinson 2000, FMRIB
    technical report TR00MJ3).
    """
    basis, _ = np.linalg.qr(question.matrix)
    outcomes = question.outcomes(maps).astype(float)
    residuals = outcomes - basis @ (basis.T @ outcomes)
    length = np.sqrt((residuals**2).sum(axis=0))
    unit = np.divide(residuals, length, out=np.zeros_like(residuals), where=length > 0)
    widths = [
        spacing * np.sqrt(8 * np.log(2)) * np.sqrt(-1 / (4 * np.log(correlation)))
        for spacing, correlation in zip(maps.spacing_mm, _neighbours(unit, maps), strict=True)
        if 0 < correlation < 1
    ]
    return float(np.mean(widths)) if widths else 0.0


def _neighbours(unit: Floats, maps: TissueMaps) -> list[float]:
    """Mean correlation of neighbouring voxels along each axis, of residuals of length 1."""
    sums = np.zeros(maps.mask.ndim)
    for row in unit:
        volume = np.asarray(maps.spread(row), float)
        sums += [
            float((np.delete(volume, 0, axis) * np.delete(volume, -1, axis)).sum())
            for axis in range(volume.ndim)
        ]
    inside = [
        int((np.delete(maps.mask, 0, axis) & np.delete(maps.mask, -1, axis)).sum())
        for axis in range(maps.mask.ndim)
    ]
    return [float(total / max(count, 1)) for total, count in zip(sums, inside, strict=True)]
