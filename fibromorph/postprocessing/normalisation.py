"""Spatial normalisation: a head's tissue where the average head has it, in MNI coordinates.

The maps that come out are modulated (Good et al. 2001, NeuroImage 14:21-36): shares of tissue times
the Jacobian determinant of the map from the average head to this one, so that they hold as much
grey and white matter as the head does, wherever that was moved to.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fibromorph.errors import ScanError
from fibromorph.grid import Affine, Grid, shape3
from fibromorph.manifest import file_sha256
from fibromorph.pose import moved
from fibromorph.postprocessing.tissue import Shares, Tissue
from fibromorph.scans import resample
from fibromorph.scans.resample import FWHM

AFFINE_SHRINK = (4, 2)
AFFINE_ITERATIONS = 100
STEP_MM = 1e-3
"""At which the affine part stops."""

DEMONS = ((4, 60), (2, 40), (1, 15))
"""How many times as wide as the average head's voxels are, and iterations there."""

FIELD_SIGMA = 1.5
"""Voxels, of the Gaussian that the displacements are smoothed by after every iteration."""

UNLIKE = 0.75
"""Likeness below which nobody should trust where a head was laid. Of heads and of their disturbed
scans it was 0.85 or more, of one that moved heavily 0.74, of half a head 0.56."""

Points = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Normalised:
    """A head laid over the average one.

    Attributes:
        grey, white: (i, j, k) float32 on the grid of `average_head`, shares times Jacobian; the sum
            times `voxel_ml` is the head's grey, or white, matter.
        likeness: correlation of both heads' tissue over the average one's brain, 1 = the same.
        places: where the average head's voxels came to lie, (i, j, k, 3) float32 mm along the axes
            of the head's lattice, whose first voxel's centre is the origin.
    """

    grey: Shares
    white: Shares
    likeness: float
    places: Points

    @property
    def warning(self) -> tuple[str, str] | None:
        """Code and sentence of a head that does not lie well; None of one that does."""
        if self.likeness >= UNLIKE:
            return None
        told = f"the head hardly lies over the average one (correlation {self.likeness:.2f})"
        return "unlike_average_head", told


@cache
def average_head() -> Tissue:
    """Grey and white matter of 20 heads, laid over each other in MNI coordinates, 1.5 mm voxels.

    See `training.average_head`.
    """
    with _average_head_file() as path:
        return read_tissue(path)


def average_head_sha256() -> str:
    """Of the file that `average_head` reads."""
    with _average_head_file() as path:
        return file_sha256(path)


def _average_head_file() -> AbstractContextManager[Path]:
    return as_file(files("fibromorph.postprocessing") / "average_head.nii.gz")


def read_tissue(path: Path) -> Tissue:
    """Shares from a file of two volumes, grey and white matter times 255."""
    image = nib.load(path)
    grey, white = np.moveaxis(np.asarray(image.dataobj, dtype=np.float32) / 255.0, -1, 0)
    return Tissue(grey, white, Grid(shape3(grey.shape), np.asarray(image.affine, dtype=float)))


def normalise_head(
    tissue: Tissue,
    threads: int,
    average: Tissue | None = None,
    *,
    sessions: Sequence[Tissue] = (),
) -> Normalised:
    """Lay a head over the average one: affine, then by diffeomorphic demons, both of ITK.

    Vercauteren et al. 2009, NeuroImage 45:S61-S72. Both heads are pictures of their tissue, alike
    in contrast whatever the scan was, so that squared differences compare them.

    Args:
        tissue: of the head, on a lattice that runs to the right, to the front and up in it.
        threads: of the CPU.
        average: another than `average_head`.
        sessions: other scans of this head. The affine parts are each scan's own; then all are
            laid over the average head as their mean is: what differs between their maps is not
            how differently each would have been deformed.

    Raises:
        ScanError, ModuleNotFoundError: see `places_in`.
    """
    average, tissue = average or average_head(), _upright(tissue)
    places = places_in(tissue, average, threads, [_upright(other) for other in sessions])
    laid = Tissue(
        sampled(tissue.grey, tissue.grid, places, average.grid),
        sampled(tissue.white, tissue.grid, places, average.grid),
        average.grid,
    )
    brain = average.picture > 0.5  # half grey matter, or more
    likeness = np.corrcoef(laid.picture[brain], average.picture[brain])[0, 1]
    grown = growth(places, average.grid)
    return Normalised(laid.grey * grown, laid.white * grown, float(likeness), places)


def places_in(
    tissue: Tissue, average: Tissue, threads: int, sessions: Sequence[Tissue] = ()
) -> Points:
    """Where in a head the voxels of the average one come to lie, (i, j, k, 3) float32 mm.

    Args:
        tissue: of a head that lies about as the average one does.
        average: see `average_head`.
        threads: of the CPU.
        sessions: see `normalise_head`.

    Raises:
        ScanError: there is hardly a head.
        ModuleNotFoundError: SimpleITK is not installed.
    """
    import SimpleITK as sitk

    fixed = _itk_image(average)
    heads = [_itk_image(_coarse(head, average.grid)) for head in (tissue, *sessions)]
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    try:
        affines = [_affine(fixed, head) for head in heads]
        turned = [sitk.Resample(h, fixed, a) for h, a in zip(heads, affines, strict=True)]
        field = _diffeomorphism(fixed, _mean(turned))
    except RuntimeError as error:
        rule = "a head must be found to lie over the average one, to be mapped"
        raise ScanError(rule, value=str(error).strip().rpartition("\n")[2]) from None
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
    shifts = np.moveaxis(sitk.GetArrayFromImage(field), (0, 1, 2), (2, 1, 0)).astype(np.float32)
    voxels = np.moveaxis(np.indices(average.grid.shape, dtype=float), 0, -1)
    own = moved(average.grid.affine_ijk_to_ras, voxels) + shifts
    places: Points = moved(_matrix_of(affines[0]), own).astype(np.float32)
    return places


