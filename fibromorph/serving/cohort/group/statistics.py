"""The statistics of a gathered cohort, by the design that a person wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fibromorph.errors import TableError
from fibromorph.postprocessing.stats import Design, load_design, run_study

FOLDER = "stats"


def read_design(path: Path | None) -> Design | None:
    """Read a design before anything is written.

    Raises:
        ConfigError: a key or value that is wrong.
    """
    return None if path is None else load_design(path)


def run_statistics(out: Path, design: Design, say: Callable[[str], None]) -> None:
    """Analyse `volumes.tsv` less `exclusions.tsv` into OUT_DIR/stats.

    Raises:
        ConfigError, TableError: see `run_study`; or there is no table of participants.
    """
    people = out / "participants.tsv"
    if not people.exists():
        raise TableError("the statistics need BIDS_DIR/participants.tsv", subject=people)
    results = run_study(design, out / "volumes.tsv", people, out / FOLDER)
    say(f"{results.summary} {out / FOLDER / 'report.html'}")
