"""fibromorph's own table of a cohort, of volumes or of thickness, with what lies beside it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd

from fibromorph.errors import TableError
from fibromorph.postprocessing.stats.people.repeatability import KEY as KEY_OF_REPEATS
from fibromorph.postprocessing.stats.people.repeatability import read_repeat_shares
from fibromorph.postprocessing.stats.people.responsive import KEY as KEY_OF_SHARES
from fibromorph.postprocessing.stats.people.responsive import read_shares
from fibromorph.postprocessing.stats.tables.cells import (
    place,
    read_text_table,
    require_columns,
    to_numbers,
)
from fibromorph.postprocessing.stats.tables.cohort import KEY, CohortVolumes, keyed
from fibromorph.postprocessing.stats.tables.measure import THICKNESS, VOLUME, BrainMeasure
from fibromorph.postprocessing.stats.tables.region_names import ETIV
from fibromorph.postprocessing.stats.tables.scan_ids import ScanIds
from fibromorph.postprocessing.thickness import MEAN
from fibromorph.text import decode, yes_or_no

QUALITY = "quality"
TEXT = ("run", "verdict")
"""Columns that say something of a scan and are no region's."""

OF_ATLAS = re.compile(r"seg-([A-Za-z0-9]+)(?:_thickness)?")
"""How the tables of an atlas's regions are called."""
EXCLUSIONS = "exclusions.tsv"
CORRECTED = "corrected.tsv"
TOOL = "fibromorph"
NAMED = 8
PROPOSED = "check:"
"""How the reason of a scan begins that the program asks a person to look at."""
Notes = tuple[str, ...]


def read_wide(path: Path, ids: ScanIds) -> CohortVolumes:
    """`volumes.tsv` or `thickness.tsv` of a cohort, with what lies beside it: `volumes_sd.tsv`,
    `volumes_hard.tsv`, `volumes_responsiveness.json`, `volumes_repeatability.json` (`thickness_...`
    of thickness), `corrected.tsv`, and `exclusions.tsv`, which a person edits.

    Columns: participant_id, session_id, run, verdict (optional), quality (optional, 0..1), regions
    in ml and eTIV; or regions in mm and Mean-Thickness, by which thickness is told.

    Raises:
        TableError: a table that is not of this kind, or companions with other scans or regions.
    """
    frame, index = _read_keyed(path, ids)
    found = OF_ATLAS.fullmatch(path.stem)
    told = note_on_atlas(found[1] if found else None)
    regions = [c for c in frame.columns if c not in (*KEY, *TEXT, QUALITY, ETIV)]
    values = to_numbers(frame, regions, path).set_axis(index)
    decisions, strangers = _decisions(path.with_name(EXCLUSIONS), ids, index)
    measure = THICKNESS if MEAN in regions else VOLUME
    return CohortVolumes(
        soft=values,
        hard=_companion(path, "hard", ids, values) if measure.kinds else None,
        sd=_companion(path, "sd", ids, values),
        etiv_ml=_column(frame, ETIV, index, path),
        quality=_column(frame, QUALITY, index, path),
        tool=TOOL,
        sources=(path,),
        **decisions,
        shares=read_shares(path.with_name(f"{path.stem}_{KEY_OF_SHARES}.json")),
        repeats=read_repeat_shares(path.with_name(f"{path.stem}_{KEY_OF_REPEATS}.json")),
        notes=(*told, *strangers, *_corrections(path.with_name(CORRECTED), measure)),
        measure=measure,
    )


def note_on_atlas(atlas: str | None) -> Notes:
    """A note on regions that are not the bundle's; nothing of None."""
    if atlas is None:
        return ()
    return (
        f"Regions are those of the atlas {atlas}, carried into each scan: structures are the"
        " scan's own, borders within them are the average head's (docs/atlases.md).",
    )


def _corrections(path: Path, measure: BrainMeasure) -> Notes:
    """A note on scans whose labels somebody has corrected: that is a measurement of its own."""
    if not path.is_file():
        return ()
    count = len(read_text_table(path))
    scans = "one scan" if count == 1 else f"{count} scans"
    if measure is THICKNESS:
        return (
            f"Labels of {scans} were corrected by hand ({path.name}). Surfaces were not drawn anew:"
            " what a correction touched has no thickness.",
        )
    return (
        f"Volumes of {scans} follow labels that were corrected by hand ({path.name}). Whoever"
        " corrects must not know the groups, and treat all scans by one rule.",
    )


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
