"""`thickness.tsv` and its twin: one row a session, one column a region of the cortex."""

from __future__ import annotations

from pathlib import Path

from fibromorph.labels import CORTEX
from fibromorph.postprocessing.thickness import MEAN, ThicknessRow, read_thickness
from fibromorph.serving.cohort.group.gather import Cohort
from fibromorph.serving.cohort.group.tables import (
    table_text,
    values_of,
    write_of_the_tool,
    write_or_drop,
)

NAMES = {"thickness.tsv": "thickness_mm", "thickness_sd.tsv": "sd_mm"}


def write_thickness_tables(out: Path, cohort: Cohort) -> int:
    """Write thickness and its standard deviation in mm, where it was measured of any scan.

    Beside them what `stats` has to know of the tool, as beside volumes.

    A region that somebody has corrected by hand is `n/a`, and so are its hemisphere and the mean:
    the surfaces were not drawn anew.

    Args:
        out: OUT_DIR.
        cohort: from `gather`.

    Returns:
        Of how many scans it was measured.

    Raises:
        TableError: a table that a record names is gone or damaged.
    """
    scans = [
        read_thickness(out / task.files["thickness"]) if task.thickness else ()
        for task in cohort.tasks
    ]
    names = tuple(dict.fromkeys(row.name for rows in scans for row in rows))
    known = [_without(rows, touched) for rows, touched in zip(scans, cohort.corrected, strict=True)]
    for file, what in NAMES.items():
        values = values_of(known, names, what)
        write_or_drop(out / file, table_text(cohort, names, values) if names else None)
    write_of_the_tool(out, "thickness", cohort.of_thickness if names else None)
    return sum(map(bool, scans))


def _without(rows: tuple[ThicknessRow, ...], corrected: tuple[str, ...]) -> dict[str, ThicknessRow]:
    """Rows by name, less what a correction has made untrue."""
    known = {row.name: row for row in rows}
    touched = [known.pop(name) for name in corrected if name in known]
    for row in touched:
        known.pop(f"{row.hemisphere.capitalize()}-{CORTEX}", None)
        known.pop(MEAN, None)
    return known
