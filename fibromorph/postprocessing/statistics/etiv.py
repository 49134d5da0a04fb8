"""Head size: as a covariate, or taken out of the volumes beforehand."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fibromorph.errors import ConfigError

Floats = NDArray[np.float64]


def head_size_free(
    volumes_ml: pd.DataFrame, etiv_ml: Floats, is_patient: Floats, method: str
) -> pd.DataFrame:
    """Volumes with eTIV taken out; unchanged for 'covariate' and 'none'.

    'residual': volume - slope (eTIV - mean), the line fitted on controls (Voevodskaya 2014);
    'power': volume / (eTIV / mean) ** exponent, fitted on controls in logarithms (Liu 2014);
    'ratio': volume / eTIV * mean. The mean is that of the controls. Without controls, of all.

    Args:
        volumes_ml: n x regions.
        etiv_ml: (n,).
        is_patient: (n,) 1 or 0.
        method: as in the design file.

    Raises:
        ConfigError: fewer than 5 controls to fit on, or a volume of 0 for the power law.
    """
    if method in {"covariate", "none"}:
        return volumes_ml
    reference = is_patient == 0 if (is_patient == 0).any() else np.ones_like(is_patient, bool)
    if reference.sum() < 5:
        rule = "etiv.method 'residual' and 'power' need at least 5 controls; use 'covariate'"
        raise ConfigError(rule, value=int(reference.sum()), subject="etiv.method")
    taken_out = {"residual": _residual, "power": _power, "ratio": _ratio}[method]
    columns = {
        name: taken_out(volumes_ml[name].to_numpy(), etiv_ml, reference) for name in volumes_ml
    }
    return pd.DataFrame(columns, index=volumes_ml.index)


def _residual(volume_ml: Floats, etiv_ml: Floats, reference: NDArray[np.bool_]) -> Floats:
    centre = etiv_ml[reference].mean()
    return volume_ml - _slope(etiv_ml, volume_ml, reference) * (etiv_ml - centre)


def _power(volume_ml: Floats, etiv_ml: Floats, reference: NDArray[np.bool_]) -> Floats:
    if (volume_ml <= 0).any():
        rule = "etiv.method 'power' needs volumes above 0; use 'covariate'"
        raise ConfigError(rule, value=float(np.nanmin(volume_ml)), subject="etiv.method")
    size = etiv_ml / etiv_ml[reference].mean()
    return np.asarray(volume_ml / size ** _slope(np.log(size), np.log(volume_ml), reference))


def _ratio(volume_ml: Floats, etiv_ml: Floats, reference: NDArray[np.bool_]) -> Floats:
    return np.asarray(volume_ml / etiv_ml * etiv_ml[reference].mean())


def _slope(x: Floats, y: Floats, reference: NDArray[np.bool_]) -> float:
    use = reference & np.isfinite(y)
    return float(np.polyfit(x[use] - x[use].mean(), y[use], 1)[0])
