"""Which tool wrote a table, and of what: told by its header."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fibromorph.errors import TableError
from fibromorph.postprocessing.stats.designs.sections import MeasureName
from fibromorph.postprocessing.stats.tables import freesurfer, native, single_scans
from fibromorph.postprocessing.stats.tables.cells import place, read_text_table, to_numbers
from fibromorph.postprocessing.stats.tables.cohort import (
    KEY,
    CohortVolumes,
    joined,
    keyed,
    of_tool,
    positive,
)
from fibromorph.postprocessing.stats.tables.measure import (
    MEASURES,
    THICKNESS,
    VOLUME,
    BrainMeasure,
)
from fibromorph.postprocessing.stats.tables.region_names import (
    ENIGMA,
    from_enigma,
    from_freesurfer,
    from_synthseg,
    of_thickness,
)
from fibromorph.postprocessing.stats.tables.scan_ids import ScanIds

KNOWN = (
    "fibromorph (participant_id, regions, eTIV or Mean-Thickness), FreeSurfer (Measure:volume,"
    " ?h.aparc.volume or ?h.aparc.thickness),"
    " ENIGMA (SubjID, LLatVent, ...), SynthSeg (subject, total intracranial, ...)"
)


@dataclass(frozen=True)
class _Tool:
    """Another tool's table: ids in the first column, volumes in mm3 or thickness in mm in others.

    Attributes:
        measure: what it holds.
        has: whether a column is of that measure, or eTIV.
    """

    name: str
    recognises: Callable[[list[str]], bool]
    rename: Callable[[str], str]
    measure: BrainMeasure = VOLUME
    has: Callable[[str], bool] = bool


_TOOLS = (
    _Tool(
        "FreeSurfer",
        lambda header: header[0].startswith("Measure:volume") or header[0].endswith(".volume"),
        from_freesurfer,
    ),
    _Tool(
        "FreeSurfer",
        lambda header: header[0].endswith(".thickness"),
        from_freesurfer,
        THICKNESS,
        of_thickness,
    ),
    _Tool("ENIGMA (FreeSurfer)", lambda header: len(set(header) & set(ENIGMA)) > 2, from_enigma),
    _Tool("SynthSeg", lambda header: "total intracranial" in header, from_synthseg),
)


def read_cohort(
    paths: Sequence[Path],
    ids: ScanIds | None = None,
    measure: MeasureName | None = None,
    atlas: str | None = None,
) -> CohortVolumes:
    """Volumes or thickness of a cohort, from whichever tool's tables.

    Args:
        paths: a wide table of fibromorph, a folder of its tables, a SUBJECTS_DIR of FreeSurfer or
            FastSurfer, or one or more tables of FreeSurfer (aseg with aparc, say), ENIGMA or
            SynthSeg, which are joined.
        ids: how scans are told apart; by BIDS names if None.
        measure: what is asked for; None = what the tables hold, of folders that hold both volumes.
        atlas: whose regions to take of a folder of fibromorph's tables, see `read_folder`.

    Raises:
        TableError: unknown header, text in a number, a scan twice, scans that do not match, tables
            of something else than is asked for, or of both.
    """
    rule, wanted = ids or ScanIds(), None if measure is None else MEASURES[measure]
    cohort = joined([_read(Path(path), rule, wanted, atlas) for path in paths])
    if wanted is not None and cohort.measure is not wanted:
        raise TableError(
            f"the design asks for {wanted.name} (measure): the table must hold it",
            value=cohort.measure.name,
            subject=cohort.sources[0],
        )
    return positive(cohort)


def _read(
    path: Path, ids: ScanIds, wanted: BrainMeasure | None, atlas: str | None
) -> CohortVolumes:
    if path.is_dir() and freesurfer.is_subjects_dir(path):
        return freesurfer.read_subjects_dir(path, ids, wanted or VOLUME)
    if path.is_dir():
        return single_scans.read_folder(path, ids, wanted, atlas)
    frame = read_text_table(path)
    header = [str(c) for c in frame.columns]
    for tool in _TOOLS:
        if tool.recognises(header):
            return _read_other(frame, tool, path, ids)
    if KEY[0] in header:
        return native.read_wide(path, ids)
    rule = f"the header must be one of: {KNOWN}"
    if header[0].endswith(".area"):
        rule = (
            "the table must hold volumes or thickness (aparcstats2table --meas volume, thickness)"
        )
    raise TableError(rule, value=" ".join(header[:4]), subject=path)


def _read_other(frame: pd.DataFrame, tool: _Tool, path: Path, ids: ScanIds) -> CohortVolumes:
    id_column, *others = (str(c) for c in frame.columns)
    columns = [c for c in others if tool.has(c)]
    places = [place(path, line) for line in frame.index]
    names = zip(frame[id_column], places, strict=True)
    index = keyed([ids.split(str(name), None, where) for name, where in names], places)
    values = to_numbers(frame, columns, path).set_axis(index)
    values = values.rename(columns={c: tool.rename(c) for c in columns})
    values = values.loc[:, ~values.columns.duplicated()]
    return of_tool(values, tool.measure, tool.name, path)
