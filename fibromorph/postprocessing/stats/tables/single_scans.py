"""A folder of fibromorph's tables of single scans: `NAME_volumes.tsv`, `NAME_thickness.tsv`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from fibromorph import file_names
from fibromorph.errors import TableError
from fibromorph.postprocessing.stats.people.repeatability import repeat_shares_in
from fibromorph.postprocessing.stats.people.responsive import shares_of
from fibromorph.postprocessing.stats.tables.cohort import CohortVolumes, keyed
from fibromorph.postprocessing.stats.tables.measure import THICKNESS, VOLUME, BrainMeasure
from fibromorph.postprocessing.stats.tables.native import QUALITY, TOOL, note_on_atlas
from fibromorph.postprocessing.stats.tables.region_names import ETIV
from fibromorph.postprocessing.stats.tables.scan_ids import ScanIds
from fibromorph.postprocessing.thickness import read_thickness
from fibromorph.postprocessing.volumes import read_volumes

SEG = "_seg-"
OF_ATLAS = re.compile(rf"{SEG}[A-Za-z0-9]+_[a-z]+\.tsv$")
DESCS = ("", f"_desc-{file_names.DESC}")
"""What comes after a scan's name in those of the bundle's files: of `segment`, of a BIDS run."""
T = TypeVar("T")
Facts = Sequence[tuple[dict[str, Any], Path]]


@dataclass(frozen=True)
class _Table:
    """How the tables of one measure are called and read.

    Attributes:
        suffix: of a scan's.
        cohort: what a cohort that was gathered has in their place.
        read: its rows.
        value, hard, sd: the rows' attributes; '' = there is none.
    """

    suffix: str
    cohort: str
    read: Callable[[Path], Sequence[Any]]
    value: str
    hard: str = ""
    sd: str = "sd_ml"


_TABLES: Mapping[str, _Table] = {
    VOLUME.name: _Table(
        file_names.SCAN["volumes"], "volumes.tsv", read_volumes, "soft_volume_ml", "volume_ml"
    ),
    THICKNESS.name: _Table(
        file_names.THICKNESS["thickness"],
        "thickness.tsv",
        read_thickness,
        "thickness_mm",
        sd="sd_mm",
    ),
}


def read_folder(
    folder: Path, ids: ScanIds, wanted: BrainMeasure | None, atlas: str | None = None
) -> CohortVolumes:
    """All tables of one measure under a folder, one scan each.

    Args:
        folder: searched with all that is in it.
        ids: how scans are told apart.
        wanted: None = volumes, or thickness where there are none.
        atlas: take the tables of this one's regions, `NAME_seg-ATLAS_volumes.tsv`, if there are
            any; else, and of None, those of the bundle's.

    Raises:
        TableError: there are none, or one that is not readable or has other rows than the first.
    """
    seg = f"{SEG}{atlas}"
    if atlas is None or not any(folder.rglob(f"*{seg}_*.tsv")):
        seg = ""
    tables = {
        name: replace(table, suffix=f"{seg}{table.suffix}") for name, table in _TABLES.items()
    }
    paths = {name: _paths(folder, table.suffix, seg) for name, table in tables.items()}
    found = [m for m in (VOLUME, THICKNESS) if paths[m.name]]
    measure = wanted or (found[0] if found else VOLUME)
    cohort = _read(folder, paths[measure.name], ids, measure, tables[measure.name])
    return replace(cohort, notes=(*cohort.notes, *note_on_atlas(atlas if seg else None)))


def _paths(folder: Path, suffix: str, seg: str) -> list[Path]:
    """Tables of scans; those of an atlas's regions end as the others do."""
    found = sorted(folder.rglob(f"*{suffix}"))
    return found if seg else [path for path in found if not OF_ATLAS.search(path.name)]


