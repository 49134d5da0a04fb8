"""`seg-ATLAS.tsv` and its twins: one row a session, one column a region of an atlas."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fibromorph.files import write_whole
from fibromorph.postprocessing.volumes import VolumeRow, read_volumes
from fibromorph.serving.atlas import atlas_files
from fibromorph.serving.cohort.group.gather import ETIV, Cohort
from fibromorph.serving.cohort.group.tables import table_text, values_of

KINDS = {"": "soft_volume_ml", "_hard": "volume_ml", "_sd": "sd_ml"}
"""What comes after the table's name -> what it holds."""


def atlas_table(name: str) -> str:
    """The table of an atlas's regions, as `volumes.tsv` is that of a bundle's."""
    return f"seg-{name}.tsv"


def write_atlas_tables(out: Path, cohort: Cohort) -> dict[str, int]:
    """Write soft volumes, counted volumes and standard deviations of every atlas's regions in ml.

    Head size is that of `volumes.tsv`. A scan of which somebody has corrected labels by hand has
    `n/a`: what an atlas divides was not drawn anew.

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
    found = {}
    for atlas in atlases:
        scans = _measured(out, cohort, atlas)
        found[atlas] = sum(map(bool, scans))
        names = tuple(dict.fromkeys(name for rows in scans for name in rows))
        heads = cohort.hard_ml[:, [cohort.regions.index(ETIV)]]
        for kind, what in KINDS.items():
            file = atlas_table(f"{atlas}{kind}")
            values = np.hstack([values_of(scans, names, what), heads])
            write_whole(out / file, table_text(cohort, (*names, ETIV), values))
            gone.discard(file)
    for file in gone:  # of an atlas that no scan has any more
        (out / file).unlink()
    return found


def _measured(out: Path, cohort: Cohort, atlas: str) -> list[Mapping[str, VolumeRow]]:
    """Rows by name, a mapping a scan; empty where it was not measured, or was corrected."""
    volumes = next(what for what in atlas_files(atlas) if what.endswith("volumes"))
    return [
        {row.name: row for row in read_volumes(out / task.files[volumes])}
        if atlas in task.atlases and not corrected
        else {}
        for task, corrected in zip(cohort.tasks, cohort.corrected, strict=True)
    ]
