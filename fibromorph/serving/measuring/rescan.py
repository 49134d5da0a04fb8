"""Simulated second scans of the same head, to measure how repeatable a volume is.

Another position in the scanner, another grid, other noise and shading. What they leave out (other
scanners, sequences, motion, days) makes the true error larger.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from fibromorph.preprocess import air_of
from fibromorph.scans import Scan, resample


@dataclass(frozen=True)
class Repositioning:
    """One simulated re-scan.

    Attributes:
        rotation_deg: about x, y, z.
        shift_mm: along x, y, z.
        log_bias: (3, 3, 3) control points of the log of the shading.
        noise: standard deviation, relative to the 99th percentile of the scan.
        seed: of the noise.
    """

    rotation_deg: tuple[float, float, float]
    shift_mm: tuple[float, float, float]
    log_bias: tuple[float, ...]
    noise: float
    seed: int


def draw_rescan(rng: np.random.Generator) -> Repositioning:
    """Draw a position within 6 degrees and 4 mm, shading of 5 % and noise of 1.5 %."""
    turn, shift = rng.uniform(-6, 6, 3).tolist(), rng.uniform(-4, 4, 3).tolist()
    bias = rng.normal(0, 0.05, 27).tolist()
    return Repositioning(
        (turn[0], turn[1], turn[2]),
        (shift[0], shift[1], shift[2]),
        tuple(bias),
        0.015,
        int(rng.integers(2**31)),
    )


def with_dark_air(scan: Scan) -> Scan:
    """The scan with 0 for air and nothing below, as scanners store it.

    What disturbs a scan takes intensities for those of a scanner; a scan of zero mean or with an
    offset would lose half of its brain below 0.
    """
    return replace(scan, data=(scan.data - air_of(scan.data)).clip(0))


def apply_rescan(scan: Scan, params: Repositioning) -> Scan:
    """The scan as it would have come out in another position, which its header does not know.

    Args:
        scan: with dark air, see `with_dark_air`.
        params: position, shading and noise.
    """
    turn = Rotation.from_euler("xyz", params.rotation_deg, degrees=True).as_matrix()
    moved = scan.grid.repositioned(turn, params.shift_mm)
    image = resample(scan.data, scan.grid, moved)
    shape = np.asarray(image.shape) / 3
    bias = ndimage.zoom(np.reshape(params.log_bias, (3, 3, 3)), shape, order=1, mode="nearest")
    rng = np.random.default_rng(params.seed)
    noise = rng.normal(0, params.noise * np.percentile(image, 99), image.shape)
    # Skull-stripped scans keep their empty background.
    noisy = np.where(image > 0, image * np.exp(bias) + noise, 0).clip(0)
    return replace(scan, data=noisy.astype(np.float32))
