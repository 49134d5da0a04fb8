"""`stats` and `power`: group statistics of regional volumes, and the planning of studies."""

from __future__ import annotations

import argparse
from pathlib import Path

from fibromorph.cli.parts import DONE, Commands, add_study_tables, command
from fibromorph.errors import ConfigError


def add_commands(commands: Commands) -> None:
    """Add this group's commands."""
    _add_stats(commands)
    _add_power(commands)


def _add_stats(commands: Commands) -> None:
    summary = "compare groups, relate volumes to scores, follow change"
    parser = command(commands, "stats", summary, _stats)
    add_study_tables(
        parser,
        "volumes of the cohort, or thickness: a table of fibromorph, FreeSurfer, ENIGMA or"
        " SynthSeg, or a SUBJECTS_DIR",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="for tables and report")
    parser.add_argument(
        "--init", action="store_true", help="write a design for these tables to --config"
    )
    parser.add_argument(
        "--measure",
        choices=("volume", "thickness"),
        help="with --init: of a folder that holds both; default: volume",
    )
    parser.add_argument(
        "--atlas",
        metavar="NAME|FILE",
        help="whose regions the table has, or a segmented template, to paint them on",
    )


def _stats(options: argparse.Namespace) -> int:
    if options.init:
        return _init(options)
    if options.measure:
        rule = "the design says what is analysed (measure:); leave it out without --init"
        raise ConfigError(rule, value=options.measure, subject="--measure")
    if options.out is None:
        raise ConfigError("a folder for the results must be given", subject="--out")
    from fibromorph.postprocessing.stats import load_design, run_study

    results = run_study(
        load_design(options.config),
        options.volumes,
        options.participants,
        options.out,
        atlas=options.atlas,
    )
    print(f"{results.summary} {options.out / 'report.html'}")
    return DONE


def _init(options: argparse.Namespace) -> int:
    from fibromorph.postprocessing.stats.designs.starter import write_starter

    lines = write_starter(
        options.config, options.volumes, options.participants, measure=options.measure
    )
    for line in lines:
        print(line)
    print(f"{options.config}: read it, change what is wrong, then run without --init")
    return DONE


def _add_power(commands: Commands) -> None:
    parser = command(commands, "power", "plan a study with this tool's own noise", _power)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--percent", type=float, metavar="P", help="true effect in %% of the mean")
    what.add_argument("--d", type=float, metavar="D", help="true effect in sd between people")
    what.add_argument(
        "--n",
        nargs=2,
        type=int,
        metavar=("PATIENTS", "CONTROLS"),
        help="people, for the effect; with --change treated and untreated",
    )
    parser.add_argument("--model", default="t1-open", metavar="NAME|DIR", help="whose noise")
    parser.add_argument(
        "--measure",
        choices=("volume", "thickness"),
        default="volume",
        help="of regions; thickness is the cortex's",
    )
    parser.add_argument(
        "--regions", nargs="+", metavar="NAME", help="patterns; default: all grey, or all cortex"
    )
    parser.add_argument(
        "--alone",
        action="store_true",
        help="the region differs between unchanged neighbours, so that less of it is seen",
    )
    parser.add_argument("--alpha", type=float, default=0.05, help="level of one test")
    parser.add_argument("--power", type=float, default=0.8, help="to find the effect with")
    parser.add_argument("--covariates", type=int, default=3, metavar="K", help="adjusted for")
    parser.add_argument(
        "--ratio", type=float, default=1.0, help="controls a patient (untreated a treated)"
    )
    parser.add_argument(
        "--change", action="store_true", help="compare change between two scans of two arms"
    )
    parser.add_argument(
        "--change-sd", type=float, default=1.0, metavar="P", help="sd of true change in %%"
    )
    parser.add_argument("--out", type=Path, metavar="TSV", help="also write the table")


def _power(options: argparse.Namespace) -> int:
    from fibromorph.cli.planning import plan_study

    print(plan_study(options))
    return DONE
