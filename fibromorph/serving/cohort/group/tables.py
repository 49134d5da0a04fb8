"""`volumes.tsv` and its twins: one row a session, one column a region."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from fibromorph.files import write_whole
from fibromorph.serving.cohort.group.gather import OF_THE_TOOL, Cohort, ToolFacts, Values
from fibromorph.serving.cohort.group.outliers import Outlier

NAMES = {"volumes.tsv": "soft_ml", "volumes_hard.tsv": "hard_ml", "volumes_sd.tsv": "sd_ml"}


def write_tables(out: Path, cohort: Cohort) -> None:
    """Write soft volumes, counted volumes and standard deviations, all in ml and of one shape.

    Beside them what `stats` has to know of the tool: `volumes_responsiveness.json` and
    `volumes_repeatability.json`.
    """
    for name, values in NAMES.items():
        write_whole(out / name, table_text(cohort, cohort.regions, getattr(cohort, values)))
    write_of_the_tool(out, "volumes", cohort.of_volumes)


def write_of_the_tool(out: Path, stem: str, known: ToolFacts | None) -> None:
    """Write what is known of the tool beside a table of that stem; None = there is no table."""
    for name in OF_THE_TOOL:
        text = None if known is None else json.dumps({name: known[name]}, indent=1) + "\n"
        write_or_drop(out / f"{stem}_{name}.json", text)


def write_corrections(out: Path, cohort: Cohort) -> None:
    """Write `corrected.tsv`: scans whose labels were corrected by hand, and in which regions."""
    path = out / "corrected.tsv"
    rows = [row for row, regions in enumerate(cohort.corrected) if regions]
    lines = ["\t".join((*IDS, "regions"))]
    lines += ["\t".join((*cohort.tasks[row].ids, ", ".join(cohort.corrected[row]))) for row in rows]
    write_or_drop(path, "\n".join(lines) + "\n" if rows else None)


def write_quality(out: Path, cohort: Cohort, outliers: Iterable[Outlier]) -> None:
    """Write `quality.tsv`: verdict, image measures, flags and outliers of every scan."""
    measures = sorted({name for quality in cohort.quality for name in quality.measures})
    unusual: dict[int, list[str]] = {}
    for outlier in outliers:
        unusual.setdefault(outlier.row, []).append(f"{outlier.region} {outlier.z:+.1f}")
    header = (*IDS, "quality", "verdict", *measures, "outliers", "flags")
    lines = ["\t".join(header)]
    for row, quality in enumerate(cohort.quality):
        numbers = (_cell(quality.measures.get(name, float("nan"))) for name in measures)
        texts = (", ".join(unusual.get(row, [])), "; ".join(quality.flags))
        cells = (*cohort.tasks[row].ids, f"{quality.overall:.4f}", quality.verdict, *numbers)
        lines.append("\t".join((*cells, *(text or "n/a" for text in texts))))
    write_whole(out / "quality.tsv", "\n".join(lines) + "\n")


IDS = ("participant_id", "session_id", "run")


def write_or_drop(path: Path, text: str | None) -> None:
    """Write a table that is not always there; None = what an earlier call wrote goes."""
    if text is None:
        path.unlink(missing_ok=True)
    else:
        write_whole(path, text)


def values_of(scans: Sequence[Mapping[str, object]], names: Sequence[str], what: str) -> Values:
    """(n, c) of an attribute of the rows of n scans, NaN where a scan has no such row or value.

    Args:
        scans: name -> row, a mapping a scan.
        names: of the rows, c.
        what: attribute of the rows.
    """
    values = np.full((len(scans), len(names)), np.nan)
    for i, rows in enumerate(scans):
        for column, name in enumerate(names):
            value = getattr(rows[name], what) if name in rows else None
            values[i, column] = np.nan if value is None else value
    return values


def table_text(cohort: Cohort, columns: Sequence[str], values: Values) -> str:
    """A table with a row a scan.

    Args:
        cohort: n scans.
        columns: c names.
        values: (n, c), NaN = `n/a`.
    """
    lines = ["\t".join((*IDS, *columns, "quality", "verdict"))]
    for row, quality in enumerate(cohort.quality):
        numbers = map(_cell, values[row])
        cells = (*cohort.tasks[row].ids, *numbers, f"{quality.overall:.4f}", quality.verdict)
        lines.append("\t".join(cells))
    return "\n".join(lines) + "\n"


def _cell(value: float) -> str:
    return f"{value:.4f}" if np.isfinite(value) else "n/a"