def _read(
    folder: Path, paths: Sequence[Path], ids: ScanIds, measure: BrainMeasure, table: _Table
) -> CohortVolumes:
    if not paths:
        raise TableError(f"the folder must hold tables named NAME{table.suffix}", subject=folder)
    if (folder / table.cohort).is_file():
        rule = (
            f"of a cohort that was gathered, pass {table.cohort} itself: quality and exclusions"
            " count"
        )
        raise TableError(rule, value=table.cohort, subject=folder)
    stems = [path.name.removesuffix(table.suffix) for path in paths]
    keys = [ids.split(stem, None, str(path)) for stem, path in zip(stems, paths, strict=True)]
    index = keyed(keys, [str(path) for path in paths])
    facts = [_facts(path, stem) for path, stem in zip(paths, stems, strict=True)]
    scans = [{row.name: row for row in table.read(path)} for path in paths]
    regions = [name for name in scans[0] if name != ETIV]
    for path, scan in zip(paths, scans, strict=True):
        if set(scan) - {ETIV} != set(regions):
            raise TableError("all scans must have the same regions", subject=path)

    def values(attribute: str) -> pd.DataFrame:
        rows = [[getattr(scan[name], attribute) for name in regions] for scan in scans]
        return pd.DataFrame(rows, index=index, columns=regions, dtype=float)

    # What is known of responsiveness and repetition is that of the bundle's own regions.
    known = [] if table.suffix.startswith(SEG) else [_known(one, measure) for one in facts]
    return CohortVolumes(
        soft=values(table.value),
        hard=values(table.hard) if table.hard else None,
        sd=values(table.sd),
        etiv_ml=_etiv(scans, paths, stems, index) if measure is VOLUME else None,
        quality=_quality(facts, index),
        tool=TOOL,
        sources=(folder,),
        shares=_common([shares_of(*one) for one in known]),
        repeats=_common([repeat_shares_in(*one) for one in known]),
        notes=_models(facts),
        measure=measure,
    )


def _facts(path: Path, stem: str) -> tuple[dict[str, Any], Path]:
    """What was written beside a table of one scan, by `segment` or by a BIDS run, and where."""
    single = path.with_name(f"{stem}.json")
    derivatives = [path.with_name(f"{stem}{desc}_dseg.json") for desc in DESCS]
    beside = next((p for p in (single, *derivatives) if p.is_file()), single)
    if not beside.is_file():
        return {}, beside
    try:
        content = json.loads(beside.read_text(encoding="utf-8"))
        content = content if beside is single else content["Fibromorph"]
        return dict(content), beside
    except (OSError, ValueError, KeyError, TypeError) as reason:
        rule = "a scan's provenance must be what fibromorph wrote"
        raise TableError(rule, value=reason, subject=beside) from None


def _known(facts: tuple[dict[str, Any], Path], measure: BrainMeasure) -> tuple[Any, Path]:
    """The part of a scan's provenance that is about a measure."""
    content, path = facts
    return (content if measure is VOLUME else content.get(measure.name, {})), path


def _quality(facts: Facts, index: pd.MultiIndex) -> pd.Series | None:
    """Of every scan; None if nothing is known of any."""
    found = pd.Series([_overall(*one) for one in facts], index, float, QUALITY)
    return found if found.notna().any() else None


def _models(facts: Facts) -> tuple[str, ...]:
    """A note where several models have measured: each draws its own borders."""
    models = (content.get("model") for content, _ in facts)
    found = {f"{m.get('name')} {m.get('version')}" for m in models if isinstance(m, dict)}
    if len(found) < 2:
        return ()
    names = ", ".join(sorted(found))
    return (f"Scans were measured by several models, which cannot be compared: {names}.",)


def _overall(content: dict[str, Any], path: Path) -> float:
    try:
        return float(content["quality"]["overall"]) if "quality" in content else float("nan")
    except (ValueError, KeyError, TypeError) as reason:
        rule = "a scan's provenance must hold quality.overall, a number"
        raise TableError(rule, value=reason, subject=path) from None


def _common(known: Sequence[dict[str, T]]) -> dict[str, T]:
    """What the first scan's says, if one bundle has measured all of them."""
    return known[0] if known and all(other == known[0] for other in known) else {}


def _etiv(
    scans: Sequence[Mapping[str, Any]],
    paths: Sequence[Path],
    stems: Sequence[str],
    index: pd.MultiIndex,
) -> pd.Series:
    """Of the tables themselves, or of the bundle's beside those of an atlas."""
    found = []
    for scan, path, stem in zip(scans, paths, stems, strict=True):
        names = (f"{stem}{desc}{_TABLES[VOLUME.name].suffix}" for desc in DESCS)
        beside = next((p for name in names if (p := path.with_name(name)).is_file()), None)
        rows = scan if ETIV in scan or beside is None else {r.name: r for r in read_volumes(beside)}
        found.append(rows[ETIV].volume_ml if ETIV in rows else None)
    return pd.Series(found, index=index, dtype=float, name=ETIV)
