"""The files of an analysis: tables, then the page."""

from __future__ import annotations

from pathlib import Path

from fibromorph.files import write_whole
from fibromorph.postprocessing.stats.report.brain import paint
from fibromorph.postprocessing.stats.report.page import render
from fibromorph.postprocessing.stats.results import TABLES, Results, to_tsv

REPORT = "report.html"


def write_study(results: Results, out: Path, *, atlas: str | None = None) -> None:
    """Write every table and `report.html`, each moved into place when complete.

    Tables of an earlier analysis, whose page lies there, that this one does not have are removed.

    Args:
        results: of `analyse`.
        out: made when it does not exist.
        atlas: see `brain.paint`.
    """
    texts = {name: to_tsv(table) for name, table in results.tables().items()}
    texts[REPORT] = render(results, paint(results.groups, results.design.inference.alpha, atlas))
    out.mkdir(parents=True, exist_ok=True)
    again = _is_page(out / REPORT)
    for name, text in texts.items():
        write_whole(out / name, text)
    # A table of an earlier analysis would pass for this one's; somebody's own sites.tsv would not.
    for name in {*TABLES} - {*texts}:
        path = out / name
        if again and path.is_file() and _is_table(path.read_bytes().partition(b"\n")[0]):
            path.unlink()


def _is_table(header: bytes) -> bool:
    return any(name in header for name in (b"region", b"n_responders", b"left_difference"))


def _is_page(path: Path) -> bool:
    return path.is_file() and b"fibromorph" in path.read_bytes()
