"""`vbm`: maps of grey or white matter of a cohort compared voxel by voxel."""

from __future__ import annotations

import argparse
from pathlib import Path

from fibromorph.cli.parts import DONE, Commands, add_study_tables, command
from fibromorph.errors import ConfigError


def add_commands(commands: Commands) -> None:
    """Add this group's command."""
    summary = "compare maps of tissue voxel by voxel, with the design of `stats`"
    parser = command(commands, "vbm", summary, _vbm, extra="stats")
    parser.add_argument(
        "--maps",
        nargs="+",
        type=Path,
        required=True,
        metavar="PATH",
        help="folders that are searched for maps of the tissue that the design says, or such maps",
    )
    add_study_tables(parser, "volumes of the same scans, as for stats: eTIV, quality, exclusions")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="for images, tables and report"
    )
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes for the permutations"
    )


def _vbm(options: argparse.Namespace) -> int:
    if options.workers < 1:
        raise ConfigError("must be 1 or more", value=options.workers, subject="--workers")
    from fibromorph.postprocessing.stats import load_design
    from fibromorph.postprocessing.voxelwise import run_voxelwise

    results = run_voxelwise(
        load_design(options.config),
        options.maps,
        options.volumes,
        options.participants,
        options.out,
        workers=options.workers,
    )
    print(f"{results.summary} {options.out / 'report.html'}")
    return DONE
