"""Volume tables of several makers, recognised by their headers and brought to FreeSurfer names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from fibromorph.errors import TableError
from fibromorph.labels import FREESURFER
from fibromorph.postprocessing.statistics.tables import Table, looks_numeric

ETIV = "eTIV"
MM3_PER_ML = 1000.0
COMPANIONS = ("sd", "soft", "hard")
ASEG = {label.name for label in FREESURFER}
# Columns of our table that describe the scan, not a volume.
NOT_REGIONS = re.compile(
    r"(?i)^(participant_id|session_id|(quality|qc|confidence|snr|cnr|euler|motion|scan|file|path|"
    r"model|bundle|engine|version|status|warning|age|sex|site|group)([_ -].*)?)$"
)
ENIGMA_STEMS: Mapping[str, str] = {
    **{"latvent": "Lateral-Ventricle", "thal": "Thalamus", "caud": "Caudate", "put": "Putamen"},
    **{"pal": "Pallidum", "hippo": "Hippocampus", "amyg": "Amygdala", "accumb": "Accumbens-area"},
}
SYNTHSEG_NAMES: Mapping[str, str] = {
    **{"3rd ventricle": "3rd-Ventricle", "4th ventricle": "4th-Ventricle", "csf": "CSF"},
    **{"brain-stem": "Brain-Stem", "total intracranial": ETIV},
}
SYNTHSEG_STEMS: Mapping[str, str] = {
    "inferior lateral ventricle": "Inf-Lat-Vent",
    "accumbens area": "Accumbens-area",
    "ventral dc": "VentralDC",
}


@dataclass(frozen=True, eq=False)
class VolumeTable:
    """Volumes as read.

    Attributes:
        table: the file, for line numbers in errors.
        format: which maker's.
        participants, sessions: raw identifiers, one a row; session '' if the table has none.
        volumes_ml: rows x regions, float, NaN where missing; no eTIV.
        etiv_ml: one a row, or None.
        sd_ml, soft_ml, hard_ml: as `volumes_ml`, from companion columns; None if absent.
    """

    table: Table
    format: str
    participants: list[str]
    sessions: list[str]
    volumes_ml: pd.DataFrame
    etiv_ml: pd.Series[float] | None
    sd_ml: pd.DataFrame | None = None
    soft_ml: pd.DataFrame | None = None
    hard_ml: pd.DataFrame | None = None


def recognise(table: Table) -> str:
    """'fibromorph', 'freesurfer', 'enigma' or 'synthseg'.

    Raises:
        TableError: none of the four.
    """
    names = {h.casefold() for h in table.headers}
    first = table.headers[0].casefold()
    if "participant_id" in names:
        return "fibromorph"
    if first.startswith("measure:") or "estimatedtotalintracranialvol" in names:
        return "freesurfer"
    if {"lthal", "rthal"} <= names:
        return "enigma"
    if {"left thalamus", "right thalamus"} <= names:
        return "synthseg"
    rule = (
        "the header must be that of fibromorph (participant_id ...), asegstats2table "
        "(Measure:volume ...), ENIGMA (SubjID Lthal ...) or SynthSeg (subject left thalamus ...)"
    )
    raise TableError(rule, value=", ".join(table.headers[:4]), subject=table.path)


def volume_table(table: Table, kind: str = "auto") -> VolumeTable:
    """Bring a table of any known maker to ml and FreeSurfer names.

    Raises:
        TableError: unknown header, text in a number, a negative volume, or no region at all.
    """
    kind = recognise(table) if kind == "auto" else kind
    if kind == "fibromorph":
        return _ours(table)
    translate = {"freesurfer": _freesurfer, "enigma": _enigma, "synthseg": _synthseg}[kind]
    named = {h: translate(h) for h in table.headers[1:]}
    columns = {name: h for h, name in named.items() if name}
    volumes = _numbers(table, columns, MM3_PER_ML)
    ids = [_split_id(text) for text in table.cells.iloc[:, 0]]
    etiv = volumes.pop(ETIV) if ETIV in volumes else None
    people, sessions = [i[0] for i in ids], [i[1] for i in ids]
    return VolumeTable(table, kind, people, sessions, _some(volumes, table), etiv)


def _ours(table: Table) -> VolumeTable:
    regions = [h for h in table.headers if _is_region(table, h)]
    parts = {
        kind: {h.removesuffix(f"_{kind}"): h for h in regions if h.endswith(f"_{kind}")}
        for kind in COMPANIONS
    }
    taken = {h for columns in parts.values() for h in columns.values()}
    volumes = _numbers(table, {h: h for h in regions if h not in taken}, 1.0)
    etiv = volumes.pop(ETIV) if ETIV in volumes else None
    companions = {
        f"{kind}_ml": _numbers(table, columns, 1.0) if columns else None
        for kind, columns in parts.items()
    }
    people = list(table.column("participant_id"))
    sessions = list(table.column("session_id")) if table.has("session_id") else [""] * len(people)
    return VolumeTable(
        table, "fibromorph", people, sessions, _some(volumes, table), etiv, **companions
    )


def _is_region(table: Table, header: str) -> bool:
    return not NOT_REGIONS.match(header) and (
        header in ASEG or header == ETIV or looks_numeric(table.cells[header])
    )


def _numbers(table: Table, columns: Mapping[str, str], per_ml: float) -> pd.DataFrame:
    data = {name: table.numbers(h, low=0) / per_ml for name, h in columns.items()}
    return pd.DataFrame(data, index=table.cells.index)


def _some(volumes: pd.DataFrame, table: Table) -> pd.DataFrame:
    if volumes.empty:
        raise TableError("the table must have a column of volumes", subject=table.path)
    return volumes


def _freesurfer(header: str) -> str | None:
    if header == "EstimatedTotalIntraCranialVol":
        return ETIV
    name = header.removesuffix("-Proper")
    return name if name in ASEG or header.startswith("CC_") else None


def _enigma(header: str) -> str | None:
    if header.casefold() == "icv":
        return ETIV
    stem = ENIGMA_STEMS.get(header[1:].casefold())
    side = {"L": "Left", "R": "Right"}.get(header[:1])
    return f"{side}-{stem}" if stem and side else None


def _synthseg(header: str) -> str | None:
    name = header.casefold()
    if name in SYNTHSEG_NAMES:
        return SYNTHSEG_NAMES[name]
    side, _, stem = name.partition(" ")
    if side not in {"left", "right"}:
        return None
    words = SYNTHSEG_STEMS.get(stem, "-".join(w.capitalize() for w in stem.split()))
    return f"{side.capitalize()}-{words}"


def _split_id(text: str) -> tuple[str, str]:
    """The participant and the session in an id, a folder or a file name."""
    parts = re.search(r"(sub-[A-Za-z0-9]+)(?:[_/](ses-[A-Za-z0-9]+))?", text)
    return (parts[1], parts[2] or "") if parts else (text, "")
