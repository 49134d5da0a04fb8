"""The files of a simulated study: BIDS raw data, and the truth as a derivative beside it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

import fibromorph
from fibromorph.datasets.cohort.people import Person
from fibromorph.grid import Grid

BIDS_VERSION = "1.10.0"
TRUTH = Path("derivatives") / "truth"
GZIP_LEVEL = 1  # noise does not compress: higher levels only take longer
MISSING = "n/a"

COLUMNS: Mapping[str, Mapping[str, object]] = {
    "age": {"Description": "age at the first session", "Units": "years"},
    "sex": {"Description": "sex", "Levels": {"F": "female", "M": "male"}},
    "group": {
        "Description": "diagnosis",
        "Levels": {"patient": "chronic widespread pain", "control": "healthy"},
    },
    "pain_intensity": {"Description": "mean pain of the last week, numerical rating scale 0-10"},
    "fiq": {"Description": "Fibromyalgia Impact Questionnaire, 0-100; patients only"},
    "depression_bdi": {"Description": "Beck Depression Inventory, 0-63"},
    "catastrophising": {"Description": "Pain Catastrophizing Scale, 0-52"},
    "activity": {"Description": "Multidimensional Pain Inventory, general activity, 0-6"},
    "medication": {"Description": "Medication Quantification Scale"},
    "duration": {"Description": "time since diagnosis; patients only", "Units": "years"},
    "pressure_threshold": {"Description": "pressure pain threshold", "Units": "kPa"},
}
"""Columns of participants.tsv after participant_id, as its sidecar describes them."""


def scan_path(person: str, session: str, suffix: str = "T1w") -> Path:
    """Where BIDS wants a scan: sub-XX[/ses-YY]/anat/sub-XX[_ses-YY]_SUFFIX.nii.gz."""
    entities = [person, session] if session else [person]
    return Path(*entities, "anat", "_".join([*entities, suffix]) + ".nii.gz")


def write_scan(path: Path, image: NDArray[np.float32], grid: Grid) -> None:
    """Write intensities as int16 NIfTI-1; the bytes depend on the arguments alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rounded = np.rint(image).clip(0, 32767).astype(np.int16)
    nifti = nib.Nifti1Image(rounded, grid.affine_ijk_to_ras)
    nifti.header.set_xyzt_units("mm")
    nifti.set_sform(grid.affine_ijk_to_ras, code=1)
    nifti.set_qform(grid.affine_ijk_to_ras, code=1)
    path.write_bytes(gzip.compress(nifti.to_bytes(), GZIP_LEVEL, mtime=0))


def write_study(folder: Path, people: Sequence[Person]) -> None:
    """dataset_description.json, participants.tsv with sidecar, README, sidecar of all scans."""
    write_json(folder / "dataset_description.json", _description("raw", "Simulated cohort"))
    write_json(folder / "participants.json", COLUMNS)
    write_json(folder / "T1w.json", {"Modality": "MR", "ImageComments": "simulated"})
    write_table(
        folder / "participants.tsv",
        ("participant_id", *COLUMNS),
        ([p.id, p.age, p.sex, p.group, *p.scores.values()] for p in people),
    )
    (folder / "README").write_text(
        "Simulated people: no scan here is of a person. True volumes are in derivatives/truth.\n"
    )


def write_truth(
    folder: Path, header: Sequence[str], rows: Iterable[Sequence[object]], record: object
) -> None:
    """The derivative that knows the truth.

    Args:
        folder: the study's.
        header: participant_id, session_id, regions, eTIV.
        rows: a row a scan, ml.
        record: settings and planted changes, plain JSON.
    """
    truth = folder / TRUTH
    truth.mkdir(parents=True, exist_ok=True)
    write_json(truth / "dataset_description.json", _description("derivative", "True volumes"))
    write_json(truth / "simulation.json", record)
    write_table(truth / "volumes.tsv", header, rows)


def write_json(path: Path, content: object) -> None:
    """Write indented JSON."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a tab-separated table; None becomes n/a."""
    lines = ["\t".join(header), *("\t".join(_cell(cell) for cell in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _cell(value: object) -> str:
    if value is None or value == "":
        return MISSING
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _description(kind: str, name: str) -> dict[str, object]:
    return {
        "Name": name,
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": kind,
        "License": "CC0",
        "GeneratedBy": [{"Name": "fibromorph", "Version": fibromorph.__version__}],
    }
