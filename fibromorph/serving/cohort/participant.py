"""The participant stage: plan, execute, and what is said at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fibromorph.datasets.bids import Wanted, open_dataset, require_dataset
from fibromorph.errors import ConfigError, ScanError
from fibromorph.files import require_folder
from fibromorph.progress import bar as progress_bar
from fibromorph.serving.bundles import find_bundle
from fibromorph.serving.cohort.description import write_description
from fibromorph.serving.cohort.failures import failed_scans, failure_table, write_failures
from fibromorph.serving.cohort.leases import STALE_S
from fibromorph.serving.cohort.plan import Plan, describe, make_plan
from fibromorph.serving.cohort.pool import Pool
from fibromorph.serving.cohort.recipe import recipe_of
from fibromorph.serving.cohort.store import Store
from fibromorph.serving.cohort.tasks import Outcome, ScanTask, Shard
from fibromorph.serving.cohort.worker import Settings
from fibromorph.serving.extras import NOTHING, Extras

SECONDS_BETWEEN_LOOKS = 2.0
Say = Callable[[str], None]


class Executor(Protocol):
    """What runs tasks: processes of this machine, or a cluster."""

    def map(self, tasks: Sequence[ScanTask]) -> Iterator[Outcome]:
        """Outcomes in the order in which they come, one a task."""


@dataclass(frozen=True)
class Cohort:
    """What the command line says of a run.

    Attributes:
        bids: BIDS_DIR.
        out: OUT_DIR.
        model, device, threads: see `Engine`; threads of every worker.
        wanted: part of the data set, by names.
        shard: part of the data set, by number.
        readers: scans that a worker reads ahead.
        retry_failed: try again what would fail again.
        skip_validation: also take a folder that does not say that it is BIDS.
        stale_s: see `Leases`.
        jointly: conform the sessions of a person together.
        extras: what is measured beyond volumes.
    """

    bids: Path
    out: Path
    model: str = "t1-open"
    device: str = "auto"
    threads: int = 0
    wanted: Wanted = Wanted()  # noqa: RUF009
    shard: Shard = Shard()  # noqa: RUF009
    readers: int = 1
    retry_failed: bool = False
    skip_validation: bool = False
    stale_s: float = STALE_S
    jointly: bool = False
    extras: Extras = NOTHING


def plan_cohort(cohort: Cohort) -> tuple[Plan, Settings]:
    """What a run would do; writes nothing.

    Raises:
        ScanError: no BIDS data set.
        TableError: `participants.tsv` cannot be read.
        ConfigError, BundleError: an option is out of range.
    """
    for option in ("threads", "readers"):
        if getattr(cohort, option) < 0:
            value = getattr(cohort, option)
            raise ConfigError("must be 0 or more", value=value, subject=f"--{option}")
    _require_apart(cohort)
    bundle = find_bundle(cohort.model)
    dataset = open_dataset(cohort.bids)
    if not cohort.skip_validation:
        require_dataset(cohort.bids)
    extras = cohort.extras.everywhere()
    recipe = recipe_of(bundle, cohort.device, extras, jointly=cohort.jointly)
    store = Store(cohort.out)
    plan = make_plan(
        dataset, store, recipe, cohort.wanted, cohort.shard, retry_failed=cohort.retry_failed
    )
    settings = Settings(
        cohort.bids.resolve(),
        cohort.out.resolve(),
        cohort.model if bundle.folder.name == cohort.model else str(bundle.folder.resolve()),
        recipe,
        extras,
        cohort.threads,
        cohort.readers,
        cohort.stale_s,
    )
    return plan, settings


def run_participants(
    plan: Plan, settings: Settings, executor: AbstractContextManager[Executor], say: Say = print
) -> int:
    """Do what the plan says.

    Returns:
        How many scans of the plan have failed, now or before.

    Raises:
        FibromorphError: no worker could load the model, or OUT_DIR cannot be written.
    """
    require_folder(settings.out)
    store = Store(settings.out)
    bundle = find_bundle(settings.model)
    write_description(settings.out, settings.bids, bundle.manifest.table, settings.recipe)
    for scan in plan.scans:
        if scan.restamp:
            store.restamp(scan.task, scan.restamp)
        if scan.action == "present":
            store.drop_failure(scan.task)
    try:
        if plan.todo:
            _execute(plan.todo, settings, executor)
    finally:
        everywhere = failed_scans(store, settings.bids)
        write_failures(store, everywhere)
    here = {scan.task.path for scan in plan.scans}
    failures = [failure for failure in everywhere if failure.task.path in here]
    say(f"{len(plan.scans) - len(failures)} of {len(plan.scans)} scans are segmented")
    if failures:
        say(f"{len(failures)} failed (failures.tsv):")
        for line in failure_table(failures):
            say(line)
    return len(failures)


def _execute(
    tasks: list[ScanTask], settings: Settings, executor: AbstractContextManager[Executor]
) -> None:
    store, failed = Store(settings.out), 0
    with progress_bar(len(tasks), "scans") as bar, executor as running:
        while tasks:
            busy = []
            for outcome in running.map(tasks):
                if outcome.status == "busy":  # it comes again, and is counted then
                    busy.append(outcome.task)
                    continue
                if outcome.step == "worker":
                    store.write_failure(outcome, settings.recipe, None, lasting=False)
                failed += outcome.status == "failed"
                bar.set_postfix_str(f"{failed} failed", refresh=False)
                bar.update()
            if busy == tasks:
                time.sleep(SECONDS_BETWEEN_LOOKS)
            tasks = busy


def local_executor(settings: Settings, workers: int) -> Pool:
    """Worker processes on this machine.

    Raises:
        ConfigError: fewer than one.
    """
    if workers < 1:
        raise ConfigError("must be 1 or more", value=workers, subject="--workers")
    return Pool(settings, workers)


def _require_apart(cohort: Cohort) -> None:
    out, bids = cohort.out.resolve(), cohort.bids.resolve()
    if out == bids:
        raise ConfigError("OUT_DIR must not be BIDS_DIR", value=cohort.out)
    if cohort.out.exists() and not cohort.out.is_dir():
        raise ScanError("OUT_DIR must be a folder", subject=cohort.out)


def print_plan(plan: Plan, say: Say, *, verbose: bool) -> None:
    """Say what is taken and what is left."""
    for line in describe(plan, verbose):
        say(line)
