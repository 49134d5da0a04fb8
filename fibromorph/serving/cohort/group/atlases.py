"""`seg-ATLAS.tsv` and its twins: one row a session, one column a region of an atlas."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from fibromorph.files import write_whole
from fibromorph.postprocessing.stats.designs.sections import MeasureName
from fibromorph.postprocessing.thickness import ThicknessRow, read_thickness
from fibromorph.postprocessing.volumes import VolumeRow, read_volumes
from fibromorph.serving.cohort.group.gather import ETIV, Cohort
from fibromorph.serving.cohort.group.tables import table_text, values_of

KINDS = {"": "soft_volume_ml", "_hard": "volume_ml", "_sd": "sd_ml"}
THICK_KINDS = {"": "thickness_mm", "_sd": "sd_mm"}
"""What comes after the table's name -> what it holds, of volumes and of thickness."""
THICKNESS = "_thickness"
Rows = Mapping[str, VolumeRow | ThicknessRow]


def atlas_table(name: str, measure: MeasureName = "volume") -> str:
    """The table of an atlas's regions, what `volumes.tsv` or `thickness.tsv` is of a bundle's."""
    return f"seg-{name}{THICKNESS if measure == 'thickness' else ''}.tsv"


def write_atlas_tables(out: Path, cohort: Cohort) -> dict[str, int]:
    """Write soft volumes, counted volumes and standard deviations of every atlas's regions in ml.

    And thickness with its standard deviation in mm, where it was measured. Head size is that of
    `volumes.tsv`. A scan of which somebody has corrected labels by hand has `n/a`: what an atlas
    divides was not drawn anew.

    Args:
        out: OUT_DIR.
        cohort: from `gather`.

    Returns:
        Atlas -> of how many scans its regions were measured.

    Raises:
        TableError: a table that a record names is gone or damaged.
    """
    atlases = dict.fromkeys(name for task in cohort.tasks for name in task.atlases)
    gone = {path.name for path in out.glob("seg-*.tsv")}
    heads = cohort.hard_ml[:, [cohort.regions.index(ETIV)]]
    found = {}
    for atlas in atlases:
        scans = _measured(out, cohort, f"atlas_{atlas}_volumes", read_volumes)
        found[atlas] = sum(map(bool, scans))
        names = _names(scans)
        texts = {
            f"seg-{atlas}{kind}.tsv": table_text(
                cohort, (*names, ETIV), np.hstack([values_of(scans, names, what), heads])
            )
            for kind, what in KINDS.items()
        }
        thick = _measured(out, cohort, f"atlas_{atlas}_thickness", read_thickness)
        if names := _names(thick):
            texts |= {
                f"seg-{atlas}{THICKNESS}{kind}.tsv": table_text(
                    cohort, names, values_of(thick, names, what)
                )
                for kind, what in THICK_KINDS.items()
            }
        for file, text in texts.items():
            write_whole(out / file, text)
        gone -= texts.keys()
    for file in gone:  # of what no scan has any more
        (out / file).unlink()
    return found


def _names(scans: Sequence[Rows]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for rows in scans for name in rows))


def _measured(
    out: Path,
    cohort: Cohort,
    file: str,
    read: Callable[[Path], Sequence[VolumeRow | ThicknessRow]],
) -> list[Rows]:
    """Rows by name, a mapping a scan; empty where it was not measured, or was corrected."""
    return [
        {row.name: row for row in read(out / task.files[file])}
        if file in task.files and not corrected
        else {}
        for task, corrected in zip(cohort.tasks, cohort.corrected, strict=True)
    ]
