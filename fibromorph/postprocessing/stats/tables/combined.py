"""Regions that a study defines of others: an insula of two parts, both thalami."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from fibromorph.errors import ConfigError
from fibromorph.postprocessing.stats.tables.cohort import CohortVolumes
from fibromorph.postprocessing.stats.tables.region_names import ETIV_NAMES
from fibromorph.postprocessing.volumes import sd_of_sum

Wholes = Mapping[str, tuple[list[str], int]]
"""Name -> regions, and what their sum is divided by."""


def with_combined(
    cohort: CohortVolumes, combined: Mapping[str, Sequence[str]], where: str
) -> CohortVolumes:
    """The cohort with a column more for every combined region; missing where a part is.

    Volumes are summed; of thickness it is the parts' mean, unweighted. The error is that of a total
    that was not measured, see `volumes.sd_of_sum`, of a mean divided by the number of parts. How
    much of a change such a region shows is not known.

    Args:
        cohort: as it was read.
        combined: name -> regions of the table, two or more.
        where: of the design, for errors.

    Raises:
        ConfigError: a name that the table has already, a part that it has not, or one twice.
    """
    for name, parts in combined.items():
        _require_parts(name, parts, cohort, f"{where}.{name}")
    summed = cohort.measure.summed
    wholes = {n: (list(parts), 1 if summed else len(parts)) for n, parts in combined.items()}
    return replace(
        cohort,
        soft=_with_wholes(cohort.soft, wholes),
        hard=None if cohort.hard is None else _with_wholes(cohort.hard, wholes),
        sd=None if cohort.sd is None else _with_errors(cohort.sd, wholes),
        repeats={**cohort.repeats, **_repeats(cohort, combined)},
    )


def _require_parts(name: str, parts: Sequence[str], cohort: CohortVolumes, where: str) -> None:
    regions, table = cohort.regions, f"the {cohort.measure.name} table"
    if name in regions or name in ETIV_NAMES:
        rule = f"a combined region needs a name that {table} does not have"
        raise ConfigError(rule, value=name, subject=where)
    if len(parts) < 2 or len(set(parts)) < len(parts):
        whole = "sum" if cohort.measure.summed else "mean"
        rule = f"a combined region is the {whole} of two or more regions, each once"
        raise ConfigError(rule, value=list(parts), subject=where)
    for part in parts:
        if part not in regions:
            some = ", ".join(regions[:8])
            rule = f"a part must be a region of {table} (it has {some}, ...)"
            raise ConfigError(rule, value=part, subject=where)


def _with_wholes(table: pd.DataFrame, wholes: Wholes) -> pd.DataFrame:
    found = {n: table[parts].sum(axis=1, skipna=False) / by for n, (parts, by) in wholes.items()}
    return table.assign(**found)


def _with_errors(sd: pd.DataFrame, wholes: Wholes) -> pd.DataFrame:
    found = {n: sd_of_sum([sd[p] for p in parts]) / by for n, (parts, by) in wholes.items()}
    return sd.assign(**found)


def _repeats(cohort: CohortVolumes, combined: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Of those whose parts are all known; the parts' shares, weighted by their errors."""
    found = {}
    for name, parts in combined.items():
        if cohort.sd is not None and all(part in cohort.repeats for part in parts):
            weights = cohort.sd[list(parts)].mean()
            shares = pd.Series({part: cohort.repeats[part] for part in parts})
            found[name] = float((shares * weights).sum() / weights.sum())
    return found
