"""How a head lies in its scan, found by laying an average brain over what the locator saw."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize
from scipy.spatial.transform import Rotation

from fibromorph.grid import Affine, Grid

AVERAGE_STEP_MM = 8.0
"""Between the points of the average brain."""

SMOOTHED_MM = 5.0
"""Standard deviation: the average brain and what is compared with it are smooth alike."""

LARGEST_MISFIT = 0.3
"""Whole brains differ from the average by 0.11 to 0.21 of its sum; half a brain by more."""

LARGEST_TILT_DEG = 60.0

ROUGHLY, TOLERANCE = 1e-3, 1e-6
"""Relative, of the sum of squares and of the step: last digits, in which engines differ, move no
lattice by what a label would show."""

NEAR_STEPS = 1
"""What lies further from the average brain, in its own points, is not looked at."""

UNLIKE = 0.15
"""Differences of shares beyond this count little in the end: what a locator misses of one brain,
the average has, and it must not turn that over the gap."""

SHIFT_UNIT_MM = 20.0
"""By which a shift changes the overlap about as much as a radian does."""

Points = NDArray[np.float64]
Image = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Pose:
    """How a head lies.

    Attributes:
        axes: (3, 3) float64, columns are the directions in RAS that run to the right, to the front
            and up in the head itself; a rotation.
        middle_ras: (3,) float64, RAS mm where the middle of the average brain came to lie.
        misfit: what is left between the brain and the average, as a share of that one's sum.
    """

    axes: NDArray[np.float64]
    middle_ras: NDArray[np.float64]
    misfit: float

    @property
    def tilt_deg(self) -> float:
        """By how much the head is turned away from RAS, about whichever axis."""
        return apart_deg(self.axes, np.eye(3))


def apart_deg(axes: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """By how much one (3, 3) rotation is turned away from another, about whichever axis."""
    return float(np.rad2deg(Rotation.from_matrix(axes @ other.T).magnitude()))


def pose_of(brain: Image, grid: Grid) -> Pose | None:
    """How a head lies; None where what was seen is hardly a whole brain, or lies as none does.

    Args:
        brain: (i, j, k) share of each voxel that is brain, 0 to 1, all of one head.
        grid: where these voxels lie.
    """
    if not brain.any():
        return None
    pose = laid_over(brain, grid, average_brain())
    return pose if pose.misfit <= LARGEST_MISFIT and pose.tilt_deg <= LARGEST_TILT_DEG else None


def laid_over(brain: Image, grid: Grid, average: Points) -> Pose:
    """Turn, shift and scale an average brain onto one that was found.

    Least squares over a rotation, a shift and three scales, by Levenberg and Marquardt's method,
    then, from there, with squares that level off as Geman and McClure's (1987) do.

    Args:
        brain, grid: see `pose_of`.
        average: (i, j, k) shares of brain, 0 to 1, see `average_brain`.
    """
    near = ndimage.binary_dilation(average > 0, iterations=NEAR_STEPS)
    points: Points = points_of(average.shape)[near.ravel()]
    wanted: Points = average[near]
    middle = wanted @ points / wanted.sum()
    smooth, centre = smoothed(brain, grid)
    sizes = float(smooth.sum()) * grid.voxel_ml, float(average.sum()) * AVERAGE_STEP_MM**3 / 1000.0
    scale = (sizes[0] / sizes[1]) ** (1 / 3)

    def difference(by: NDArray[np.float64]) -> NDArray[np.float64]:
        turn = Rotation.from_rotvec(by[:3]).as_matrix()
        laid = ((points - middle) * (scale * np.exp(by[6:]))) @ turn.T
        found = sampled(smooth, grid, laid + centre + SHIFT_UNIT_MM * by[3:6])
        return found - wanted

    def unlike(by: NDArray[np.float64]) -> NDArray[np.float64]:
        left = difference(by)
        levelled: NDArray[np.float64] = left / np.hypot(1.0, left / UNLIKE)
        return levelled

    best = np.zeros(9)
    # This method of SciPy's takes no loss, so it is in the residuals.
    for residuals, tolerance in ((difference, ROUGHLY), (unlike, TOLERANCE)):
        best = optimize.least_squares(
            residuals, best, method="lm", diff_step=1e-3, ftol=tolerance, xtol=tolerance
        ).x
    return Pose(
        axes=Rotation.from_rotvec(best[:3]).as_matrix(),
        middle_ras=centre + SHIFT_UNIT_MM * best[3:6],
        misfit=float(np.abs(difference(best)).sum() / wanted.sum()),
    )


@cache
def average_brain() -> Points:
    """(i, j, k) float64 shares of brain, smoothed, 0 to 1, at points `AVERAGE_STEP_MM` apart, RAS+.

    The mean of the 20 label maps that `t1-open` has learnt from, laid over each other and mirrored,
    in the mean of their own positions. See `training.average_brain`.
    """
    with files("fibromorph").joinpath("average_brain.npy").open("rb") as file:
        shares: Points = np.load(file).astype(np.float64) / 255.0
    return shares


def points_of(shape: tuple[int, ...]) -> Points:
    """(n, 3) RAS mm of the points of an average brain, around their middle."""
    axes = [(np.arange(n) - (n - 1) / 2) * AVERAGE_STEP_MM for n in shape]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def smoothed(brain: Image, grid: Grid) -> tuple[Image, Points]:
    """A brain as smooth as the average one, and (3,) RAS mm of its centre of mass."""
    smooth = ndimage.gaussian_filter(brain, SMOOTHED_MM / np.asarray(grid.spacing_mm))
    return smooth, moved(grid.affine_ijk_to_ras, np.array(ndimage.center_of_mass(smooth)))


def sampled(image: Image, grid: Grid, points: Points) -> Points:
    """Values of an image at (n, 3) RAS mm, 0 outside of it."""
    voxels = moved(grid.affine_ras_to_ijk, points)
    values: Points = ndimage.map_coordinates(image, voxels.T, order=1, prefilter=False)
    return values


def moved(affine: Affine, points: Points) -> Points:
    """(n, 3) or (3,) points after a motion, (4, 4)."""
    there: Points = points @ affine[:3, :3].T + affine[:3, 3]
    return there
