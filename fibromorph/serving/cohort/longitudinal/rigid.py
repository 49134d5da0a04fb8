"""Rigid registration of two scans of one head, symmetric: both are moved half of the way.

Treating the sessions of a person alike is what keeps a longitudinal step from inventing change
(Reuter & Fischl 2011, NeuroImage 57:19-21).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize
from scipy.spatial.transform import Rotation

from fibromorph.grid import Affine, Grid
from fibromorph.located import BRAIN_BLOCK
from fibromorph.preprocess import Conformed

SPACINGS_MM = (8.0, 4.0)
"""Of the lattices that both are compared on, coarse to fine."""

LEVER_MM = 60.0
"""A turn by one radian moves the brain's surface by this: makes turns and shifts comparable."""

TOLERANCE_MM = 0.02

DETAIL_MM = (1.0, 4.0)
"""Structure between these widths of Gaussians is a person's own: folds and ventricles, neither
noise nor shading."""

LIKENESS_STEP_MM = 3.0
MOSTLY_BRAIN = 0.5
"""Least product of both brains' shares where their structure is compared."""

LEAST_LIKENESS = 0.6
"""Of one head; docs/cohorts.md has what re-scans, other heads and mirrored ones reach."""

MOST_TURN_DEG = 40.0
"""Between two boxes, in which heads are upright where their poses are known; half of it is what
networks are trained to bear."""


@dataclass(frozen=True, eq=False)
class _Image:
    """Values around the middle of a box.

    Attributes:
        values: (i, j, k).
        spacing_mm: between them, along all axes.
        middle: (3,) voxel indices of the middle of the box.
    """

    values: NDArray[np.float32]
    spacing_mm: float
    middle: NDArray[np.float64]

    def at(self, points: NDArray[np.float64]) -> NDArray[np.float32]:
        """Values at (3, n) mm from the middle along the box's axes."""
        voxels = points / self.spacing_mm + self.middle[:, None]
        return np.asarray(ndimage.map_coordinates(self.values, voxels, order=1, mode="nearest"))


@dataclass(frozen=True, eq=False)
class Head:
    """A conformed scan made ready to be registered, once for all pairs that it is in.

    Attributes:
        key: of what lies in the box; equal keys register alike.
        half_mm: (3,) from the middle of the box to the centres of its outermost voxels.
        smooth: blurred to each of `SPACINGS_MM`.
        detail: its finer structure, see `DETAIL_MM`.
        brain: share of brain, 0 to 1.
    """

    key: str
    half_mm: NDArray[np.float64]
    smooth: tuple[_Image, ...]
    detail: _Image
    brain: _Image


@dataclass(frozen=True, eq=False)
class Registration:
    """What was found for a pair.

    Attributes:
        motion: (4, 4) rigid, from mm about the middle of the box of `moving`, along its axes, to
            those of `fixed`.
        turn_deg: how far it turns.
        likeness: correlation of both brains' finer structure once they lie on each other.
    """

    motion: Affine
    turn_deg: float
    likeness: float

    @property
    def is_one_head(self) -> bool:
        """False if this cannot be one head in two positions that people take in a scanner."""
        return self.likeness >= LEAST_LIKENESS and self.turn_deg <= MOST_TURN_DEG


def head_of(scan: Conformed) -> Head:
    """Make a conformed scan, a box around the brain, ready to be registered."""
    affine = np.ascontiguousarray(scan.grid.affine_ijk_to_ras)
    content = np.ascontiguousarray(scan.intensities)
    key = sha256(affine.tobytes() + content.tobytes()).hexdigest()
    half_mm = (np.array(scan.grid.shape) - 1) * scan.grid.spacing_mm / 2
    fine, coarse = (_blurred(scan, mm) for mm in DETAIL_MM)
    brain = _image(scan.brain, scan.grid.blocks(BRAIN_BLOCK))
    return Head(
        key,
        half_mm,
        tuple(_thinned(_blurred(scan, 0.5 * mm), scan.grid, mm) for mm in SPACINGS_MM),
        _image(fine - coarse, scan.grid),
        brain,
    )


