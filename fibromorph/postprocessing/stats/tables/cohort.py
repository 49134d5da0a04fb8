"""What was measured of a cohort: one row a scan, one column a region, their errors beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from fibromorph.errors import TableError
from fibromorph.postprocessing.stats.people.responsive import Shares
from fibromorph.postprocessing.stats.tables.measure import VOLUME, BrainMeasure
from fibromorph.postprocessing.stats.tables.region_names import ETIV, is_total
from fibromorph.postprocessing.stats.tables.scan_ids import in_time

KEY = ["participant_id", "session_id"]
MM3_PER_ML = 1000.0
MOST_RATIO, SURE = 300, 0.5
"""Cubic millimetres are a thousand times millilitres; ventricles may be twenty times the median,
and what is hardly there in most people any number of times."""


@dataclass(frozen=True, eq=False)
class CohortVolumes:
    """Volumes in ml, or thickness in mm; all tables have one index (participant_id, session_id).

    Attributes:
        soft: the values that are analysed unless the design asks for `hard`.
        hard: voxels counted, ml; None where the tool writes one value only.
        sd: standard deviations of the errors of `soft`; None where the tool has none.
        etiv_ml: intracranial volume; None where the table has none.
        quality: 0..1 a scan; None where the table has none.
        tool: who measured, as the methods text names it.
        sources: the files.
        zeros: cells that were 0 and count as missing: the structure was not found.
        excluded: scans that `exclusions.tsv` leaves out.
        kept: scans of which it says that they stay, whatever their quality.
        notes: what the reader of a report should know of the tables.
        shares: how much of a change of one region alone is seen, where that is known.
        repeats: region -> share of `sd` by which scans with one protocol err, where known.
        measure: what the tables hold.
    """

    soft: pd.DataFrame
    hard: pd.DataFrame | None
    sd: pd.DataFrame | None
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
    measure: BrainMeasure = VOLUME

    @property
    def regions(self) -> list[str]:
        return [str(c) for c in self.soft.columns]

    @property
    def knows_etiv(self) -> bool:
        """Whether any scan has one; skull-stripped scans have none."""
        return self.etiv_ml is not None and bool(self.etiv_ml.notna().any())

    @property
    def participants(self) -> list[str]:
        return list(dict.fromkeys(str(p) for p, _ in self.soft.index))

    @property
    def sessions(self) -> list[str]:
        """In the order that their names tell."""
        return in_time(str(s) for _, s in self.soft.index)


def keyed(
    keys: Sequence[tuple[str, str]], places: Sequence[str], what: str = "scan"
) -> pd.MultiIndex:
    """Index of scans, or of people.

    Args:
        keys: participant and session of each.
        places: of each, as errors name it.
        what: has a row each.

    Raises:
        TableError: one that is there twice.
    """
    first: dict[tuple[str, str], str] = {}
    for key, place in zip(keys, places, strict=True):
        if key in first:
            raise TableError(
                f"a {what} may have one row only; delete one, or tell the sessions apart"
                f" (sessions.rule); the first is {first[key]}",
                value=" ".join(key).strip(),
                subject=place,
            )
        first[key] = place
    return pd.MultiIndex.from_tuples(list(keys), names=KEY)


def of_tool(
    values: pd.DataFrame,
    measure: BrainMeasure,
    tool: str,
    source: Path,
    notes: tuple[str, ...] = (),
) -> CohortVolumes:
    """What another tool has measured, in mm3 or mm, with its head size in mm3 among the columns."""
    etiv = values.get(ETIV)
    values = values.drop(columns=ETIV, errors="ignore")
    return CohortVolumes(
        soft=values / MM3_PER_ML if measure is VOLUME else values,
        hard=None,
        sd=None,
        etiv_ml=None if etiv is None else etiv / MM3_PER_ML,
        quality=None,
        tool=tool,
        sources=(source,),
        notes=notes,
        measure=measure,
    )


def positive(cohort: CohortVolumes) -> CohortVolumes:
    """The cohort with values of 0 counted and set missing, of all kinds and eTIV.

    Raises:
        TableError: a value below 0, or in another unit than the others or than the measure's.
    """
    hard, etiv, source = cohort.hard, cohort.etiv_ml, cohort.sources[0]
    # A bundle whose error nobody has measured writes a table of it without a number.
    known = cohort.sd is not None and cohort.sd.notna().any(axis=None)
    heads = None if etiv is None else etiv.to_frame(ETIV)
    for table, what in ((cohort.soft, cohort.measure), (hard, VOLUME), (heads, VOLUME)):
        if table is not None:
            _require_not_negative(table, what.name, source)
            counted = table[~table.index.isin(cohort.excluded)]
            _require_one_unit(counted, what.name, source)
            _require_unit(counted, what, source)
    nothing = cohort.soft == 0
    if hard is not None:
        nothing |= hard == 0
    return replace(
        cohort,
        soft=cohort.soft.replace(0.0, np.nan),
        hard=None if hard is None else hard.replace(0.0, np.nan),
        sd=cohort.sd if known else None,
        etiv_ml=None if etiv is None else etiv.replace(0.0, np.nan),
        zeros=int(nothing.to_numpy().sum()),
    )


def _require_one_unit(table: pd.DataFrame, what: str, source: Path) -> None:
    for column, values in table.items():
        known = values[values > 0]
        strange = known[known > MOST_RATIO * known.median()]
        if len(strange) and known.median() >= SURE:
            raise TableError(
                f"a {what} of more than {MOST_RATIO} times the median of all scans,"
                f" {known.median():g}, is of another unit",
                value=f"{strange.iloc[0]:g}",
                subject=f"{source}, {' '.join(strange.index[0]).strip()}, column {column}",
            )


def _require_unit(table: pd.DataFrame, measure: BrainMeasure, source: Path) -> None:
    if measure.bounds is None:
        return
    low, high = measure.bounds
    medians = table[table > 0].median()
    strange = medians[(medians < low) | (medians > high)]
    if len(strange):
        raise TableError(
            f"the median {measure.name} of a region must be within {low:g} to {high:g}"
            f" {measure.unit}; other values are of another unit, or of something else",
            value=f"{strange.iloc[0]:g}",
            subject=f"{source}, column {strange.index[0]}",
        )


def _require_not_negative(table: pd.DataFrame, what: str, source: Path) -> None:
    for column, values in table.items():
        negative = values[values < 0]
        if len(negative):
            raise TableError(
                f"a {what} must not be negative",
                value=negative.iloc[0],
                subject=f"{source}, {' '.join(negative.index[0]).strip()}, column {column}",
            )


def joined(parts: Sequence[CohortVolumes]) -> CohortVolumes:
    """Several tables of the same scans side by side (aseg with both aparc tables).

    Raises:
        TableError: volumes beside thickness, a region (but for totals) in two of them, or other
            scans in one than in another.
    """
    first, *others = parts
    for other in others:
        first = _beside(first, other)
    return first


def _beside(first: CohortVolumes, other: CohortVolumes) -> CohortVolumes:
    if other.measure is not first.measure:
        raise TableError(
            f"tables that are joined must all hold the {first.measure.name} of regions, as"
            f" {first.sources[0]} does",
            value=other.measure.name,
            subject=other.sources[0],
        )
    different = set(first.soft.index).symmetric_difference(other.soft.index)
    if different:
        raise TableError(
            f"tables that are joined must hold the same scans as {first.sources[0]}",
            value=" ".join(min(different)).strip(),
            subject=other.sources[0],
        )
    # FreeSurfer repeats the whole brain's sums in the table of each hemisphere.
    repeated = [r for r in other.regions if r in first.soft and is_total(r)]
    other = _without(other, repeated)
    twice = set(first.regions) & set(other.regions)
    if twice:
        raise TableError(
            "a region may be in one table only", value=min(twice), subject=other.sources[0]
        )
    index = first.soft.index
    etiv = first.etiv_ml if first.etiv_ml is not None else other.etiv_ml
    quality = first.quality if first.quality is not None else other.quality
    return replace(
        first,
        soft=pd.concat([first.soft, other.soft.loc[index]], axis=1),
        hard=_both(first.hard, other.hard),
        sd=_both(first.sd, other.sd),
        etiv_ml=None if etiv is None else etiv.loc[index],
        quality=None if quality is None else quality.loc[index],
        sources=(*first.sources, *other.sources),
        zeros=first.zeros + other.zeros,
        excluded=first.excluded | other.excluded,
        kept=first.kept | other.kept,
        notes=tuple(dict.fromkeys((*first.notes, *other.notes))),
        shares={**first.shares, **other.shares},
        repeats={**first.repeats, **other.repeats},
    )


def _without(cohort: CohortVolumes, regions: list[str]) -> CohortVolumes:
    def cut(table: pd.DataFrame | None) -> pd.DataFrame | None:
        return None if table is None else table.drop(columns=regions)

    return replace(
        cohort,
        soft=cohort.soft.drop(columns=regions),
        hard=cut(cohort.hard),
        sd=cut(cohort.sd),
    )


def _both(first: pd.DataFrame | None, other: pd.DataFrame | None) -> pd.DataFrame | None:
    if first is None or other is None:
        return None
    return pd.concat([first, other.loc[first.index]], axis=1)
