"""fibromorph's own volumes: the wide table of a cohort, or a folder of tables of single scans."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from fibromorph.errors import TableError
from fibromorph.postprocessing.stats.people.repeatability import KEY as KEY_OF_REPEATS
from fibromorph.postprocessing.stats.people.repeatability import (
    read_repeat_shares,
    repeat_shares_in,
)
from fibromorph.postprocessing.stats.people.responsive import KEY as KEY_OF_SHARES
from fibromorph.postprocessing.stats.people.responsive import read_shares, shares_of
from fibromorph.postprocessing.stats.tables.cells import (
    place,
    read_text_table,
    require_columns,
    to_numbers,
)
from fibromorph.postprocessing.stats.tables.cohort import KEY, CohortVolumes, keyed
from fibromorph.postprocessing.stats.tables.region_names import ETIV
from fibromorph.postprocessing.stats.tables.scan_ids import ScanIds
from fibromorph.postprocessing.volumes import VolumeRow, read_volumes
from fibromorph.text import decode, yes_or_no

QUALITY = "quality"
TEXT = ("run", "verdict")
"""Columns that say something of a scan and are no volumes."""

EXCLUSIONS = "exclusions.tsv"
CORRECTED = "corrected.tsv"
SUFFIX = "_volumes.tsv"
COHORT = "volumes.tsv"
TOOL = "fibromorph"
NAMED = 8
PROPOSED = "check:"
"""How the reason of a scan begins that the program asks a person to look at."""
T = TypeVar("T")
Notes = tuple[str, ...]
Facts = Sequence[tuple[dict[str, Any], Path]]


def read_wide(path: Path, ids: ScanIds) -> CohortVolumes:
    """`volumes.tsv` of a cohort, with what lies beside it: `volumes_sd.tsv`, `volumes_hard.tsv`,
    `volumes_responsiveness.json`, `volumes_repeatability.json`, `corrected.tsv`, and
    `exclusions.tsv`, which a person edits.

    Columns: participant_id, session_id, run, verdict (optional), quality (optional, 0..1), regions
    in ml, eTIV.

    Raises:
        TableError: a table that is not of this kind, or companions with other scans or regions.
    """
    frame, index = _read_keyed(path, ids)
    regions = [c for c in frame.columns if c not in (*KEY, *TEXT, QUALITY, ETIV)]
    values = to_numbers(frame, regions, path).set_axis(index)
    decisions, strangers = _decisions(path.with_name(EXCLUSIONS), ids, index)
    return CohortVolumes(
        soft_ml=values,
        hard_ml=_companion(path, "hard", ids, values),
        sd_ml=_companion(path, "sd", ids, values),
        etiv_ml=_column(frame, ETIV, index, path),
        quality=_column(frame, QUALITY, index, path),
        tool=TOOL,
        sources=(path,),
        **decisions,
        shares=read_shares(path.with_name(f"{path.stem}_{KEY_OF_SHARES}.json")),
        repeats=read_repeat_shares(path.with_name(f"{path.stem}_{KEY_OF_REPEATS}.json")),
        notes=(*strangers, *_corrections(path.with_name(CORRECTED))),
    )


def _corrections(path: Path) -> Notes:
    """A note on scans whose labels somebody has corrected: that is a measurement of its own."""
    if not path.is_file():
        return ()
    count = len(read_text_table(path))
    scans = "one scan" if count == 1 else f"{count} scans"
    return (
        f"Volumes of {scans} follow labels that were corrected by hand ({path.name}). Whoever"
        " corrects must not know the groups, and treat all scans by one rule.",
    )


def read_folder(folder: Path, ids: ScanIds) -> CohortVolumes:
    """All `NAME_volumes.tsv` under a folder, one scan each.

    Raises:
        TableError: there are none, or one that is not readable or has other rows than the first.
    """
    paths = sorted(folder.rglob(f"*{SUFFIX}"))
    if not paths:
        raise TableError(f"the folder must hold tables named NAME{SUFFIX}", subject=folder)
    if (folder / COHORT).is_file():
        rule = f"of a cohort that was gathered, pass {COHORT} itself: quality and exclusions count"
        raise TableError(rule, value=COHORT, subject=folder)
    names = [str(path) for path in paths]
    keys = [ids.split(path.name.removesuffix(SUFFIX), None, str(path)) for path in paths]
    index = keyed(keys, names)
    facts = [_facts(path) for path in paths]
    scans = [{row.name: row for row in read_volumes(path)} for path in paths]
    regions = [name for name in scans[0] if name != ETIV]
    for path, scan in zip(paths, scans, strict=True):
        if set(scan) - {ETIV} != set(regions):
            raise TableError("all scans must have the same regions", subject=path)
    etiv = _etiv(scans)
    return CohortVolumes(
        soft_ml=_values(scans, regions, index, "soft_volume_ml"),
        hard_ml=_values(scans, regions, index, "volume_ml"),
        sd_ml=_values(scans, regions, index, "sd_ml"),
        etiv_ml=pd.Series(etiv, index=index, dtype=float, name=ETIV),
        quality=_quality(facts, index),
        tool=TOOL,
        sources=(folder,),
        shares=_common([shares_of(*one) for one in facts]),
        repeats=_common([repeat_shares_in(*one) for one in facts]),
        notes=_models(facts),
    )


def _facts(path: Path) -> tuple[dict[str, Any], Path]:
    """What was written beside a table of one scan, by `segment` or by a BIDS run, and where."""
    stem = path.name.removesuffix(SUFFIX)
    single, derivative = path.with_name(f"{stem}.json"), path.with_name(f"{stem}_dseg.json")
    beside = single if single.is_file() else derivative
    if not beside.is_file():
        return {}, beside
    try:
        content = json.loads(beside.read_text(encoding="utf-8"))
        content = content if beside is single else content["Fibromorph"]
        return dict(content), beside
    except (OSError, ValueError, KeyError, TypeError) as reason:
        rule = "a scan's provenance must be what fibromorph wrote"
        raise TableError(rule, value=reason, subject=beside) from None


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
    return known[0] if all(other == known[0] for other in known) else {}


def _etiv(scans: Sequence[dict[str, VolumeRow]]) -> list[float | None]:
    return [scan[ETIV].volume_ml if ETIV in scan else None for scan in scans]


def _values(
    scans: Sequence[dict[str, VolumeRow]], regions: list[str], index: pd.MultiIndex, what: str
) -> pd.DataFrame:
    rows = [[getattr(scan[name], what) for name in regions] for scan in scans]
    return pd.DataFrame(rows, index=index, columns=regions, dtype=float)


def _read_keyed(
    path: Path, ids: ScanIds, *, person: bool = False
) -> tuple[pd.DataFrame, pd.MultiIndex]:
    frame = read_text_table(path)
    require_columns(frame, KEY[:1], path)
    sessions = frame[KEY[1]] if KEY[1] in frame else [None] * len(frame)
    places = [place(path, line) for line in frame.index]
    keys = [
        ids.split(str(participant), session, where, person=person)
        for participant, session, where in zip(frame[KEY[0]], sessions, places, strict=True)
    ]
    return frame, keyed(keys, places)


def _column(frame: pd.DataFrame, name: str, index: pd.MultiIndex, path: Path) -> pd.Series | None:
    if name not in frame:
        return None
    return to_numbers(frame, [name], path)[name].set_axis(index)


def _decisions(path: Path, ids: ScanIds, scans: pd.MultiIndex) -> tuple[dict[str, Any], Notes]:
    """What `exclusions.tsv` says of the scans: who is excluded and who stays; what fits none."""
    if not path.exists() or len(decode(path.read_bytes()).splitlines()) < 2:
        return {}, ()
    frame, index = _read_keyed(path, ids, person=True)
    require_columns(frame, ["exclude"], path)
    reasons = frame["reason"] if "reason" in frame else [None] * len(frame)
    found: dict[bool, set[tuple[str, str]]] = {True: set(), False: set()}
    strangers = []
    for line, key, cell, reason in zip(frame.index, index, frame["exclude"], reasons, strict=True):
        excludes = yes_or_no(cell or "")
        if excludes is None:
            subject = place(path, line, "exclude")
            raise TableError("the cell must be yes or no", value=cell, subject=subject)
        meant = _scans_meant((str(key[0]), str(key[1])), scans, ids)
        # A proposal to look at a scan is no decision yet.
        if excludes or not str(reason or "").startswith(PROPOSED):
            found[excludes].update(meant)
        if not meant:
            strangers.append(" ".join(key).strip())
    notes: Notes = ()
    if strangers:
        names = ", ".join(strangers[:NAMED]) + (", ..." if len(strangers) > NAMED else "")
        notes = (f"Rows of {path.name} that fit no scan and do nothing: {names}.",)
    return {
        "excluded": frozenset(found[True]),
        "kept": frozenset(found[False] - found[True]),
    }, notes


def _scans_meant(key: tuple[str, str], scans: pd.MultiIndex, ids: ScanIds) -> set[tuple[str, str]]:
    """The scan of a key, also by a session without `ses-`; all of a participant's without one."""
    participant, session = key
    own = {(str(p), str(s)) for p, s in scans if p == participant}
    written = f"ses-{session}"
    exact = own & {(participant, s) for s in (session, written, ids.rename.get(written, written))}
    return exact or (own if not session else set())


def _companion(path: Path, what: str, ids: ScanIds, values: pd.DataFrame) -> pd.DataFrame | None:
    beside = path.with_name(f"{path.stem}_{what}{path.suffix}")
    if not beside.exists():
        return None
    frame, index = _read_keyed(beside, ids)
    require_columns(frame, [str(c) for c in values.columns], beside)
    absent = set(values.index) - set(index)
    if absent:
        raise TableError(
            f"must hold every scan of {path.name}",
            value=" ".join(min(absent)).strip(),
            subject=beside,
        )
    numbers = to_numbers(frame, [str(c) for c in values.columns], beside).set_axis(index)
    return numbers.loc[values.index]
