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
    add_extras,
    command,
    extras,
)
from fibromorph.errors import ConfigError


def add_commands(commands: Commands) -> None:
    """Add this group's commands."""
    parser = command(commands, "segment", "segment scans, write volumes and reports", _segment)
    parser.add_argument(
        "scans",
        nargs="+",
        type=Path,
        metavar="SCAN",
        help="NIfTI, MGH or MGZ, a folder of them, or a DICOM series as a folder or zip",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="for the files of all scans"
    )
    parser.add_argument(
        "--space",
        choices=("scan", "conformed"),
        default="scan",
        help="conformed: labels and scan upright at 1 mm, too",
    )
    parser.add_argument(
        "--vbm", action="store_true", help="map grey and white matter in MNI coordinates, too"
    )
    add_extras(parser)
    add_engine_options(parser)
    parser = command(commands, "demo", "segment the T1 template that nilearn carries", _demo)
    parser.add_argument(
        "--out", type=Path, default=Path("demo"), metavar="DIR", help="for what is made"
    )
    parser.add_argument(
        "--study",
        action="store_true",
        help="24 simulated scans instead, to their group report: some minutes",
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
        extras=extras(options),
    )
    if not failures:
        return DONE
    return SOME_FAILED if len(failures) < len(options.scans) else WRONG_CALL


def _demo(options: argparse.Namespace) -> int:
    if options.study:
        if options.threads:
            rule = "each core runs a worker of one thread: leave it out with --study"
            raise ConfigError(rule, value=options.threads, subject="--threads")
        from fibromorph.serving.demo.study import run_demo_study

        run_demo_study(options.out, options.model, options.device)
        return DONE
    from fibromorph.serving.demo.scan import run_demo

    run_demo(options.out, options.model, options.device, options.threads)
    return DONE
