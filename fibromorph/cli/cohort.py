"""`bids`: a whole study, as a BIDS App."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fibromorph.cli.parts import (
    DONE,
    SOME_FAILED,
    Commands,
    add_engine_options,
    add_extras,
    command,
    extras,
)
from fibromorph.errors import ConfigError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from fibromorph.serving.cohort.participant import Cohort, Executor
    from fibromorph.serving.cohort.worker import Settings


def add_commands(commands: Commands) -> None:
    """Add this group's commands."""
    parser = command(commands, "bids", "segment a BIDS data set, gather a cohort", _bids)
    parser.add_argument("bids_dir", type=Path, metavar="BIDS_DIR", help="the study; never written")
    parser.add_argument(
        "out_dir", type=Path, metavar="OUT_DIR", help="derivatives, resumed if there"
    )
    parser.add_argument(
        "level", choices=("participant", "group"), help="segment its scans, or gather what is there"
    )
    _add_selection(parser)
    _add_execution(parser)
    parser.add_argument(
        "--vbm",
        action="store_true",
        help="map grey and white matter in MNI coordinates, too; of a group, compare the maps, too",
    )
    group = parser.add_argument_group("group")
    group.add_argument("--design", type=Path, metavar="YAML", help="also run these statistics")
    add_engine_options(parser)


def _add_selection(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is taken")
    group.add_argument(
        "--participant-label", nargs="+", default=[], metavar="LABEL", help="only these subjects"
    )
    group.add_argument(
        "--session-label", nargs="+", default=[], metavar="LABEL", help="only these sessions"
    )
    group.add_argument(
        "--filter", nargs="+", default=[], metavar="ENTITY=LABEL", help="only scans named so"
    )
    group.add_argument("--shard", default="1/1", metavar="I/N", help="part I of N, by subjects")
    group.add_argument(
        "--skip-validation",
        "--skip-bids-validation",
        "--skip_bids_validator",
        action="store_true",
        help="also take a folder without dataset_description.json",
    )
    group.add_argument(
        "--longitudinal", action="store_true", help="conform the sessions of a person jointly"
    )
    add_extras(group)
    group.add_argument("--retry-failed", action="store_true", help="try failed scans again")
    group.add_argument(
        "--dry-run", action="store_true", help="say what would be done, write nothing"
    )


def _add_execution(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where it runs")
    group.add_argument("--workers", type=int, default=1, metavar="N", help="processes")
    group.add_argument(
        "--readers", type=int, default=1, metavar="N", help="scans a worker reads ahead"
    )
    group.add_argument("--scheduler", metavar="ADDRESS", help="Dask scheduler, tls://HOST:PORT")
    for what in ("ca", "cert", "key"):
        group.add_argument(f"--tls-{what}", type=Path, metavar="PEM", help="of this client")
    group.add_argument("--stale-after", type=float, default=180.0, metavar="S", help=STALE_HELP)


OF_PARTICIPANTS = (
    *("participant_label", "session_label", "filter", "shard", "longitudinal", "thickness"),
    *("tissue", "retry_failed", "dry_run"),
)
"""Options that would have to change what the group stage does, and do not."""
STALE_HELP = "seconds without a sign of life after which another run's scan is taken over"


def _bids(options: argparse.Namespace) -> int:
    others = OF_PARTICIPANTS if options.level == "group" else ("design",)
    for name in others:
        if getattr(options, name) not in (None, [], False, "1/1"):
            raise ConfigError(
                "this stage does not take the option; leave it out",
                value=options.level,
                subject=f"--{name.replace('_', '-')}",
            )
    return _group(options) if options.level == "group" else _participant(options)


def _participant(options: argparse.Namespace) -> int:
    from fibromorph.serving.cohort.participant import plan_cohort, print_plan, run_participants

    _refuse_both(options)
    plan, settings = plan_cohort(_cohort(options))
    executor = _executor(options, settings)
    # Every line of a plan of 100 000 scans would bury its sum; --dry-run shows them all.
    print_plan(plan, print, verbose=options.dry_run or len(plan.scans) <= 200)
    if options.dry_run:
        return DONE
    sys.stdout.flush()
    return SOME_FAILED if run_participants(plan, settings, executor) else DONE


def _executor(options: argparse.Namespace, settings: Settings) -> AbstractContextManager[Executor]:
    from fibromorph.serving.cohort.participant import local_executor

    if options.scheduler is None:
        return local_executor(settings, options.workers)
    from fibromorph.serving.cohort.cluster import Cluster, Tls

    tls = Tls(options.tls_ca, options.tls_cert, options.tls_key)
    return Cluster(settings, options.scheduler, tls)


def _refuse_both(options: argparse.Namespace) -> None:
    if options.scheduler is not None and options.workers != 1:
        rule = "a Dask scheduler has workers of its own: leave --workers out"
        raise ConfigError(rule, value=options.workers, subject="--scheduler")


def _cohort(options: argparse.Namespace) -> Cohort:
    from fibromorph.datasets.bids import Wanted
    from fibromorph.serving.cohort.participant import Cohort
    from fibromorph.serving.cohort.tasks import parse_shard

    wanted = Wanted(
        tuple(options.participant_label), tuple(options.session_label), _filters(options.filter)
    )
    return Cohort(
        options.bids_dir,
        options.out_dir,
        options.model,
        options.device,
        options.threads,
        wanted,
        parse_shard(options.shard),
        options.readers,
        options.retry_failed,
        options.skip_validation,
        options.stale_after,
        options.longitudinal,
        extras(options),
    )


def _filters(texts: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    for text, (key, equals, label) in zip(texts, pairs, strict=True):
        if not (key and equals and label):
            raise ConfigError("must be ENTITY=LABEL", value=text, subject="--filter")
    return {key: label for key, _, label in pairs}


def _group(options: argparse.Namespace) -> int:
    from fibromorph.serving.cohort.group.run import run_group

    if options.vbm and options.design is None:
        raise ConfigError("maps are compared by a design; give --design too", subject="--vbm")
    if options.atlas and options.design is None:
        rule = "regions of an atlas are analysed by a design; give --design too"
        raise ConfigError(rule, subject="--atlas")
    failed = run_group(
        options.bids_dir,
        options.out_dir,
        options.design,
        vbm_workers=options.workers if options.vbm else 0,
        atlases=options.atlas,
    )
    return SOME_FAILED if failed else DONE
