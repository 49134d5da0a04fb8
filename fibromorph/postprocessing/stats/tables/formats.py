"""Which tool wrote a table of volumes: told by its header."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fibromorph.errors import TableError
from fibromorph.postprocessing.stats.tables import freesurfer, native
from fibromorph.postprocessing.stats.tables.cells import place, read_text_table, to_numbers
from fibromorph.postprocessing.stats.tables.cohort import (
    KEY,
    CohortVolumes,
    from_mm3,
    joined,
    keyed,
    positive,
)
from fibromorph.postprocessing.stats.tables.region_names import (
    ENIGMA,
    from_enigma,
    from_freesurfer,
    from_synthseg,
)
from fibromorph.postprocessing.stats.tables.scan_ids import ScanIds

KNOWN = (
    "fibromorph (participant_id, regions, eTIV), FreeSurfer (Measure:volume or ?h.aparc.volume),"
    " ENIGMA (SubjID, LLatVent, ...), SynthSeg (subject, total intracranial, ...)"
)


@dataclass(frozen=True)
class _Tool:
    """Another tool's table: ids in the first column, volumes in mm3 in the others."""

    name: str
    recognises: Callable[[list[str]], bool]
    rename: Callable[[str], str]


_TOOLS = (
    _Tool(
        "FreeSurfer",
        lambda header: header[0].startswith("Measure:volume") or header[0].endswith(".volume"),
        from_freesurfer,
    ),
    _Tool("ENIGMA (FreeSurfer)", lambda header: len(set(header) & set(ENIGMA)) > 2, from_enigma),
    _Tool("SynthSeg", lambda header: "total intracranial" in header, from_synthseg),
)


def read_cohort(paths: Sequence[Path], ids: ScanIds | None = None) -> CohortVolumes:
    """Volumes of a cohort, from whichever tool's tables.

    Args:
        paths: a wide table of fibromorph, a folder of its tables, a SUBJECTS_DIR of FreeSurfer or
            FastSurfer, or one or more tables of FreeSurfer (aseg with aparc, say), ENIGMA or
            SynthSeg, which are joined.
        ids: how scans are told apart; by BIDS names if None.

    Raises:
        TableError: unknown header, text in a number, a scan twice, scans that do not match.
    """
    rule = ids or ScanIds()
    return positive(joined([_read(Path(path), rule) for path in paths]))


def _read(path: Path, ids: ScanIds) -> CohortVolumes:
    if path.is_dir() and freesurfer.is_subjects_dir(path):
        return freesurfer.read_subjects_dir(path, ids)
    if path.is_dir():
        return native.read_folder(path, ids)
    frame = read_text_table(path)
    header = [str(c) for c in frame.columns]
    for tool in _TOOLS:
        if tool.recognises(header):
            return _read_other(frame, tool, path, ids)
    if KEY[0] in header:
        return native.read_wide(path, ids)
    rule = f"the header must be one of: {KNOWN}"
    if header[0].endswith((".thickness", ".area")):
        rule = "the table must hold volumes (aparcstats2table --meas volume)"
    raise TableError(rule, value=" ".join(header[:4]), subject=path)


def _read_other(frame: pd.DataFrame, tool: _Tool, path: Path, ids: ScanIds) -> CohortVolumes:
    id_column, *columns = (str(c) for c in frame.columns)
    places = [place(path, line) for line in frame.index]
    names = zip(frame[id_column], places, strict=True)
    index = keyed([ids.split(str(name), None, where) for name, where in names], places)
    values = to_numbers(frame, columns, path).set_axis(index)
    values = values.rename(columns={c: tool.rename(c) for c in columns})
    values = values.loc[:, ~values.columns.duplicated()]
    return from_mm3(values, tool.name, path)
