"""Regions that a study defines as sums of others: an insula of two parts, both thalami."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from fibromorph.errors import ConfigError
from fibromorph.postprocessing.stats.tables.cohort import CohortVolumes
from fibromorph.postprocessing.stats.tables.region_names import ETIV_NAMES
from fibromorph.postprocessing.volumes import sd_of_sum


def with_combined(
    cohort: CohortVolumes, combined: Mapping[str, Sequence[str]], where: str
) -> CohortVolumes:
    """The cohort with a column more for every sum; where a part is missing, so is the sum.

    Its error is that of a total that was not measured, see `volumes.sd_of_sum`. How much of a
    change a sum shows is not known.

    Args:
        cohort: as it was read.
        combined: name -> regions of the table, two or more.
        where: of the design, for errors.

    Raises:
        ConfigError: a name that the table has already, a part that it has not, or one twice.
    """
    for name, parts in combined.items():
        _require_parts(name, parts, cohort.regions, f"{where}.{name}")
    return replace(
        cohort,
        soft_ml=_with_sums(cohort.soft_ml, combined),
        hard_ml=None if cohort.hard_ml is None else _with_sums(cohort.hard_ml, combined),
        sd_ml=None if cohort.sd_ml is None else _with_errors(cohort.sd_ml, combined),
        repeats={**cohort.repeats, **_repeats(cohort, combined)},
    )


def _require_parts(name: str, parts: Sequence[str], regions: Sequence[str], where: str) -> None:
    if name in regions or name in ETIV_NAMES:
        rule = "a combined region needs a name that the volumes table does not have"
        raise ConfigError(rule, value=name, subject=where)
    if len(parts) < 2 or len(set(parts)) < len(parts):
        rule = "a combined region is the sum of two or more regions, each once"
        raise ConfigError(rule, value=list(parts), subject=where)
    for part in parts:
        if part not in regions:
            some = ", ".join(regions[:8])
            rule = f"a part must be a region of the volumes table (it has {some}, ...)"
            raise ConfigError(rule, value=part, subject=where)


def _with_sums(table: pd.DataFrame, combined: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    sums = {n: table[list(parts)].sum(axis=1, skipna=False) for n, parts in combined.items()}
    return table.assign(**sums)


def _with_errors(sd: pd.DataFrame, combined: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    return sd.assign(**{n: sd_of_sum([sd[p] for p in parts]) for n, parts in combined.items()})


def _repeats(cohort: CohortVolumes, combined: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Of sums whose parts are all known; the parts' shares, weighted by their errors."""
    found = {}
    for name, parts in combined.items():
        if cohort.sd_ml is not None and all(part in cohort.repeats for part in parts):
            weights = cohort.sd_ml[list(parts)].mean()
            shares = pd.Series({part: cohort.repeats[part] for part in parts})
            found[name] = float((shares * weights).sum() / weights.sum())
    return found
