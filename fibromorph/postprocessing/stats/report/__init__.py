"""The files of an analysis: tables, then the page."""

from __future__ import annotations

from pathlib import Path

from fibromorph.postprocessing.stats.report.brain import paint
from fibromorph.postprocessing.stats.report.page import render
from fibromorph.postprocessing.stats.results import TABLES, Results, to_tsv
from fibromorph.postprocessing.volumes import write_whole

REPORT = "report.html"


def write_study(results: Results, out: Path, *, atlas: Path | None = None) -> None:
    """Write every table and `report.html`, each moved into place when complete.

    Tables of an earlier analysis that this one does not have are removed.

    Args:
        results: of `analyse`.
        out: made when it does not exist.
        atlas: see `brain.paint`.
    """
    texts = {name: to_tsv(table) for name, table in results.tables().items()}
    texts[REPORT] = render(results, paint(results.groups, results.design.inference.alpha, atlas))
    out.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_whole(out / name, text)
    # A table of an earlier analysis would pass for this one's.
    for name in {*TABLES} - {*texts}:
        (out / name).unlink(missing_ok=True)
