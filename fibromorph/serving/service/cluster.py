"""Dask, local or remote, behind a few verbs: submit, end a worker, count places."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import dask
from distributed import Client, LocalCluster, Security

from fibromorph.errors import ConfigError
from fibromorph.serving.service import logs
from fibromorph.serving.service.logs import log
from fibromorph.serving.service.settings import MIB, Settings
from fibromorph.serving.service.work import TOPIC

T = TypeVar("T")
OnProgress = Callable[[Mapping[str, Any]], None]

CONNECT_SECONDS = 30
KILL_SECONDS = 10
CLOSE_SECONDS = 15
"""A nanny alone gives its worker four."""
DASK_CONFIG = {
    # The ledger decides whether a scan that killed its worker is tried again.
    "distributed.scheduler.allowed-failures": 0,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.98,
    "distributed.worker.daemon": False,
}
ENVIRONMENT = "distributed.nanny.pre-spawn-environ"
# Memory of a worker beside what the job may take: libraries, engines' graphs.
WORKER_BASE_MB = 1024


class Cluster:
    """Worker processes: made here, or found through a scheduler's address.

    A local cluster speaks TLS with keys made for this run: nobody else on the machine can give it
    work. For `tls://` addresses Dask's own configuration says which certificates to use.

    Args:
        settings: scheduler, workers and their memory.
        on_progress: told what workers tell, in the event loop.
    """

    def __init__(self, settings: Settings, on_progress: OnProgress) -> None:
        self._settings = settings
        self._on_progress = on_progress
        self._local: LocalCluster | None = None
        self._client: Client | None = None
        self._connecting = asyncio.Lock()

    async def start(self) -> None:
        """Start or find the workers.

        Raises:
            ConfigError: nobody answers at the scheduler's address.
        """
        if not self._settings.scheduler:
            self._local = await _local_cluster(self._settings)
        await self._connect()

    async def close(self) -> None:
        """Let go of the scheduler; end the workers if they are local."""
        if self._client is not None:
            await _in_time(self._client.close(timeout=2))
        if self._local is not None:
            await _in_time(self._local.close(timeout=CLOSE_SECONDS))

    async def submit(self, function: Callable[..., T], *args: object, key: str) -> T:
        """Run `function` in a worker.

        Raises:
            KilledWorker: the worker died.
            CancelledError: of Dask's; the scheduler went away.
        """
        client = await self._connected()
        future = client.submit(function, *args, key=key, pure=False, retries=0)
        try:
            result: T = await future
        finally:
            future.release()
        return result

    async def kill(self, worker: str) -> None:
        """End a worker process, which its nanny then starts anew."""
        client = await self._connected()
        log.warning("ending worker", worker=worker)
        await client.restart_workers([worker], timeout=KILL_SECONDS, raise_for_error=False)

    def workers(self) -> Mapping[str, Mapping[str, Any]]:
        """Address -> what the scheduler knows of a worker."""
        if self._client is None or self._client.status != "running":
            return {}
        info: Mapping[str, Mapping[str, Any]] = self._client.scheduler_info(n_workers=-1)["workers"]
        return info

    @property
    def places(self) -> int:
        """How many jobs can run at once; the local cluster starts a worker anew if it dies."""
        return self._settings.worker_count if self._local else len(self.workers())

    async def _connected(self) -> Client:
        async with self._connecting:
            if self._client is None or self._client.status != "running":
                log.warning("scheduler lost, connecting again")
                await self._connect()
            assert self._client is not None
            return self._client

    async def _connect(self) -> None:
        target = self._local or self._settings.scheduler
        try:
            self._client = await Client(
                target, asynchronous=True, timeout=CONNECT_SECONDS, set_as_default=False
            )
        except (OSError, TimeoutError, ValueError) as error:
            rule = "a Dask scheduler must answer at this address"
            raise ConfigError(rule, value=error, subject="scheduler") from error
        self._client.subscribe_topic(TOPIC, self._on_event)

    async def _on_event(self, event: tuple[float, Mapping[str, Any]]) -> None:
        self._on_progress(event[1])


async def _in_time(closing: Awaitable[None]) -> None:
    """Workers end with this process at the latest, whose other parts are still to be closed."""
    try:
        await closing
    except TimeoutError:
        log.warning("Dask did not end in time")


def _environment(settings: Settings) -> dict[str, int | str]:
    """Variables of the workers, in place of Dask's own.

    Until `logs` is loaded, a worker's lines are Dask's: those that tell nothing new are left out.
    Dask would let malloc give memory back at every chance; arrays of a whole head would then be
    mapped and zeroed anew at every step.
    """
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {**dict.fromkeys(names, settings.engine_threads), "DASK_LOGGING__DISTRIBUTED": "warning"}


async def _local_cluster(settings: Settings) -> LocalCluster:
    dask.config.set({**DASK_CONFIG, ENVIRONMENT: _environment(settings)})
    memory = (settings.worker_memory_mb + WORKER_BASE_MB) * MIB
    return await LocalCluster(
        n_workers=settings.worker_count,
        threads_per_worker=1,
        processes=True,
        memory_limit=memory,
        host="127.0.0.1",
        protocol="tls://",
        security=Security.temporary(),
        dashboard_address=None,
        local_directory=str(settings.data_dir.resolve() / "dask"),
        asynchronous=True,
        silence_logs=False,
        preload=[logs.__name__],
    )
