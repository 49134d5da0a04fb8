"""The same scan as other scanners, positions and accidents would have left it.

Each perturbation is a pure function of a scan, its segmentation and a generator. They come in two
kinds: `acquisition`, after which every volume should be what it was, and `wrecked`, after which no
volume may pass silently.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from fibromorph.grid import Grid, Shape3
from fibromorph.postprocessing.intracranial import intracranial_mask
from fibromorph.scans import Scan, resample
from fibromorph.serving.pipeline import Segmented

Kind = Literal["acquisition", "wrecked"]
Image = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Disturbed:
    """A scan that came out otherwise.

    Attributes:
        scan: with the header that the scanner would have written.
        lattice: where its voxels lie in the undisturbed head; a scanner does not know that a head
            was turned.
    """

    scan: Scan
    lattice: Grid


Change = Callable[[Segmented, np.random.Generator], Disturbed]

ROOM = 0.15
"""Share of the field of view added on each side, so that turning it cuts no brain."""
NECK_MARGIN_MM = 8.0
FACE = np.array([0.0, 1.0, -1.0]) / 2**0.5
"""In RAS: half-way between the front and down."""
FACE_MARGIN_MM = 5.0
"""From the brain to what is cut away."""


@dataclass(frozen=True)
class Perturbation:
    """One way in which a scan may come out otherwise.

    Attributes:
        name: as it stands in tables.
        kind: 'acquisition' or 'wrecked'.
        change: makes the scan from an undisturbed, segmented one.
    """

    name: str
    kind: Kind
    change: Change


def perturbations() -> tuple[Perturbation, ...]:
    """All of them, acquisition first, in the order of tables and pictures."""
    acquisition: dict[str, Change] = {
        **{f"rotated {angle} deg": _turned(angle) for angle in (5, 10, 20)},
        **{f"shifted {part} voxel": _shifted(part) for part in (0.25, 0.5)},
        "0.7 mm": _resampled((0.7, 0.7, 0.7)),
        "1.5 mm": _resampled((1.5, 1.5, 1.5)),
        "2 mm": _resampled((2.0, 2.0, 2.0)),
        "1 x 1 x 3 mm": _resampled((1.0, 1.0, 3.0)),
        "noise 3 %": _noisy(0.03),
        "noise 6 %": _noisy(0.06),
        "bias field 20 %": _shaded(0.2),
        "gamma 0.8": _curved(0.8),
        "gamma 1.25": _curved(1.25),
        "8 bit": _eight_bit,
        "neck cropped": _without_neck,
        "skull removed": _stripped,
        "face removed": _defaced,
    }
    wrecked: dict[str, Change] = {
        "contrast inverted": _inverted,
        "heavy motion": _moved_about,
        "half a head": _halved,
        "phantom": _phantom,
        "noise only": _noise_only,
    }
    return (
        *(Perturbation(name, "acquisition", change) for name, change in acquisition.items()),
        *(Perturbation(name, "wrecked", change) for name, change in wrecked.items()),
    )


def bright_level(image: Image) -> float:
    """What counts as the picture's full intensity: the 99th percentile of what is not empty."""
    return float(np.percentile(image[image > 0], 99)) if (image > 0).any() else 1.0


def _turned(angle_deg: float) -> Change:
    def change(result: Segmented, rng: np.random.Generator) -> Disturbed:
        axis = rng.normal(size=3)
        turn = Rotation.from_rotvec(axis / np.linalg.norm(axis) * np.deg2rad(angle_deg))
        return _repositioned(result.scan, _roomy(result.scan.grid), turn.as_matrix(), np.zeros(3))

    return change


def _shifted(part: float) -> Change:
    def change(result: Segmented, rng: np.random.Generator) -> Disturbed:
        shift = part * np.asarray(result.scan.grid.spacing_mm) * rng.choice([-1, 1], 3)
        return _repositioned(result.scan, result.scan.grid, np.eye(3), shift)

    return change


