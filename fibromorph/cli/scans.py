"""`segment` and `demo`: scans in, volumes and reports out."""

from __future__ import annotations

import argparse
from pathlib import Path

from fibromorph.cli.parts import (
    DONE,
    SOME_FAILED,
    WRONG_CALL,
    Commands,
    add_engine_options,
    command,
)


def add_commands(commands: Commands) -> None:
    """Add this group's commands."""
    parser = command(commands, "segment", "segment scans, write volumes and reports", _segment)
    parser.add_argument("scans", nargs="+", type=Path, metavar="SCAN")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--space", choices=("scan", "conformed"), default="scan", help="conformed: both grids"
    )
    add_engine_options(parser)
    parser = command(commands, "demo", "segment the T1 template that nilearn carries", _demo)
    parser.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR")
    parser.add_argument(
        "--study", action="store_true", help="a simulated study instead, to its group report"
    )
    add_engine_options(parser)


def _segment(options: argparse.Namespace) -> int:
    from fibromorph.serving.batch import segment_files

    failures = segment_files(
        options.scans,
        options.out,
        model=options.model,
        device=options.device,
        threads=options.threads,
        conformed=options.space == "conformed",
    )
    if not failures:
        return DONE
    return SOME_FAILED if len(failures) < len(options.scans) else WRONG_CALL


def _demo(options: argparse.Namespace) -> int:
    if options.study:
        from fibromorph.serving.demo_study import run_demo_study

        run_demo_study(options.out, options.model, options.device)
        return DONE
    from fibromorph.serving.demo import run_demo

    run_demo(options.out, options.model, options.device, options.threads)
    return DONE
