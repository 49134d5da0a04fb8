"""What the group models are fitted to: volumes, who is a patient, and what is adjusted for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fibromorph.errors import TableError
from fibromorph.postprocessing.stats.designs.design import Design
from fibromorph.postprocessing.stats.designs.sections import EtivMethod
from fibromorph.postprocessing.stats.models.linear import Bools, Floats, dependent_column
from fibromorph.postprocessing.stats.people.head_size import adjust
from fibromorph.postprocessing.stats.people.study import SMALLEST_DF, SMALLEST_GROUP, Study
from fibromorph.postprocessing.stats.tables.region_names import ETIV

INTERCEPT = "intercept"


@dataclass(frozen=True, eq=False)
class GroupModel:
    """n scans of one session, R regions.

    Attributes:
        volumes: (n, R) ml, or mm of thickness, head size taken out where the method does that;
            NaN = missing.
        raw: (n, R) as measured.
        sd: (n, R) standard deviations of the errors of `volumes`; None = not known.
        patients: (n,) True for patients.
        nuisance: (n, k), first an intercept, the others centred: the intercept of a fit with the
            group indicator is the controls' mean at average covariates.
    """

    volumes: pd.DataFrame
    raw: pd.DataFrame
    sd: pd.DataFrame | None
    patients: Bools
    nuisance: pd.DataFrame

    @property
    def regions(self) -> list[str]:
        return [str(c) for c in self.volumes.columns]

    @property
    def matrix(self) -> Floats:
        """(n, k + 1) nuisance, then the group indicator."""
        return np.column_stack([self.nuisance.to_numpy(float), self.patients.astype(float)])

    def of(self, regions: Sequence[str]) -> GroupModel:
        """The model of some regions."""
        return GroupModel(
            self.volumes[[*regions]],
            self.raw[[*regions]],
            None if self.sd is None else self.sd[[*regions]],
            self.patients,
            self.nuisance,
        )

    def has_enough(self, regions: Sequence[str]) -> bool:
        """Whether the people of whom all these regions are known suffice to compare the groups."""
        known = self.volumes[[*regions]].notna().all(axis=1).to_numpy(bool)
        patients = int((known & self.patients).sum())
        spare = int(known.sum()) - self.matrix.shape[1]
        smallest = min(patients, int(known.sum()) - patients)
        return smallest >= SMALLEST_GROUP and spare >= SMALLEST_DF

    def rows(self, keep: Bools) -> GroupModel:
        """The model without some people."""
        return GroupModel(
            self.volumes.loc[keep],
            self.raw.loc[keep],
            None if self.sd is None else self.sd.loc[keep],
            self.patients[keep],
            centred(self.nuisance.loc[keep].drop(columns=INTERCEPT)),
        )


def build_model(
    study: Study,
    *,
    etiv: EtivMethod | None = None,
    covariates: Sequence[str] | None = None,
    volumes: pd.DataFrame | None = None,
    sd: pd.DataFrame | None = None,
) -> GroupModel:
    """The model of a study at one session.

    Args:
        study: without missing covariates; its `sd` counts only if the design asks for weights.
        etiv: another method than the design's.
        covariates: other covariates of the design than all of them.
        volumes: other volumes than the study's, with their `sd`.

    Raises:
        TableError: a covariate that follows from the others.
    """
    method = etiv or study.design.etiv
    raw = study.volumes if volumes is None else volumes
    error = study.sd if volumes is None else sd
    error = error if study.design.weights else None
    adjusted, factor = adjust(raw, study.etiv, ~study.patients, method)
    chosen = study.covariates if covariates is None else study.columns_of(covariates)
    nuisance = centred(pd.concat([chosen, *_more(study, method)], axis=1))
    model = GroupModel(
        volumes=adjusted,
        raw=raw,
        sd=error if error is None or factor is None else error * factor,
        patients=study.patients.to_numpy(bool),
        nuisance=nuisance,
    )
    _require_rank(model, study.design)
    return model


def centred(columns: pd.DataFrame) -> pd.DataFrame:
    """An intercept, then the columns less their means."""
    out = columns - columns.mean()
    out.insert(0, INTERCEPT, 1.0)
    return out


def site_indicators(site: pd.Series) -> pd.DataFrame:
    """One column a site but the first, named `site[level]`."""
    levels = sorted(site.dropna().unique())
    columns = {f"site[{level}]": (site == level).astype(float) for level in levels[1:]}
    return pd.DataFrame(columns, index=site.index)


def _more(study: Study, method: EtivMethod) -> list[pd.DataFrame]:
    more = []
    if method == "covariate" and study.etiv is not None:
        more.append(study.etiv.to_frame(ETIV))
    if study.site is not None and study.design.site.method != "none":
        more.append(site_indicators(study.site))
    return more


def _require_rank(model: GroupModel, design: Design) -> None:
    column = dependent_column(model.matrix)
    if column is not None:
        name = [*model.nuisance.columns, "group"][column]
        raise TableError(
            "a column of the model must not follow from the others; take one of them out",
            value=name,
            subject=design.at("covariates"),
        )
