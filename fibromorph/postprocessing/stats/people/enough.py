"""Whether people and regions are enough for the models: refused before anything is fitted."""

from __future__ import annotations

import pandas as pd

from fibromorph.errors import TableError
from fibromorph.postprocessing.stats.people.study import SMALLEST_DF, SMALLEST_GROUP, Study
from fibromorph.postprocessing.stats.tables import Participants


def require_enough(study: Study, participants: Participants) -> None:
    """Refuse small groups, and regions that do not vary or that too few people have.

    Raises:
        TableError: what is wrong, and what to do.
    """
    for title, members in (("patients", study.patients), ("controls", ~study.patients)):
        if int(members.sum()) < SMALLEST_GROUP:
            steps = [f"{len(s.left_out)} by '{s.rule}'" for s in study.flow if s.left_out]
            told = f" (of both groups: {', '.join(steps)})" if steps else ""
            raise TableError(
                f"a comparison needs {SMALLEST_GROUP} {title} at least after exclusions{told}",
                value=int(members.sum()),
                subject=participants.path,
            )
    measure = study.measure
    for region in study.regions:
        known = study.volumes[region].notna()
        values = study.volumes[region][known]
        if len(values) and values.nunique() == 1:
            raise TableError(
                f"a region's {measure.name} must vary; take it out of families",
                value=f"{region}: always {values.iloc[0]:g} {measure.unit}",
                subject=f"the {measure.many}",
            )
        _require_df(study, region, known)
        if not _varies_within_groups(values, study.patients[known]):
            raise TableError(
                f"a region's {measure.name} must vary within groups; take it out of families",
                value=region,
                subject=f"the {measure.many}",
            )
        fewest = min(int((known & study.patients).sum()), int((known & ~study.patients).sum()))
        if fewest < SMALLEST_GROUP:
            raise TableError(
                f"a region needs {SMALLEST_GROUP} known {measure.many} a group; take it out of"
                " families",
                value=f"{region}: {fewest}",
                subject=f"the {measure.many}",
            )


def _varies_within_groups(values: pd.Series, patients: pd.Series) -> bool:
    return bool((values.groupby(patients).nunique() > 1).any())


def _require_df(study: Study, region: str, known: pd.Series) -> None:
    """Enough people for intercept, group, eTIV, covariates and sites, where the region is known."""
    # What is imputed is known for everybody.
    people = known if study.design.missing.method == "drop" else known | True
    parameters = 3 + study.covariates.shape[1]
    if study.site is not None and study.design.site.method in ("covariate", "combat"):
        parameters += int(study.site[people].nunique()) - 1
    if int(people.sum()) - parameters < SMALLEST_DF:
        raise TableError(
            f"the model needs {parameters + SMALLEST_DF} people for its {parameters} parameters;"
            " take out covariates, or the region out of families",
            value=f"{region}: {int(people.sum())}",
            subject=f"the {study.measure.many}",
        )
