"""Signal and contrast of an image, given where its tissues are."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fibromorph.labels import LabelTable
from fibromorph.postprocessing.components import grow

# Score 0, score 1.
CJV_RAMP = (2.5, 1.0)
MOTTLE_RAMP = (0.14, 0.10)
# Below the first ramp the CJV still tells coarse and noisy scans (0.6 to 0.7) from better ones (0.5
# to 0.6): it takes up to a tenth of the score.
FINE_CJV_RAMP, FINE_SHARE = (1.0, 0.4), 0.1

# Per cent of cerebral white matter in dark spots: a note from the first on, to be looked at from
# the second. In seven scans of healthy heads `t1-open` has 0.06 % at most, with 1, 4 and 12 ml of
# spots planted in one of them (`benchmarks.lesions`) 0.14, 0.46 and 1.1 %, after heavy motion 0.22;
# `t1-research`, in the same, 0.14, then 0.26, 0.48 and 1.2 %.
DARK_LIMITS = (0.2, 0.8)
DARK_BELOW = 0.5
"""Darker than its surroundings by so much of the contrast between white and grey is dark."""
DARK_BLOCK, DARK_DEPTH = 2, 2
"""Voxels: length of the blocks that are looked at, and how deep in white matter they lie."""

BLOCK_VOXELS = 3
SHADING_VOXELS = 8.0
WHOLE_BLOCK = 0.75


def image_measures(
    image: NDArray[np.float32], labels: NDArray[np.uint8], table: LabelTable
) -> dict[str, float]:
    """Signal and contrast as MRIQC defines them, without its bias-field correction.

    White and grey are cerebral white matter and cortex, mu a median, sigma a standard deviation
    (in the CJV a median absolute deviation x 1.4826), n voxels; air is what is not labelled and
    darker than 15 % of white matter. SNR = mu / (sigma sqrt(n / (n - 1))); CNR = |mu_white -
    mu_grey| / sqrt(sigma_air^2 + sigma_white^2 + sigma_grey^2); CJV = (sigma_white + sigma_grey)
    / |mu_white - mu_grey|. Source: MRIQC, `mriqc.qc.anatomical`.

    `mottle_white` is our own: how uneven white matter is at a scale of some millimetres, where it
    should not be, relative to |mu_white - mu_grey|. Noise is finer and shading coarser; what a
    moving head leaves is not. In five scans it was 0.05 to 0.09, with `perturbations`' noise of 6 %
    or shading of 20 % up to 0.11, after its heavy motion 0.14 to 0.22. `dark_white_percent`, ours
    too, is the share of white matter that lies in dark spots deep in it, such as lesions.
    """
    white_mask = np.isin(labels, table.ids_of("Cerebral-White-Matter"))
    white = image[white_mask]
    grey = image[np.isin(labels, table.ids_of("Cerebral-Cortex"))]
    fluid = image[np.isin(labels, [label.id for label in table if label.tissue == "csf"])]
    if min(white.size, grey.size) < 100:
        return {}
    middle = {"white": float(np.median(white)), "grey": float(np.median(grey))}
    out = {f"median_{tissue}": value for tissue, value in middle.items()}
    if fluid.size >= 100:
        out["median_csf"] = float(np.median(fluid))
    step = max(abs(middle["white"] - middle["grey"]), 1e-6 * abs(middle["white"]), 1e-12)
    air = image[(labels == 0) & (image < 0.15 * middle["white"])]
    noise = np.sqrt(white.var() + grey.var() + (air.var() if air.size else 0.0))
    spread = _mad(white, middle["white"]) + _mad(grey, middle["grey"])
    mottle = _mottle(image, white_mask)
    if mottle is not None:
        out["mottle_white"] = min(mottle / step, 99.0)
    if middle["white"] > middle["grey"]:
        out["dark_white_percent"] = _dark_percent(image, white_mask, DARK_BELOW * step)
    return out | {
        "snr_white": _snr(white, middle["white"]),
        "snr_grey": _snr(grey, middle["grey"]),
        "cnr": float(step / max(noise, 1e-12)),
        "cjv": min(float(spread / step), 99.0),
    }


def is_t1_weighted(measures: Mapping[str, float]) -> bool | None:
    """True if white matter is brighter than grey, and grey than CSF; None if not measurable."""
    if "median_csf" not in measures:
        return None
    return measures["median_white"] > measures["median_grey"] > measures["median_csf"]


def contrast_factor(measures: Mapping[str, float]) -> float:
    if not measures:
        return 0.0
    order = 0.5 if is_t1_weighted(measures) is False else 1.0
    still = ramp(measures.get("mottle_white", 0.0), *MOTTLE_RAMP)
    clear = ramp(measures["cjv"], *CJV_RAMP)
    fine = 1.0 - FINE_SHARE * (1.0 - ramp(measures["cjv"], *FINE_CJV_RAMP))
    return order * still * clear * fine


def ramp(value: float, zero_at: float, one_at: float) -> float:
    """Linear from 0 at `zero_at` to 1 at `one_at`, in either direction, clipped."""
    return min(max((value - zero_at) / (one_at - zero_at), 0.0), 1.0)


def _mottle(image: NDArray[np.float32], white: NDArray[np.bool_]) -> float | None:
    """MAD x 1.4826 of means over blocks inside white matter, what is smooth taken out."""
    inside = ~grow(~white, 1)
    share = _block_means(inside.astype(np.float32), BLOCK_VOXELS)
    total = _block_means(image * inside, BLOCK_VOXELS)
    whole = share >= WHOLE_BLOCK
    if np.count_nonzero(whole) < 100:
        return None
    smooth = _around(total, share, BLOCK_VOXELS)
    return _mad(total[whole] / share[whole] - smooth[whole], 0.0)


def _dark_percent(image: NDArray[np.float32], white: NDArray[np.bool_], darker_by: float) -> float:
    """% of white matter in blocks that are darker than what is around them, deep in it."""
    share = _block_means(white.astype(np.float32), DARK_BLOCK)
    total = _block_means(image * white, DARK_BLOCK)
    deep = _block_means((~grow(~white, DARK_DEPTH)).astype(np.float32), DARK_BLOCK) == 1
    dark = deep & (total < _around(total, share, DARK_BLOCK) - darker_by)
    return 100.0 * np.count_nonzero(dark) * DARK_BLOCK**3 / np.count_nonzero(white)


def _around(
    total: NDArray[np.float32], share: NDArray[np.float32], block: int
) -> NDArray[np.float32]:
    """Mean over the white matter around each block, 0 where there is none near."""
    width = SHADING_VOXELS / block
    near = ndimage.gaussian_filter(share, width)
    mean: NDArray[np.float32] = np.divide(
        ndimage.gaussian_filter(total, width), near, out=np.zeros_like(near), where=near > 0
    )
    return mean


def _block_means(values: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    i, j, k = (length // n * n for length in values.shape)
    sums = values[:i, :j, :k]
    # Axis by axis: one mean over three short axes takes NumPy four times as long.
    for axis in range(3):
        along = np.moveaxis(sums, axis, 0)
        sums = np.moveaxis(reduce(np.add, (along[first::n] for first in range(n))), 0, axis)
    return sums / np.float32(n**3)


def _mad(values: NDArray[np.float32], middle: float) -> float:
    return 1.4826 * float(np.median(np.abs(values - middle)))


def _snr(values: NDArray[np.float32], middle: float) -> float:
    scatter = float(values.std()) * np.sqrt(values.size / (values.size - 1))
    return min(float(middle / max(scatter, 1e-12)), 999.0)
