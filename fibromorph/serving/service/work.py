"""What a Dask worker runs: one scan or study, into a folder of its own.

Worker and service share nothing but the store's folder and Dask's messages. A worker runs one job
at a time, in its one thread.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from distributed import get_worker

from fibromorph.errors import ConfigError, FibromorphError, ScanError
from fibromorph.files import write_whole
from fibromorph.manifest import open_bundle
from fibromorph.serving.beyond import BeyondVolumes, beyond_volumes
from fibromorph.serving.engine import Engine
from fibromorph.serving.outputs.writing import write_outputs
from fibromorph.serving.pipeline import segment_scan
from fibromorph.serving.service.clean import read_clean
from fibromorph.serving.service.files import file_name, results_beyond
from fibromorph.serving.service.phantom import phantom_scan
from fibromorph.serving.service.problems import (
    FULL_DISK_RULE,
    Problem,
    is_full_disk,
    plain_problem,
    problem_of,
)
from fibromorph.serving.service.store import DETAIL
from fibromorph.serving.service.views import write_views
from fibromorph.serving.service.wanted import NO_MORE, Wanted, atlas_folders

TOPIC = "fibromorph-progress"
ENGINES_KEPT = 2
STORAGE = "storage"
"""Why an attempt failed whose worker could not reach its files."""


@dataclass(frozen=True)
class Order:
    """One attempt at a job.

    Attributes:
        kind: 'scan' or 'study'.
        job_id, attempt: which.
        input, work: folders: to read from, to write to.
        cancel_flag: the job is to stop when this file appears in `work`.
        seconds: after which the worker ends itself, and the job with it.
        memory: bytes of private memory that the worker may hold.
        model: folder of the bundle.
        device, threads: see `Engine`.
        name: the scan's, in its report.
        wanted: what is measured beyond volumes.
    """

    kind: str
    job_id: str
    attempt: int
    input: str
    work: str
    cancel_flag: str
    seconds: float
    memory: int
    model: str = ""
    device: str = "auto"
    threads: int = 0
    name: str = "scan"
    wanted: Wanted = NO_MORE


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: done unless there is a reason."""

    detail: dict[str, Any] = field(default_factory=dict)
    reason: str | None = None
    problem: Problem | None = None


class Cancelled(Exception):
    """Someone asked for the job to stop."""


def carry_out(order: Order) -> Outcome:
    """Segment the order's scan and write its files into the order's work folder."""
    return attempt(order, _segment)


def attempt(order: Order, job: Callable[[Order], dict[str, Any]]) -> Outcome:
    """Run a job within its limits; what a user is to know comes back, anything else is raised."""
    try:
        with _within_limits(order):
            Path(order.work).mkdir(exist_ok=True)
            detail = job(order)
            write_whole(Path(order.work, DETAIL), json.dumps(detail))
            return Outcome(detail)
    except Cancelled:
        return Outcome(reason="cancelled")
    except FibromorphError as error:
        atlases = atlas_folders(order.wanted.extras)
        told = problem_of(error, order.input, order.work, order.model, *atlases)
        return Outcome(reason=type(error).__name__, problem=told)
    except MemoryError:
        rule = f"a job must fit into {order.memory >> 20} MiB of memory"
        return Outcome(reason="memory", problem=plain_problem(422, rule))
    except OSError as error:
        if is_full_disk(error):
            return Outcome(reason="disk_full", problem=plain_problem(507, FULL_DISK_RULE))
        if error.errno is None:  # a library's, not the file system's
            raise
        rule = f"a worker must be able to read and write data_dir ({error.strerror})"
        return Outcome(reason=STORAGE, problem=plain_problem(500, rule))


def warm_up(model: str, device: str, threads: int, wanted: Wanted) -> float:
    """Load a bundle and run the phantom through the chain that draws volumes.

    Args:
        model, device, threads: see `engine_of`.
        wanted: beyond volumes: it is loaded, so that a worker that cannot have it says so now.

    Returns:
        The seconds it took.
    """
    started = time.perf_counter()
    engine = engine_of(model, device, threads)
    beyond_by(model, device, threads, wanted)
    scan = phantom_scan()
    try:
        segment_scan(scan, engine)
    except ScanError:
        # A network need not see a brain in a phantom, but it must answer.
        engine.segment(scan.data[:64, :64, :64], np.ones((16, 16, 16), np.float32))
    return time.perf_counter() - started


@lru_cache(maxsize=ENGINES_KEPT)
def engine_of(model: str, device: str, threads: int) -> Engine:
    """A loaded bundle; folders of the store never change, so neither does what is loaded."""
    return Engine(open_bundle(Path(model)), device, threads)


@lru_cache(maxsize=ENGINES_KEPT)
def beyond_by(model: str, device: str, threads: int, wanted: Wanted) -> BeyondVolumes | None:
    """What measures beyond volumes; None = nothing is wanted.

    Raises:
        ConfigError: an atlas is another one here and now; see `beyond_volumes`.
    """
    beyond = beyond_volumes(engine_of(model, device, threads), device, wanted.extras)
    found = tuple((atlas.name, atlas.sha256) for atlas in beyond.atlases) if beyond else ()
    if found != wanted.atlases:
        changed = next(a for a, b in zip(wanted.atlases, found, strict=True) if a != b)
        rule = "an atlas must be, in every worker, as it was when the service started"
        raise ConfigError(rule, value=changed[0], subject="atlases")
    return beyond


def tell(order: Order, stage: str) -> None:
    """Tell the service which stage begins, unless the job is to stop here.

    Raises:
        Cancelled: the flag is up.
    """
    if Path(order.work, order.cancel_flag).exists():
        raise Cancelled
    worker = get_worker()
    message = {"job_id": order.job_id, "attempt": order.attempt, "stage": stage}
    worker.log_event(TOPIC, {**message, "worker": worker.address, "pid": os.getpid()})


def _segment(order: Order) -> dict[str, Any]:
    tell(order, "load")
    engine = engine_of(order.model, order.device, order.threads)
    scan = read_clean(Path(order.input), order.name)
    beyond = beyond_by(order.model, order.device, order.threads, order.wanted)
    result = segment_scan(scan, engine, lambda stage: tell(order, stage), beyond=beyond)
    tell(order, "write")
    started = time.perf_counter()
    folder = Path(order.work)
    files = write_outputs(result, folder, order.name)
    for kind, path in files.items():
        path.rename(folder / file_name(kind))
    write_views(result, folder)
    seconds = {step.name: step.seconds or 0.0 for step in result.steps}
    seconds["write"] = time.perf_counter() - started
    tell(order, "publish")
    return {
        "seconds": seconds,
        "engine": result.engine,
        "quality": result.quality.verdict,
        "quality_reasons": [f.message for f in result.quality.flags if f.severity != "note"],
        "measured": results_beyond(files),
    }


@contextmanager
def _within_limits(order: Order) -> Iterator[None]:
    """Memory runs out as an exception; time runs out as the end of this process.

    The alarm's default action needs no interpreter: it ends a worker that hangs in a library.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (order.memory, hard))
    signal.setitimer(signal.ITIMER_REAL, order.seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