def _resampled(spacing_mm: tuple[float, float, float]) -> Change:
    def change(result: Segmented, rng: np.random.Generator) -> Disturbed:
        # A random place of the new lattice between the old voxels.
        return _seen_on(result.scan, _respaced(result.scan.grid, spacing_mm, rng.uniform(0, 1, 3)))

    return change


def _noisy(level: float) -> Change:
    def change(result: Segmented, rng: np.random.Generator) -> Disturbed:
        return _with(result.scan, _rician(result.scan.data, level, rng))

    return change


def _shaded(sd: float) -> Change:
    def change(result: Segmented, rng: np.random.Generator) -> Disturbed:
        image = result.scan.data
        zoom = np.asarray(image.shape) / 4
        field = ndimage.zoom(rng.normal(0, sd, (4, 4, 4)), zoom, order=1, mode="nearest")
        return _with(result.scan, image * np.exp(field))

    return change


def _curved(gamma: float) -> Change:
    def change(result: Segmented, rng: np.random.Generator) -> Disturbed:  # noqa: ARG001
        full = bright_level(result.scan.data)
        return _with(result.scan, full * (result.scan.data.clip(0) / full) ** gamma)

    return change


def _eight_bit(result: Segmented, rng: np.random.Generator) -> Disturbed:  # noqa: ARG001
    full = bright_level(result.scan.data)
    return _with(result.scan, np.rint((result.scan.data / full * 200).clip(0, 255)))


def _without_neck(result: Segmented, rng: np.random.Generator) -> Disturbed:  # noqa: ARG001
    """The field of view ends just below the brain."""
    grid, labels = result.scan.grid, result.labels_on_scan_grid
    axis = int(np.argmax(np.abs(grid.affine_ijk_to_ras[2, :3])))
    upwards = grid.affine_ijk_to_ras[2, axis] > 0
    others = tuple(a for a in range(3) if a != axis)
    inside = np.flatnonzero((labels > 0).any(axis=others))
    room = round(NECK_MARGIN_MM / grid.spacing_mm[axis])
    start, stop = [0, 0, 0], list(grid.shape)
    if upwards:
        start[axis] = max(int(inside[0]) - room, 0)
    else:
        stop[axis] = min(int(inside[-1]) + 1 + room, grid.shape[axis])
    shape = (stop[0] - start[0], stop[1] - start[1], stop[2] - start[2])
    return _seen_on(result.scan, grid.box((start[0], start[1], start[2]), shape))


def _stripped(result: Segmented, rng: np.random.Generator) -> Disturbed:  # noqa: ARG001
    """Everything outside the tool's own intracranial mask is removed."""
    spacing = result.scan.grid.spacing_mm
    mask = intracranial_mask(result.labels_on_scan_grid.astype(np.uint8), spacing)
    return _with(result.scan, np.where(mask, result.scan.data, 0))


def _defaced(result: Segmented, rng: np.random.Generator) -> Disturbed:  # noqa: ARG001
    """Everything in front of and below the brain is removed, as before data are shared."""
    scan = result.scan
    mask = intracranial_mask(result.labels_on_scan_grid.astype(np.uint8), scan.grid.spacing_mm)
    # Along i, j, k: how far a voxel lies to the front and down.
    towards_face = FACE @ scan.grid.affine_ijk_to_ras[:3, :3]
    i, j, k = np.ogrid[tuple(slice(0, n) for n in scan.grid.shape)]
    depth = towards_face[0] * i + towards_face[1] * j + towards_face[2] * k
    return _with(scan, np.where(depth > depth[mask].max() + FACE_MARGIN_MM, 0, scan.data))


def _inverted(result: Segmented, rng: np.random.Generator) -> Disturbed:  # noqa: ARG001
    image = result.scan.data
    return _with(result.scan, np.where(image > 0, (bright_level(image) - image).clip(0), 0))


