"""`synth cohort`: a BIDS study of simulated people, with their true volumes beside it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fibromorph.cli.parts import DONE, Commands, add_engine_options, command

if TYPE_CHECKING:
    from fibromorph.datasets.cohort.anatomy import Anatomy
    from fibromorph.datasets.cohort.settings import CohortSettings


def add_commands(commands: Commands) -> None:
    """Add this group's commands."""
    parser = commands.add_parser("synth", help="simulate data", description="Simulate data.")
    kinds = parser.add_subparsers(metavar="KIND", required=True)
    cohort = command(kinds, "cohort", "simulate a BIDS study with planted changes", _cohort)
    cohort.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="of the new BIDS study"
    )
    _add_study_options(cohort)
    _add_anatomy_options(cohort)
    add_engine_options(cohort)


def _add_study_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--patients", type=int, default=23, metavar="N", help="people of that group")
    add("--controls", type=int, default=21, metavar="N", help="people of that group")
    add(
        "--effect",
        action="append",
        dest="effects",
        metavar="REGION=PERCENT%",
        help="change in patients, once a region; without a side: both"
        " (default: Putamen=-8%% Thalamus=+5%%; 'none' plants nothing)",
    )
    add("--sessions", type=int, default=1, metavar="N", help="scans a person")
    add(
        "--gap-closed",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="of the patients' change, gone at the last session",
    )
    add("--dropout", type=float, default=0.0, metavar="SHARE", help="who miss the last session")
    add("--women", type=float, default=0.9, metavar="SHARE", help="among all people")
    add("--voxel", type=float, default=1.0, metavar="MM", help="nominal voxel side")
    add("--noise", type=float, default=0.03, metavar="SD", help="relative to white matter")
    add("--true-labels", action="store_true", help="also write the true segmentations")
    add("--seed", type=int, default=0, metavar="S", help="of everything drawn")
    add("--workers", type=int, default=1, metavar="N", help="processes, about 1 GB each")


def _add_anatomy_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--anatomy",
        action="append",
        default=[],
        nargs="+",
        type=Path,
        metavar=("SCAN", "LABELS"),
        help="people are deformed from it, may be repeated; without LABELS it is segmented"
        " (default: the T1 template that nilearn carries)",
    )
    add("--no-head", action="store_true", help="leave skull-stripped anatomies without a skull")


def _cohort(options: argparse.Namespace) -> int:
    from fibromorph.datasets.cohort.simulate import require_possible, simulate_cohort

    settings = _settings(options)
    require_possible(options.out, settings, options.workers)
    study = simulate_cohort(
        options.out, _anatomies(options), settings, options.seed, options.workers
    )
    print(f"{len(study.scans)} scans in {study.folder}; true volumes in derivatives/truth")
    return DONE


def _settings(options: argparse.Namespace) -> CohortSettings:
    from fibromorph.datasets.cohort.effects import DEFAULT_EFFECTS
    from fibromorph.datasets.cohort.settings import CohortSettings

    effects = DEFAULT_EFFECTS if options.effects is None else tuple(options.effects)
    return CohortSettings(
        patients=options.patients,
        controls=options.controls,
        effects=() if effects == ("none",) else effects,
        sessions=options.sessions,
        gap_closed=options.gap_closed,
        dropout=options.dropout,
        women=options.women,
        voxel_mm=options.voxel,
        noise=options.noise,
        true_labels=options.true_labels,
    )


def _anatomies(options: argparse.Namespace) -> tuple[Anatomy, ...]:
    from fibromorph.serving.simulate import anatomies_of, template_anatomy

    engine = (options.model, options.device, options.threads)
    if not options.anatomy:
        return (template_anatomy(*engine, head=not options.no_head),)
    return anatomies_of(options.anatomy, *engine, head=not options.no_head)
