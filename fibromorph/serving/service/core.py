"""The service put together: every part is made here, once, and handed to those that need it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from distributed.scheduler import KilledWorker

from fibromorph.errors import BundleError, ConfigError, FibromorphError
from fibromorph.serving.service.access import Access
from fibromorph.serving.service.board import Board, Progress
from fibromorph.serving.service.catalogue import Catalogue
from fibromorph.serving.service.cluster import Cluster
from fibromorph.serving.service.intake import Intake
from fibromorph.serving.service.ledger import Audit, Database, Job, Jobs, Keys, Request, new_id
from fibromorph.serving.service.logs import log
from fibromorph.serving.service.metrics import Metrics
from fibromorph.serving.service.oidc import tokens_of
from fibromorph.serving.service.problems import RETRY_AFTER, Refusal
from fibromorph.serving.service.recovery import drop_old_bundles, recover
from fibromorph.serving.service.registry import newest_of
from fibromorph.serving.service.settings import Settings
from fibromorph.serving.service.store import Store
from fibromorph.serving.service.supervisor import Supervisor
from fibromorph.serving.service.wanted import wanted_of
from fibromorph.serving.service.work import warm_up

Status = Literal["starting", "ok", "draining"]
SECONDS_PER_DAY = 86_400
PURGE_SECONDS = 60.0


class Service:
    """All parts of a service; nothing runs before `start`.

    Args:
        settings: see there.

    Raises:
        ConfigError: folder, database or access rules do not allow it to run; see `wanted_of`.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.status: Status = "starting"
        self.failure: FibromorphError | None = None
        self.wanted = wanted_of(settings)
        self.store = Store(settings.data_dir, settings.keep_free_mb)
        self.database = Database(settings.url)
        self.jobs = Jobs(self.database, settings.queue_length)
        self.keys, self.audit = Keys(self.database), Audit(self.database)
        self.access = Access(settings, self.keys, tokens_of(settings.oidc))
        self.board = Board()
        self.intake = Intake(settings)
        self.cluster = Cluster(settings, self._on_progress)
        self.catalogue = Catalogue(settings, self.store)
        self.metrics = Metrics(self.jobs, self.cluster, self.catalogue, self.store)
        self.supervisor = Supervisor(
            settings, self.jobs, self.store, self.cluster, self.board, self.metrics.on_end
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._ping: asyncio.Task[None] | None = None

    @property
    def keep_seconds(self) -> float:
        """How long results are kept."""
        return self.settings.keep_results_days * SECONDS_PER_DAY

    def launch(self) -> None:
        """Begin to start, without waiting for workers and engines to be up."""
        self._tasks.append(asyncio.create_task(self._start()))

    async def drain(self) -> None:
        """Take nothing more and let running jobs end."""
        self.status = "draining"
        log.info("draining")
        self.board.announce()
        await self.supervisor.drain(self.settings.drain_seconds)

    async def stop(self) -> None:
        """End everything that runs here; what is not done is taken up by the next start."""
        self.status = "draining"
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await self.supervisor.stop()
            await self.cluster.close()
        finally:
            self.database.close()
            self.store.close()

    def ping(self) -> asyncio.Task[None]:
        """The ledger's answer; one question at a time, so that one that hangs keeps one thread."""
        if self._ping is None or self._ping.done():
            self._ping = asyncio.create_task(asyncio.to_thread(self.database.ping))
            # Who asked may have gone: nobody else looks at what it raises.
            self._ping.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._ping

    def check_open(self) -> None:
        """Refuse new work unless the service is up.

        Raises:
            Refusal: 503.
        """
        if self.status != "ok":
            rule = f"the service is {self.status}: try again"
            raise Refusal(503, rule, subject="service", retry_after=RETRY_AFTER)

    def take(self, job_id: str, request: Request) -> Job:
        """Accept what lies parsed in the store: first it is in place, then the ledger says so.

        Raises:
            Refusal: see `Jobs.accept`.
        """
        self.store.accept(job_id)
        try:
            job, is_new = self.jobs.accept(job_id, request)
        except BaseException:
            self.store.drop_input(job_id)
            raise
        if not is_new:
            self.store.drop_input(job_id)
        return job

    async def reload(self, *, anew: bool = False) -> None:
        """Look for new models, and try each in a worker before jobs get it; see `Catalogue`."""
        loop = asyncio.get_running_loop()

        def trial(folder: Path) -> None:
            asyncio.run_coroutine_threadsafe(self._try_model(folder), loop).result()

        def reload() -> None:
            self.catalogue.reload(newest_of(self.settings, self.store), trial, anew=anew)

        await asyncio.to_thread(reload)

    async def _start(self) -> None:
        try:
            await asyncio.to_thread(
                recover, self.jobs, self.store, keep_inputs=self.settings.keep_inputs
            )
            await self.cluster.start()
            await self.intake.start()
            await self.reload()
            await asyncio.to_thread(drop_old_bundles, self.jobs, self.store, self.catalogue.models)
        except FibromorphError as error:
            self.failure = error
            return
        except Exception as error:  # a service that cannot start must end, and say why
            log.error("the service could not start", exc_info=error)
            rule = "the service must be able to start; its log has the trace"
            self.failure = ConfigError(rule, value=error, subject=self.settings.data_dir)
            return
        self.status = "ok"
        log.info("ready", workers=self.cluster.places)
        self._tasks += [
            asyncio.create_task(self.supervisor.run()),
            asyncio.create_task(_often(self._purge, PURGE_SECONDS)),
            asyncio.create_task(_often(self.reload, self.settings.reload_seconds)),
        ]

    async def _try_model(self, folder: Path) -> None:
        settings = self.settings
        arguments = (str(folder), settings.device, settings.engine_threads, self.wanted)
        try:
            seconds = await self.cluster.submit(warm_up, *arguments, key=f"warm-up-{new_id()}")
        except KilledWorker as error:
            raise OSError("the worker that tried it died") from error
        except FibromorphError:
            raise
        except Exception as error:
            rule = "graphs must load and run"
            raise BundleError(rule, value=type(error).__name__, subject=folder.name) from error
        log.info("engine answered", seconds=round(seconds, 2))

    async def _purge(self) -> None:
        await asyncio.to_thread(self.purge_expired)

    def purge_expired(self) -> None:
        """Delete results that have outlived their time, and forget their jobs."""
        for job in self.jobs.ended_before(time.time() - self.keep_seconds):
            self.purge(job.id, "service", "expired")

    def purge(self, job_id: str, actor: str, why: str) -> None:
        """Delete whatever there is of an ended job; the audit log keeps that it was there."""
        self.store.drop_input(job_id)
        self.store.drop_result(job_id)
        self.jobs.forget(job_id, actor, why)

    def _on_progress(self, message: Mapping[str, Any]) -> None:
        progress = Progress(message["attempt"], message["stage"], message["worker"])
        if self.board.get(message["job_id"]) is not None:
            self.board.put(message["job_id"], progress)


async def _often(work: Callable[[], Awaitable[None]], seconds: float) -> None:
    """Do `work` again and again; a failure is told and does not end it."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
        except Exception as error:
            log.error("a regular task failed", exc_info=error)
