"""The statistics of a gathered cohort, by the design that a person wrote."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from fibromorph.errors import TableError
from fibromorph.file_names import MAP_OF
from fibromorph.postprocessing.atlases import read_atlas
from fibromorph.postprocessing.stats import Design, load_design, run_study
from fibromorph.serving.cohort.group.atlases import atlas_table

TABLES = {"volume": ("volumes.tsv", "stats"), "thickness": ("thickness.tsv", "stats_thickness")}
"""What a design measures -> the gathered table, and where its results go."""
VOXELWISE = {"grey": "stats_vbm", "white": "stats_vbm_white"}
"""Tissue whose maps a design compares -> where its results go."""


def read_design(path: Path | None) -> Design | None:
    """Read a design before anything is written.

    Raises:
        ConfigError: a key or value that is wrong.
    """
    return None if path is None else load_design(path)


def run_statistics(
    out: Path, design: Design, say: Callable[[str], None], atlases: Sequence[str] = ()
) -> None:
    """Analyse `volumes.tsv` less `exclusions.tsv` into OUT_DIR/stats.

    Or, if the design says so, `thickness.tsv` into OUT_DIR/stats_thickness. Or, where atlases are
    given, the table of each into OUT_DIR/stats_ATLAS (of thickness into stats_ATLAS_thickness).

    Raises:
        ConfigError, TableError: see `run_study`; or there is no table of participants, or none of
            what is asked for.
        ConfigError, LabelError: see `read_atlas`.
    """
    if atlases:
        for source in atlases:
            _run_atlas(out, design, say, source)
        return
    table, folder = TABLES[design.measure or "volume"]
    if not (out / table).exists():
        rule = "the participant stage must have measured it: run it again with --thickness"
        raise TableError(rule, value=f"measure: {design.measure}", subject=out / table)
    results = run_study(design, out / table, _participants(out), out / folder)
    say(f"{results.summary} {out / folder / 'report.html'}")


def _run_atlas(out: Path, design: Design, say: Callable[[str], None], source: str) -> None:
    name = read_atlas(source).name
    measure = design.measure or "volume"
    table = out / atlas_table(name, measure)
    folder = out / f"stats_{name}{'_thickness' if measure == 'thickness' else ''}"
    if not table.exists():
        more = " and --thickness" if measure == "thickness" else ""
        rule = f"the participant stage must have measured it: run it again with --atlas{more}"
        raise TableError(rule, value=source, subject=table)
    results = run_study(design, table, _participants(out), folder, atlas=source)
    say(f"{results.summary} {folder / 'report.html'}")


def run_voxel_statistics(
    out: Path, design: Design, workers: int, say: Callable[[str], None]
) -> None:
    """Compare the maps of grey matter, less `exclusions.tsv`, into OUT_DIR/stats_vbm.

    Or, if the design says so, those of white matter into OUT_DIR/stats_vbm_white.

    Raises:
        ConfigError, TableError, ScanError: see `run_voxelwise`; or there are no maps.
        ModuleNotFoundError: nilearn is not installed.
    """
    from fibromorph.postprocessing.voxelwise import run_voxelwise

    tissue, matter = design.vbm.tissue, design.vbm.matter
    if next(out.rglob(f"*{MAP_OF[tissue]}"), None) is None:
        rule = f"the participant stage must have mapped {matter}: run it again with --vbm"
        raise TableError(rule, subject=out)
    table, folder = out / "volumes.tsv", out / VOXELWISE[tissue]
    results = run_voxelwise(design, [out], table, _participants(out), folder, workers=workers)
    say(f"{results.summary} {folder / 'report.html'}")


def _participants(out: Path) -> Path:
    people = out / "participants.tsv"
    if not people.exists():
        raise TableError("the statistics need BIDS_DIR/participants.tsv", subject=people)
    return people