def register(fixed: Head, moving: Head) -> Registration:
    """The rigid motion that brings `moving` onto `fixed`, and whether it may be believed.

    Maximises the correlation of intensities half-way between the two, so that exchanging them
    gives the inverse.

    Args:
        fixed, moving: two scans of one head.
    """
    half = np.zeros(6)
    for level, spacing_mm in enumerate(SPACINGS_MM):
        found = optimize.minimize(
            _mismatch(
                fixed.smooth[level], moving.smooth[level], _lattice(fixed, moving, spacing_mm)
            ),
            half,
            method="Powell",
            options={"xtol": TOLERANCE_MM / 4, "ftol": 1e-7},
        )
        half = np.asarray(found.x)
    turn, shift = _halves(half)
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = turn.as_matrix(), shift
    turn_deg = float(np.degrees(2 * turn.magnitude()))
    return Registration(motion @ motion, turn_deg, _likeness(fixed, moving, half))


def _likeness(fixed: Head, moving: Head, half: NDArray[np.float64]) -> float:
    """Correlation of finer structure in what is brain in both, -1 to 1; 0 where nothing is."""
    ahead, back = _apart(half, _lattice(fixed, moving, LIKENESS_STEP_MM))
    # Skull, face and the border of a stripped brain may be in the one and not in the other.
    brain = fixed.brain.at(ahead) * moving.brain.at(back) > MOSTLY_BRAIN
    one, other = fixed.detail.at(ahead[:, brain]), moving.detail.at(back[:, brain])
    spread = float(one.std() * other.std()) if one.size else 0.0
    return float(np.mean((one - one.mean()) * (other - other.mean()))) / spread if spread else 0.0


def _mismatch(
    fixed: _Image, moving: _Image, points: NDArray[np.float64]
) -> Callable[[NDArray[np.float64]], float]:
    def cost(half: NDArray[np.float64]) -> float:
        ahead, back = _apart(half, points)
        return 1.0 - float(np.corrcoef(fixed.at(ahead), moving.at(back))[0, 1])

    return cost


def _apart(
    half: NDArray[np.float64], points: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where (3, n) points half-way between two heads lie in the one and in the other."""
    turn, shift = _halves(half)
    ahead = turn.as_matrix() @ points + shift[:, None]
    return ahead, turn.inv().as_matrix() @ (points - shift[:, None])


def _halves(half: NDArray[np.float64]) -> tuple[Rotation, NDArray[np.float64]]:
    """Six numbers in mm -> half of the turn and half of the shift."""
    return Rotation.from_rotvec(half[:3] / LEVER_MM), half[3:]


def _blurred(scan: Conformed, sigma_mm: float) -> NDArray[np.float32]:
    sigma = sigma_mm / scan.grid.spacing_mm[0]
    return np.asarray(ndimage.gaussian_filter(scan.intensities, sigma), dtype=np.float32)


def _image(values: NDArray[np.float32], grid: Grid) -> _Image:
    return _Image(values, grid.spacing_mm[0], (np.array(values.shape) - 1) / 2)


def _thinned(blurred: NDArray[np.float32], grid: Grid, spacing_mm: float) -> _Image:
    """Every so many voxels, two a spacing: what is smooth loses nothing, and memory is fast."""
    step = max(1, int(spacing_mm / 2 / grid.spacing_mm[0]))
    whole = _image(blurred, grid)
    few = np.ascontiguousarray(blurred[::step, ::step, ::step])
    return _Image(few, whole.spacing_mm * step, whole.middle / step)


def _lattice(fixed: Head, moving: Head, spacing_mm: float) -> NDArray[np.float64]:
    """(3, n) mm from the middle, points of a lattice inside both boxes."""
    half_mm = np.minimum(fixed.half_mm, moving.half_mm)
    axes = [np.arange(-h, h + 1e-6, spacing_mm) for h in half_mm]
    return np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")]).astype(np.float64)
