"""The numbers of one comparison: volumes, the group, and what is adjusted for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fibromorph.errors import ConfigError, TableError
from fibromorph.postprocessing.statistics.cohort import Cohort
from fibromorph.postprocessing.statistics.etiv import head_size_free

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
MIN_PER_GROUP = 4
MIN_RESIDUAL_DF = 4


@dataclass(frozen=True, eq=False)
class Sample:
    """People of one comparison, one row each.

    Attributes:
        participants: ids, n.
        is_patient: (n,) 1 or 0.
        volumes_ml: n x regions, NaN where missing.
        nuisance: (n, k) covariates, centred, categories as 0/1 columns; no intercept.
        names: k, of the columns of `nuisance`.
        sd_ml: measurement error of each volume, or None.
    """

    participants: tuple[str, ...]
    is_patient: Floats
    volumes_ml: pd.DataFrame
    nuisance: Floats
    names: tuple[str, ...]
    sd_ml: pd.DataFrame | None = None

    @property
    def regions(self) -> list[str]:
        return [str(c) for c in self.volumes_ml.columns]

    def region(self, name: str) -> tuple[Floats, Bools]:
        """Volumes of a region where they are known, and the mask of those rows."""
        values = self.volumes_ml[name].to_numpy(dtype=float)
        known = np.isfinite(values)
        return values[known], known

    def matrix(self, known: Bools) -> Floats:
        """(n, 2 + k): intercept, group, covariates."""
        x = np.column_stack([np.ones(known.sum()), self.is_patient[known], self.nuisance[known]])
        return np.asarray(x, dtype=float)

    def rows(self, mask: Bools) -> Sample:
        """The people where `mask` is true; covariates are centred on them anew."""
        nuisance = self.nuisance[mask]
        return replace(
            self,
            participants=tuple(np.asarray(self.participants)[mask].tolist()),
            is_patient=self.is_patient[mask],
            volumes_ml=self.volumes_ml[mask],
            nuisance=nuisance - nuisance.mean(axis=0) if nuisance.size else nuisance,
            sd_ml=None if self.sd_ml is None else self.sd_ml[mask],
        )


def coded(people: pd.DataFrame, names: Sequence[str]) -> tuple[Floats, tuple[str, ...]]:
    """Covariates as centred columns; a category becomes one 0/1 column for each level but one.

    Raises:
        TableError: a covariate that is the same for everybody.
    """
    columns: dict[str, Floats] = {}
    for name in names:
        values = people[name]
        if values.nunique() < 2:
            rule = "a covariate must vary among the people analysed; take it out of the covariates"
            raise TableError(rule, value=f"always {values.iloc[0]}", subject=name)
        if pd.api.types.is_numeric_dtype(values):
            columns[name] = values.to_numpy(dtype=float)
            continue
        for level in sorted(values.dropna().unique())[1:]:
            dummy = (values == level).to_numpy(dtype=float)
            columns[f"{name}={level}"] = np.where(values.isna(), np.nan, dummy)
    if not columns:
        return np.zeros((len(people), 0)), ()
    matrix = np.column_stack(list(columns.values()))
    return matrix - np.nanmean(matrix, axis=0), tuple(columns)


def sample_of(
    cohort: Cohort, covariates: Sequence[str], etiv_method: str, volumes: pd.DataFrame | None = None
) -> Sample:
    """A comparison of the cohort's scans, which must be one a person with known covariates.

    Args:
        cohort: scans of one time point.
        covariates: names of variables.
        etiv_method: as in the design file; 'covariate' adds eTIV to the nuisance.
        volumes: instead of the cohort's own, same index.

    Raises:
        TableError: constant covariate. ConfigError: too few people, or covariates that are
        combinations of each other.
    """
    chosen = cohort.volumes_ml if volumes is None else volumes
    people, names = cohort.people, list(covariates)
    if etiv_method != "none" and cohort.etiv_ml is not None:
        people = people.assign(eTIV=cohort.etiv_ml)
        names += ["eTIV"] if etiv_method == "covariate" else []
        etiv = cohort.etiv_ml.to_numpy(dtype=float)
        chosen = head_size_free(chosen, etiv, people["is_patient"].to_numpy(), etiv_method)
    nuisance, columns = coded(people, names)
    sample = Sample(
        participants=tuple(people["participant"]),
        is_patient=people["is_patient"].to_numpy(dtype=float),
        volumes_ml=chosen,
        nuisance=nuisance,
        names=columns,
        sd_ml=cohort.sd_ml,
    )
    check_size(sample)
    return sample


def check_size(sample: Sample) -> None:
    """Refuse what cannot be estimated.

    Raises:
        ConfigError: too few in a group, too few for the covariates, or collinear covariates.
    """
    patients = int(sample.is_patient.sum())
    controls = len(sample.is_patient) - patients
    if min(patients, controls) < MIN_PER_GROUP:
        rule = f"each group needs at least {MIN_PER_GROUP} people with scan and covariates"
        raise ConfigError(rule, value=f"{patients} patients, {controls} controls")
    everyone = np.ones(len(sample.is_patient), dtype=bool)
    x = sample.matrix(everyone)
    if x.shape[0] - x.shape[1] < MIN_RESIDUAL_DF:
        rule = f"the model needs {x.shape[1] + MIN_RESIDUAL_DF} people or more; drop covariates"
        raise ConfigError(rule, value=x.shape[0])
    known = x[np.isfinite(x).all(axis=1)]
    scale = np.linalg.norm(known, axis=0)
    if np.linalg.matrix_rank(known / np.where(scale > 0, scale, 1), tol=1e-7) < x.shape[1]:
        rule = "covariates must not follow from each other or from the group; leave some out"
        raise ConfigError(rule, value=", ".join(sample.names))
