"""What the change model adjusts for: levels of volumes, and how they change.

A covariate that only has a main effect shifts a person's scans alike and cancels from every change:
where age differs between groups and bears on change, too, its product with session is what takes
that out (Fitzmaurice, Laird & Ware 2011, Applied Longitudinal Analysis, ch. 5).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from fibromorph.postprocessing.stats.groups.model import centred, site_indicators
from fibromorph.postprocessing.stats.people.study import Study
from fibromorph.postprocessing.stats.tables.region_names import ETIV
from fibromorph.postprocessing.stats.tables.scan_times import is_time

LEAST_DF = 10
"""Change is adjusted while people with both scans outnumber its columns by so many."""


def of_levels(study: Study) -> pd.DataFrame:
    """(n, k) intercept and centred covariates, of people and of scans.

    When scans were made counts from the mean of each session: groups are compared at equal times,
    and each group's own change stays the one of its mean interval, not of none.
    """
    parts = [*_of_people(study), _from_mean_times(study)]
    if study.site is not None and study.design.site.method != "none":
        parts.append(site_indicators(study.site))
    return centred(_varying(pd.concat(parts, axis=1)))


def of_changes(study: Study, follow_up: tuple[str, ...]) -> pd.DataFrame:
    """(n, m) people's covariates at baseline, less their mean over people, in each later session.

    Named `age x ses-02`; what varies from scan to scan (site, time-varying columns) bears on change
    by itself.
    """
    session = pd.Series(study.sessions, index=study.volumes.index)
    own = _varying(pd.concat(_of_people(study), axis=1))
    own = own - own.groupby(level=0).first().mean()
    products = [own.mul(session == later, axis=0).add_suffix(f" x {later}") for later in follow_up]
    return pd.concat(products, axis=1)


def etiv_of_people(study: Study) -> pd.Series:
    """A head keeps its size: the mean over a person's sessions, less noisy than any one."""
    assert study.etiv is not None
    return study.etiv.groupby(level=0).transform("mean")


def _from_mean_times(study: Study) -> pd.DataFrame:
    """(n, k) columns that vary from scan to scan, those of time less their session's mean."""
    table = study.time_varying
    times = [name for name in table if is_time(str(name))]
    means = table[times].groupby(np.array(study.sessions, dtype=object)).transform("mean")
    return table.assign(**{str(name): table[name] - means[name] for name in times})


def _of_people(study: Study) -> list[pd.DataFrame]:
    """Covariates, and eTIV where it is one."""
    parts = [study.covariates]
    if study.etiv is not None and study.design.etiv == "covariate":
        parts.append(etiv_of_people(study).to_frame(ETIV))
    return parts


def _varying(table: pd.DataFrame) -> pd.DataFrame:
    """Covariates that do not vary among these people (sex in a study of women) say nothing."""
    return table.loc[:, table.nunique() > 1]
