"""The volumes of a cohort: one row a scan, one column a region, with their errors beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from fibromorph.errors import TableError
from fibromorph.postprocessing.stats.people.responsive import Shares
from fibromorph.postprocessing.stats.tables.region_names import ETIV, is_total
from fibromorph.postprocessing.stats.tables.scan_ids import in_time

KEY = ["participant_id", "session_id"]
MM3_PER_ML = 1000.0
MOST_RATIO, SURE_ML = 300, 0.5
"""Cubic millimetres are a thousand times millilitres; ventricles may be twenty times the median,
and what is hardly there in most people any number of times."""


@dataclass(frozen=True, eq=False)
class CohortVolumes:
    """Volumes in ml; every table has the same index (participant_id, session_id).

    Attributes:
        soft_ml: the values that are analysed unless the design asks for `hard`.
        hard_ml: voxels counted; None where the tool writes one value only.
        sd_ml: standard deviations of the errors of `soft_ml`; None where the tool has none.
        etiv_ml: intracranial volume; None where the table has none.
        quality: 0..1 a scan; None where the table has none.
        tool: who measured, as the methods text names it.
        sources: the files.
        zeros: cells that were 0 and count as missing: the structure was not found.
        excluded: scans that `exclusions.tsv` leaves out.
        kept: scans of which it says that they stay, whatever their quality.
        notes: what the reader of a report should know of the tables.
        shares: how much of a change of one region alone its volume shows, where that is known.
        repeats: region -> share of `sd_ml` by which scans with one protocol err, where known.
    """

    soft_ml: pd.DataFrame
    hard_ml: pd.DataFrame | None
    sd_ml: pd.DataFrame | None
    etiv_ml: pd.Series | None
    quality: pd.Series | None
    tool: str
    sources: tuple[Path, ...]
    zeros: int = 0
    excluded: frozenset[tuple[str, str]] = frozenset()
    kept: frozenset[tuple[str, str]] = frozenset()
    notes: tuple[str, ...] = ()
    shares: Shares = field(default_factory=dict)
    repeats: Mapping[str, float] = field(default_factory=dict)

    @property
    def regions(self) -> list[str]:
        return [str(c) for c in self.soft_ml.columns]

    @property
    def knows_etiv(self) -> bool:
        """Whether any scan has one; skull-stripped scans have none."""
        return self.etiv_ml is not None and bool(self.etiv_ml.notna().any())

    @property
    def participants(self) -> list[str]:
        return list(dict.fromkeys(str(p) for p, _ in self.soft_ml.index))

    @property
    def sessions(self) -> list[str]:
        """In the order that their names tell."""
        return in_time(str(s) for _, s in self.soft_ml.index)


def keyed(keys: Sequence[tuple[str, str]], places: Sequence[str]) -> pd.MultiIndex:
    """Index of scans.

    Args:
        keys: participant and session of each.
        places: of each, as errors name it.

    Raises:
        TableError: a scan that is there twice.
    """
    seen: set[tuple[str, str]] = set()
    for key, place in zip(keys, places, strict=True):
        if key in seen:
            raise TableError(
                "a scan may have one row only; delete one, or tell the sessions apart"
                " (sessions.rule)",
                value=" ".join(key).strip(),
                subject=place,
            )
        seen.add(key)
    return pd.MultiIndex.from_tuples(list(keys), names=KEY)


def from_mm3(
    values: pd.DataFrame, tool: str, source: Path, notes: tuple[str, ...] = ()
) -> CohortVolumes:
    """Volumes that another tool has measured, in mm3, with its head size among the columns."""
    values = values / MM3_PER_ML
    return CohortVolumes(
        soft_ml=values.drop(columns=ETIV, errors="ignore"),
        hard_ml=None,
        sd_ml=None,
        etiv_ml=values.get(ETIV),
        quality=None,
        tool=tool,
        sources=(source,),
        notes=notes,
    )


def positive(cohort: CohortVolumes) -> CohortVolumes:
    """The cohort with volumes of 0 counted and set missing, of all kinds and eTIV.

    Raises:
        TableError: a volume below 0, or in another unit than the others.
    """
    hard, etiv = cohort.hard_ml, cohort.etiv_ml
    for table in (cohort.soft_ml, hard, None if etiv is None else etiv.to_frame(ETIV)):
        if table is not None:
            _require_not_negative(table, cohort.sources[0])
            counted = table[~table.index.isin(cohort.excluded)]
            _require_one_unit(counted, cohort.sources[0])
    nothing = cohort.soft_ml == 0
    if hard is not None:
        nothing |= hard == 0
    return replace(
        cohort,
        soft_ml=cohort.soft_ml.replace(0.0, np.nan),
        hard_ml=None if hard is None else hard.replace(0.0, np.nan),
        etiv_ml=None if etiv is None else etiv.replace(0.0, np.nan),
        zeros=int(nothing.to_numpy().sum()),
    )


def _require_one_unit(table: pd.DataFrame, source: Path) -> None:
    for column, values in table.items():
        known = values[values > 0]
        strange = known[known > MOST_RATIO * known.median()]
        if len(strange) and known.median() >= SURE_ML:
            raise TableError(
                f"a volume of more than {MOST_RATIO} times the median of all scans,"
                f" {known.median():g}, is of another unit",
                value=f"{strange.iloc[0]:g}",
                subject=f"{source}, {' '.join(strange.index[0]).strip()}, column {column}",
            )


def _require_not_negative(table: pd.DataFrame, source: Path) -> None:
    for column, values in table.items():
        negative = values[values < 0]
        if len(negative):
            raise TableError(
                "a volume must not be negative",
                value=negative.iloc[0],
                subject=f"{source}, {' '.join(negative.index[0]).strip()}, column {column}",
            )


def joined(parts: Sequence[CohortVolumes]) -> CohortVolumes:
    """Several tables of the same scans side by side (aseg with both aparc tables).

    Raises:
        TableError: a region (but for sums) in two of them, or other scans in one than in another.
    """
    first, *others = parts
    for other in others:
        first = _beside(first, other)
    return first


def _beside(first: CohortVolumes, other: CohortVolumes) -> CohortVolumes:
    different = set(first.soft_ml.index).symmetric_difference(other.soft_ml.index)
    if different:
        raise TableError(
            f"tables that are joined must hold the same scans as {first.sources[0]}",
            value=" ".join(min(different)).strip(),
            subject=other.sources[0],
        )
    # FreeSurfer repeats the whole brain's sums in the table of each hemisphere.
    repeated = [r for r in other.regions if r in first.soft_ml and is_total(r)]
    other = _without(other, repeated)
    twice = set(first.regions) & set(other.regions)
    if twice:
        raise TableError(
            "a region may be in one table only", value=min(twice), subject=other.sources[0]
        )
    etiv = first.etiv_ml if first.etiv_ml is not None else other.etiv_ml
    return replace(
        first,
        soft_ml=pd.concat([first.soft_ml, other.soft_ml.loc[first.soft_ml.index]], axis=1),
        hard_ml=_both(first.hard_ml, other.hard_ml),
        sd_ml=_both(first.sd_ml, other.sd_ml),
        etiv_ml=None if etiv is None else etiv.loc[first.soft_ml.index],
        sources=(*first.sources, *other.sources),
        zeros=first.zeros + other.zeros,
    )


def _without(cohort: CohortVolumes, regions: list[str]) -> CohortVolumes:
    def cut(table: pd.DataFrame | None) -> pd.DataFrame | None:
        return None if table is None else table.drop(columns=regions)

    return replace(
        cohort,
        soft_ml=cohort.soft_ml.drop(columns=regions),
        hard_ml=cut(cohort.hard_ml),
        sd_ml=cut(cohort.sd_ml),
    )


def _both(first: pd.DataFrame | None, other: pd.DataFrame | None) -> pd.DataFrame | None:
    if first is None or other is None:
        return None
    return pd.concat([first, other.loc[first.index]], axis=1)
