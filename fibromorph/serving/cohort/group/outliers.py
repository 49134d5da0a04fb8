"""Scans whose volumes stand out from the cohort's, region by region."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fibromorph.serving.cohort.group.gather import Cohort, Values

LIMIT = 3.5
"""Of the modified z: Iglewicz & Hoaglin 1993, How to detect and handle outliers."""

FEWEST = 10
"""With fewer scans, the spread is not known well enough to call anything unusual."""

MAD_TO_SD = 1.4826
SMALLEST_SPREAD = 1e-3
"""Of a log volume: what differs by less than this share is never unusual."""

WHOLE = "Total-Brain"


@dataclass(frozen=True)
class Outlier:
    """One volume that stands out.

    Attributes:
        row: of the cohort.
        region: its name.
        volume_ml: the soft volume.
        z: modified z of its log share of the brain.
    """

    row: int
    region: str
    volume_ml: float
    z: float


def find_outliers(cohort: Cohort) -> list[Outlier]:
    """Volumes beyond `LIMIT`, the most unusual first; none in cohorts under `FEWEST` scans."""
    if len(cohort) < FEWEST:
        return []
    z = modified_z(cohort)
    rows, columns = np.nonzero(np.abs(np.nan_to_num(z)) > LIMIT)
    found = [
        Outlier(int(r), cohort.regions[c], float(cohort.soft_ml[r, c]), float(z[r, c]))
        for r, c in zip(rows, columns, strict=True)
    ]
    return sorted(found, key=lambda outlier: -abs(outlier.z))


def modified_z(cohort: Cohort) -> Values:
    """(n, c) how far each region's log share of the brain lies from the cohort's median, in robust
    standard deviations; the brain itself by its log volume.

    Heads differ in size by far more than their proportions: shares show a failed segmentation, or
    a wrong eTIV, that plain volumes hide. NaN where a volume is not known or zero.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(cohort.soft_ml)
    logs[~np.isfinite(logs)] = np.nan
    shares = logs.copy()
    if WHOLE in cohort.regions:
        brain = logs[:, cohort.regions.index(WHOLE)]
        parts = [i for i, name in enumerate(cohort.regions) if name != WHOLE]
        shares[:, parts] -= brain[:, None]
    return robust_z(shares)


def robust_z(values: Values) -> Values:
    """(n, c) distance from the column's median over 1.4826 times its median absolute deviation."""
    known = np.isfinite(values).any(axis=0)
    z = np.full_like(values, np.nan)
    centred = values[:, known] - np.nanmedian(values[:, known], axis=0)
    spread = MAD_TO_SD * np.nanmedian(np.abs(centred), axis=0)
    z[:, known] = centred / np.maximum(spread, SMALLEST_SPREAD)
    return z
