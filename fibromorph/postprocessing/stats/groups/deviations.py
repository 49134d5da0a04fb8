"""How far every person's regions lie from what the controls lead one to expect.

Of a region the controls' regression on covariates and head size predicts what a person with the
same covariates would have; what is measured less that, over the standard deviation of such a
prediction, is Student's t with the regression's degrees of freedom (Crawford & Garthwaite 2006,
Neuropsychology 20:259-271; without the small-sample part the W score of Jack et al. 1997, Neurology
49:786-794). A control is held against the other controls. t is told as the z of the same
probability, so that a study's regions and people can be compared.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from fibromorph.postprocessing.stats.groups.model import GroupModel
from fibromorph.postprocessing.stats.models.linear import (
    ALONE,
    Bools,
    Floats,
    LinearFit,
    fit,
    independent_columns,
    patterns,
    spare,
)
from fibromorph.postprocessing.stats.people.study import SMALLEST_DF

OUTSIDE = float(stats.norm.ppf(0.975))
"""|z| of the twentieth that lies furthest out."""
COUNTS = ("group", "n_regions", "n_low", "n_high")
"""Columns before those of the regions."""
TOLERANCE = 1e-6
SMALLEST_P = 1e-300


def deviations(model: GroupModel, measured: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row a person, by id, in the order of the model: z of every region, how many lie outside.

    A z is missing where the volume is, where the controls are too few for their regression, and of
    people whose covariates no control bears on (a man where all controls are women).

    Args:
        model: of the group comparison.
        measured: (n, R) volumes before those that were missing were imputed; None = all are.

    Returns:
        (n, 4 + R): `group` ('patients', 'controls'), `n_regions` that are known, `n_low` and
        `n_high`: how many of them lie below or above 19 in 20 of people like the controls; then one
        column a region.
    """
    volumes = model.volumes if measured is None else model.volumes.where(measured.notna())
    values, nuisance = volumes.to_numpy(float), model.nuisance.to_numpy(float)
    z = np.full(values.shape, np.nan)
    for known, columns in patterns(values):
        cells = np.ix_(known, columns)
        z[cells] = _z(values[cells], nuisance[known], model.patients[known])
    people = pd.Index([str(person) for person, _ in model.volumes.index], name="participant_id")
    table = pd.DataFrame(z, people, model.volumes.columns)
    table.insert(0, "n_high", (z > OUTSIDE).sum(axis=1))
    table.insert(0, "n_low", (z < -OUTSIDE).sum(axis=1))
    table.insert(0, "n_regions", (~np.isnan(z)).sum(axis=1))
    table.insert(0, "group", np.where(model.patients, "patients", "controls"))
    return table


def _z(volumes: Floats, nuisance: Floats, patients: Bools) -> Floats:
    """(n, R) of people and regions without a missing cell."""
    z = np.full(volumes.shape, np.nan)
    own = nuisance[~patients]
    if not len(own):
        return z
    kept = independent_columns(own)
    if len(own) - len(kept) <= SMALLEST_DF:
        return z
    fitted = fit(own[:, kept], volumes[~patients])
    z[~patients] = _as_z(_left_out(fitted), fitted.df - 1)
    alike = patients & _borne_on(nuisance, kept, ~patients)
    design = nuisance[alike][:, kept]
    spread = np.sqrt(1 + np.einsum("ij,jk,ik->i", design, fitted.unscaled, design))
    t = (volumes[alike] - design @ fitted.beta) / (spread[:, None] * fitted.sigma)
    z[alike] = _as_z(t, fitted.df)
    return z


def _left_out(fitted: LinearFit) -> Floats:
    """t of each row against the fit of all others (externally studentised residuals)."""
    rest = spare(fitted.leverage)[:, None]
    others = (fitted.sigma**2 * fitted.df - fitted.residuals**2 / rest) / (fitted.df - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = fitted.residuals / np.sqrt(others * rest)
    return np.where(fitted.leverage[:, None] > ALONE, np.nan, t)


def _borne_on(nuisance: Floats, kept: list[int], controls: Bools) -> Bools:
    """(n,) whose covariates lie where those of controls do, of which `kept` are independent."""
    dropped = [column for column in range(nuisance.shape[1]) if column not in kept]
    rule = np.linalg.lstsq(nuisance[controls][:, kept], nuisance[controls][:, dropped])[0]
    miss = np.abs(nuisance[:, dropped] - nuisance[:, kept] @ rule)
    scale = np.abs(nuisance[:, dropped]).max(axis=0, initial=1.0)
    return np.asarray((miss <= TOLERANCE * scale).all(axis=1))


def _as_z(t: Floats, df: float) -> Floats:
    tail = np.maximum(stats.t.sf(np.abs(t), df), SMALLEST_P)
    return np.asarray(np.copysign(stats.norm.isf(tail), t))
