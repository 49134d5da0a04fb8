"""Sees every accepted job to its end: starts it, watches it, publishes its result, once.

The ledger holds what is accepted; Dask is handed as many jobs as there are workers, so that a
worker that dies takes one job with it, and that turns, priorities and cancelling count until the
last moment. Whatever is killed, and when, a job goes on from what ledger and store say.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from distributed.client import FutureCancelledError
from distributed.scheduler import KilledWorker

from fibromorph.serving.service.board import Board, Progress
from fibromorph.serving.service.cluster import Cluster
from fibromorph.serving.service.endings import cancelled, ending_of, failed
from fibromorph.serving.service.ledger import AWAY, Ending, Job, Jobs
from fibromorph.serving.service.logs import log
from fibromorph.serving.service.orders import make_order
from fibromorph.serving.service.recovery import MAX_ATTEMPTS
from fibromorph.serving.service.settings import Settings
from fibromorph.serving.service.store import Store
from fibromorph.serving.service.study import carry_out_study
from fibromorph.serving.service.work import STORAGE, carry_out

MAX_DEATHS = 2
STORAGE_ATTEMPTS = 3
"""A shared file system may be away for a moment."""
POLL_SECONDS = 1.0
RETRY_SECONDS = 2.0

OnEnd = Callable[[Job, Ending], None]


@dataclass(frozen=True)
class Again:
    """The job is to wait for another attempt; `died` counts a worker against it."""

    died: bool = False


class Supervisor:
    """The loop that keeps workers busy.

    Args:
        settings, jobs, store, cluster, board: the parts it works with.
        on_end: told of every job that ended, from a thread.
    """

    def __init__(
        self,
        settings: Settings,
        jobs: Jobs,
        store: Store,
        cluster: Cluster,
        board: Board,
        on_end: OnEnd,
    ) -> None:
        self._settings = settings
        self._jobs = jobs
        self._store = store
        self._cluster = cluster
        self._board = board
        self._on_end = on_end
        self._running: dict[str, asyncio.Task[None]] = {}
        self._kills: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._stopping = False

    async def run(self) -> None:
        """Start jobs whenever there is a free worker, until cancelled."""
        while True:
            self._wake.clear()
            try:
                await self._start_jobs()
            except Exception as error:  # this loop outlives whatever fails in it
                log.error("no job could be started", exc_info=error)
            try:
                await asyncio.wait_for(self._wake.wait(), POLL_SECONDS)
            except TimeoutError:
                continue

    def poke(self) -> None:
        """There may be something to start."""
        self._wake.set()
        self._board.announce()

    async def cancel(self, job: Job) -> None:
        """Stop a job that was marked: between two stages, or with its worker after a while."""
        if job.has_ended:
            await asyncio.to_thread(self._store.drop_input, job.id)
        elif job.id in self._running:
            await asyncio.to_thread(self._store.raise_cancel_flag, job.id, job.attempt)
            task = asyncio.create_task(self._kill_later(job))
            self._kills.add(task)
            task.add_done_callback(self._kills.discard)
        self._board.announce()

    async def drain(self, seconds: float) -> None:
        """Start nothing more, and give what runs this long to end."""
        self._stopping = True
        if self._running:
            await asyncio.wait(self._running.values(), timeout=seconds)

    async def stop(self) -> None:
        """Leave running jobs as they are: the next start takes them up."""
        self._stopping = True
        tasks = [*self._running.values(), *self._kills]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _start_jobs(self) -> None:
        while not self._stopping and len(self._running) < self._cluster.places:
            job = await asyncio.to_thread(self._jobs.start_next)
            if job is None:
                return
            log.info("started", job=job.id, attempt=job.attempt)
            self._board.put(job.id, Progress(job.attempt, "start"))
            self._running[job.id] = asyncio.create_task(self._carry_out(job))

    async def _carry_out(self, job: Job) -> None:
        try:
            await self._conclude(job, await self._attempt(job))
        except Exception as error:  # whatever it is, the job must end
            log.error("job failed", job=job.id, exc_info=error)
            await self._conclude(job, failed("internal", "the service failed; its log says why"))
        finally:
            del self._running[job.id]
            self._board.drop(job.id)
            self.poke()

    async def _attempt(self, job: Job) -> Ending | Again:
        """How the attempt ended."""
        try:
            return await self._outcome(job)
        except AWAY as error:
            log.error("ledger cannot be read", job=job.id, error=str(error))
            await asyncio.sleep(RETRY_SECONDS)
            return Again()

    async def _outcome(self, job: Job) -> Ending | Again:
        twin = await asyncio.to_thread(self._jobs.twin, job)
        if twin is not None and await self._share(twin, job):
            return Ending("done", detail={**job.detail, **twin.detail, "seconds": {}})
        order = make_order(job, self._store, self._settings)
        work = carry_out if job.kind == "scan" else carry_out_study
        try:
            outcome = await self._cluster.submit(work, order, key=f"{job.id}-{job.attempt}")
        except KilledWorker:
            return await self._after_death(job)
        except (FutureCancelledError, OSError) as error:
            # The scheduler's connection: what a worker meets comes back as an outcome.
            log.warning("attempt lost", job=job.id, error=type(error).__name__)
            await asyncio.sleep(RETRY_SECONDS)
            return Again()
        if outcome.reason == STORAGE and job.attempt < STORAGE_ATTEMPTS:
            log.warning("files out of reach", job=job.id, attempt=job.attempt)
            await asyncio.sleep(RETRY_SECONDS)
            return Again()
        return ending_of(job, outcome)

    async def _share(self, twin: Job, job: Job) -> bool:
        return await asyncio.to_thread(self._store.share, twin.id, job.id, job.attempt)

    async def _after_death(self, job: Job) -> Ending | Again:
        now = await asyncio.to_thread(self._jobs.get, job.id, None)
        if now is None or now.cancel:
            return cancelled()
        if time.time() - (job.started_at or 0.0) >= self._settings.job_seconds:
            rule = f"a job must end within {self._settings.job_seconds:g} s"
            return failed("time_limit", rule)
        if job.deaths + 1 >= MAX_DEATHS or job.attempt >= MAX_ATTEMPTS:
            rule = (
                f"a scan must not end the worker that computes it ({job.deaths + 1} of its workers "
                f"were killed, or went over {self._settings.worker_memory_mb} MiB)"
            )
            return failed("worker_died", rule)
        return Again(died=self._was_at_work(job))

    async def _conclude(self, job: Job, ending: Ending | Again) -> None:
        """Record an ending; a ledger that cannot be written now is tried again."""
        while True:
            try:
                return await asyncio.to_thread(self._record, job, ending)
            except AWAY as error:
                log.error("ledger cannot be written", job=job.id, error=str(error))
                await asyncio.sleep(RETRY_SECONDS)

    def _record(self, job: Job, ending: Ending | Again) -> None:
        if isinstance(ending, Again):
            self._store.drop_work(job.id, job.attempt)
            if self._jobs.requeue(job, died=ending.died):
                return
            ending = cancelled()
        if ending.state == "done":
            self._store.publish(job.id, job.attempt)
        if self._jobs.finish(job, ending):
            log.info("ended", job=job.id, state=ending.state, reason=ending.reason)
            self._on_end(job, ending)
        self._store.drop_work(job.id, job.attempt)
        if not self._settings.keep_inputs:
            self._store.drop_input(job.id)

    def _was_at_work(self, job: Job) -> bool:
        """A job that had only been handed to the worker that died bears no blame."""
        progress = self._board.get(job.id)
        return progress is not None and bool(progress.worker)

    async def _kill_later(self, job: Job) -> None:
        await asyncio.sleep(self._settings.cancel_grace_seconds)
        progress = self._board.get(job.id)
        if job.id in self._running and progress is not None and progress.worker:
            await self._cluster.kill(progress.worker)