def sampled(shares: Shares, grid: Grid, places: Points, near: Grid) -> Shares:
    """An image of a head at places in it, 0 outside.

    Args:
        shares: (i, j, k) on `grid`.
        grid: of the head.
        places: (..., 3) RAS mm.
        near: the lattice whose voxels came to lie at `places`: finer ones are averaged to it.
    """
    finer = np.asarray(near.spacing_mm) / grid.spacing_mm
    smooth = ndimage.gaussian_filter(shares, np.sqrt(np.maximum(finer**2 - 1, 0)) / FWHM)
    voxels = moved(grid.affine_ras_to_ijk, places.astype(float))
    values: Shares = ndimage.map_coordinates(smooth, np.moveaxis(voxels, -1, 0), order=1)
    return values


def growth(places: Points, grid: Grid) -> Shares:
    """Volume in the head over volume in the average one, (i, j, k): the Jacobian determinant."""
    slopes = np.stack([np.gradient(places, axis=axis) for axis in range(3)], axis=-1)
    return np.asarray(np.linalg.det(slopes) / (1000.0 * grid.voxel_ml), dtype=np.float32)


def _upright(tissue: Tissue) -> Tissue:
    """The head alone, its lattice along the axes: scans are turned by more than one expects."""
    grid = Grid(tissue.grid.shape, np.diag([*tissue.grid.spacing_mm, 1.0]))
    return Tissue(tissue.grey, tissue.white, grid)


def _coarse(tissue: Tissue, like: Grid) -> Tissue:
    """Voxels as large as the average head's: finer ones cost time and show nothing more."""
    scale = np.asarray(like.spacing_mm) / tissue.grid.spacing_mm
    shape = shape3(np.ceil(tissue.grid.shape / scale))
    grid = Grid(shape, tissue.grid.affine_ijk_to_ras @ np.diag([*scale, 1.0]))
    return Tissue(
        resample(tissue.grey, tissue.grid, grid), resample(tissue.white, tissue.grid, grid), grid
    )


def _itk_image(tissue: Tissue) -> Any:
    """Its picture; ITK counts in LPS, but both heads' lattices run along the axes as here."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(tissue.picture.T))
    image.SetSpacing(tissue.grid.spacing_mm)
    image.SetOrigin(tuple(tissue.grid.affine_ijk_to_ras[:3, 3]))
    return image


def _affine(fixed: Any, moving: Any) -> Any:
    """From the average head to the other, least squares, coarse to fine."""
    import SimpleITK as sitk

    start = sitk.CenteredTransformInitializer(
        fixed,
        moving,
        sitk.AffineTransform(3),
        sitk.CenteredTransformInitializerFilter.MOMENTS,
    )
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMeanSquares()
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=1.0,
        minStep=STEP_MM,
        numberOfIterations=AFFINE_ITERATIONS,
        gradientMagnitudeTolerance=1e-8,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(AFFINE_SHRINK)
    method.SetSmoothingSigmasPerLevel(AFFINE_SHRINK)
    method.SetInitialTransform(start, inPlace=True)
    method.Execute(fixed, moving)
    return start


def _diffeomorphism(fixed: Any, moving: Any) -> Any:
    """Displacements in mm on the voxels of `fixed`, coarse to fine."""
    import SimpleITK as sitk

    demons = sitk.DiffeomorphicDemonsRegistrationFilter()
    demons.SetSmoothDisplacementField(True)
    demons.SetStandardDeviations(FIELD_SIGMA)
    field = None
    for shrink, iterations in DEMONS:
        coarse = [
            sitk.Shrink(sitk.SmoothingRecursiveGaussian(image, shrink / 2), [shrink] * 3)
            if shrink > 1
            else image
            for image in (fixed, moving)
        ]
        demons.SetNumberOfIterations(iterations)
        if field is None:
            field = demons.Execute(*coarse)
        else:
            field = demons.Execute(*coarse, sitk.Resample(field, coarse[0]))
    return field


def _mean(images: Sequence[Any]) -> Any:
    """Of images on one lattice; their order does not matter, to the last digit."""
    import SimpleITK as sitk

    arrays = sorted(map(sitk.GetArrayFromImage, images), key=lambda a: float(a.sum(dtype=float)))
    mean = sitk.GetImageFromArray(np.mean(arrays, axis=0))
    mean.CopyInformation(images[0])
    return mean


def _matrix_of(affine: Any) -> Affine:
    """(4, 4) of an affine transform about a centre."""
    turn, centre = np.reshape(affine.GetMatrix(), (3, 3)), np.array(affine.GetCenter())
    matrix = np.eye(4)
    matrix[:3, :3] = turn
    matrix[:3, 3] = np.array(affine.GetTranslation()) + centre - turn @ centre
    return matrix
