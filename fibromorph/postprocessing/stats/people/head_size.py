"""Taking head size out of volumes before the model sees them, for those who want that."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fibromorph.postprocessing.stats.designs.sections import EtivMethod
from fibromorph.postprocessing.stats.models.linear import Floats

RATIO_WARNING = (
    "All {divided} were divided by eTIV. {regions} do not grow in proportion to the head, so ratios"
    " keep part of the head's size in them and add the error of eTIV; read the other adjustments"
    " too."
)
HEADS_APART_D = 0.5


def ratio_warning(divided: str, regions: str = "Regions") -> str:
    """What a reader has to know of `etiv: ratio`.

    Args:
        divided: what was divided by eTIV.
        regions: how the second sentence begins.
    """
    return RATIO_WARNING.format(divided=divided, regions=regions)


def adjustment_note(etiv: pd.Series | None, patients: pd.Series, method: EtivMethod) -> str:
    """What to know of a method on these heads; '' = nothing."""
    if method == "ratio":
        return ratio_warning("regions", "They")
    if method not in ("residual", "power") or etiv is None:
        return ""
    ill, well = etiv[patients.astype(bool)], etiv[~patients.astype(bool)]
    apart = abs(ill.mean() - well.mean()) / np.sqrt((ill.var() + well.var()) / 2)
    if not apart > HEADS_APART_D:
        return ""
    return (
        f"The groups' eTIV differ by {apart:.1f} standard deviations. The slope on eTIV (etiv:"
        f" {method}) was estimated in the controls, and its own error is not in se and p, which are"
        " too small here; etiv: covariate includes it."
    )


def adjust(
    volumes: pd.DataFrame, etiv: pd.Series | None, controls: pd.Series, method: EtivMethod
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Volumes with head size taken out.

    `residual` subtracts the slope on eTIV in controls (Mathalon et al. 1993); `power` divides by
    (eTIV / mean)^b with b the log-log slope in controls (Liu et al. 2014); `ratio` is `power` with
    b = 1; `covariate` and `none` leave volumes as they are.

    Args:
        volumes: (scans, regions) ml.
        etiv: (scans,) ml.
        controls: True for those whose slope is used.
        method: see above.

    Returns:
        Volumes in ml at the controls' mean eTIV, and what standard deviations are multiplied by
        (None for 1).
    """
    if etiv is None or method in ("covariate", "none"):
        return volumes, None
    sizes, values = etiv.to_numpy(float), volumes.to_numpy(float)
    fitted_on = controls.to_numpy(bool)
    mean = float(np.nanmean(sizes[fitted_on]))
    if method == "residual":
        slopes = [_slope(sizes[fitted_on], column) for column in values[fitted_on].T]
        shift = np.outer(sizes - mean, slopes)
        return volumes - pd.DataFrame(shift, volumes.index, volumes.columns), None
    exponents = np.ones(values.shape[1])
    if method == "power":
        logs = np.log(sizes[fitted_on])
        exponents = np.array([_slope(logs, np.log(column)) for column in values[fitted_on].T])
    powers = (sizes / mean)[:, None] ** -exponents
    factor = pd.DataFrame(powers, volumes.index, volumes.columns)
    return volumes * factor, factor


def _slope(x: Floats, y: Floats) -> float:
    known = ~np.isnan(x) & ~np.isnan(y)
    centred = x[known] - x[known].mean()
    return float(centred @ y[known] / (centred @ centred))