def _moved_about(result: Segmented, rng: np.random.Generator) -> Disturbed:
    """Ghosts along the second axis, as from a head that moved between k-space lines."""
    spectrum = np.fft.fft(result.scan.data, axis=1)
    lines = spectrum.shape[1]
    shift = np.repeat(rng.normal(0, 12, -(-lines // 8)), 8)[:lines]
    phase = np.exp(-2j * np.pi * np.fft.fftfreq(lines) * shift)
    return _with(result.scan, np.abs(np.fft.ifft(spectrum * phase[None, :, None], axis=1)))


def _halved(result: Segmented, rng: np.random.Generator) -> Disturbed:  # noqa: ARG001
    """Only what lies to the right of the brain's middle is in the field of view."""
    grid = result.scan.grid
    axis = int(np.argmax(np.abs(grid.affine_ijk_to_ras[0, :3])))
    others = tuple(a for a in range(3) if a != axis)
    inside = np.flatnonzero((result.labels_on_scan_grid > 0).any(axis=others))
    middle = int(inside.mean())
    start, shape = [0, 0, 0], list(grid.shape)
    start[axis], shape[axis] = middle, grid.shape[axis] - middle
    box = grid.box((start[0], start[1], start[2]), (shape[0], shape[1], shape[2]))
    return _seen_on(result.scan, box)


def _phantom(result: Segmented, rng: np.random.Generator) -> Disturbed:
    """A ball of water of a head's size."""
    image = result.scan.data
    axes = np.ogrid[tuple(slice(0, n) for n in image.shape)]
    steps = zip(axes, image.shape, result.scan.grid.spacing_mm, strict=True)
    distance = np.sqrt(sum(((a - n / 2) * s) ** 2 for a, n, s in steps))
    ball = np.where(distance < 80, 0.7 * bright_level(image), 0).astype(np.float32)
    return _with(result.scan, _rician(ball, 0.02, rng, everywhere=True))


def _noise_only(result: Segmented, rng: np.random.Generator) -> Disturbed:
    empty = np.zeros_like(result.scan.data)
    return _with(result.scan, _rician(empty + 1e-3, 1.0, rng, everywhere=True))


def _rician(
    image: Image, level: float, rng: np.random.Generator, *, everywhere: bool = False
) -> Image:
    """Magnitude of a signal with complex Gaussian noise; an empty background stays empty."""
    sd = level * bright_level(image)
    real, imaginary = (rng.normal(0, sd, image.shape).astype(np.float32) for _ in range(2))
    noisy = np.hypot(image + real, imaginary)
    return noisy if everywhere else np.where(image > 0, noisy, 0)


def _with(scan: Scan, image: NDArray[np.floating]) -> Disturbed:
    data = np.ascontiguousarray(image, dtype=np.float32)
    return Disturbed(replace(scan, data=data), scan.grid)


def _seen_on(scan: Scan, grid: Grid) -> Disturbed:
    seen = replace(scan, data=resample(scan.data, scan.grid, grid), grid=grid)
    return Disturbed(seen, grid)


def _repositioned(
    scan: Scan, grid: Grid, turn: NDArray[np.float64], shift_mm: NDArray[np.float64]
) -> Disturbed:
    """The head moved in the scanner, whose field of view stays `grid`."""
    lattice = grid.repositioned(turn, shift_mm)
    seen = replace(scan, data=resample(scan.data, scan.grid, lattice), grid=grid)
    return Disturbed(seen, lattice)


def _roomy(grid: Grid) -> Grid:
    room = [round(ROOM * n) for n in grid.shape]
    shape = tuple(n + 2 * r for n, r in zip(grid.shape, room, strict=True))
    return grid.box((-room[0], -room[1], -room[2]), (shape[0], shape[1], shape[2]))


def _respaced(
    grid: Grid, spacing_mm: tuple[float, float, float], offset: NDArray[np.float64]
) -> Grid:
    """The same field of view with other voxels; `offset` in shares of a new voxel."""
    scale = np.asarray(spacing_mm) / grid.spacing_mm
    affine = grid.affine_ijk_to_ras.copy()
    affine[:3, :3] = affine[:3, :3] * scale
    affine[:3, 3] += affine[:3, :3] @ (offset - 0.5)
    i, j, k = (max(int(np.ceil(n / s)), 2) for n, s in zip(grid.shape, scale, strict=True))
    shape: Shape3 = (i, j, k)
    return Grid(shape, affine)
