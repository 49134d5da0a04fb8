"""The same work on a Dask cluster, over SSH, SLURM or Kubernetes: whoever starts the workers.

All nodes see BIDS_DIR and OUT_DIR under the same paths. A Dask worker with two threads reads its
next scan while it computes one; on a GPU, give it several.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fibromorph.errors import ConfigError, FibromorphError
from fibromorph.serving.cohort.tasks import Outcome, ScanTask
from fibromorph.serving.cohort.worker import Settings, Worker

if TYPE_CHECKING:
    from distributed import Client, Future
    from distributed.security import Security

ATTEMPTS = 3
"""Of a task that the scheduler forgot, because it or the way to it was gone for a while."""

SMALLEST_WINDOW = 64
"""Tasks that are with the scheduler at a time: enough for clusters that grow with what waits."""

PATIENCE_S = 30

Work = Callable[[Settings, ScanTask], Outcome]


@dataclass(frozen=True)
class Tls:
    """Certificates, PEM; what is None is taken from Dask's configuration."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


class Cluster:
    """Workers behind a Dask scheduler.

    Args:
        settings: of every worker.
        address: 'tls://host:port', or 'tcp://127.0.0.1:port' on this machine.
        tls: certificates of this client.
        work: what a Dask worker does with a task.

    Raises:
        ConfigError: an unencrypted address that leaves this machine, or no certificates.
    """

    def __init__(
        self, settings: Settings, address: str, tls: Tls = Tls(), work: Work | None = None
    ) -> None:
        self.settings = settings
        self.address = address
        self._work = work or segment_on_worker
        self._security = security_of(address, tls)
        self._client: Client | None = None

    def __enter__(self) -> Cluster:
        from distributed import Client

        try:
            self._client = Client(self.address, security=self._security, timeout=PATIENCE_S)
        except (OSError, TimeoutError) as error:
            raise ConfigError(
                "the scheduler must answer", value=error, subject=self.address
            ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._client is not None:
            self._client.close()

    def map(self, tasks: Sequence[ScanTask]) -> Iterator[Outcome]:
        """Outcomes in the order in which they come.

        Raises:
            FibromorphError: a worker could not load the model.
        """
        from distributed import as_completed

        todo, attempts = list(reversed(tasks)), Counter[ScanTask]()
        task_of: dict[Future, ScanTask] = {}
        coming = as_completed(raise_errors=False)
        window = self._window()
        while todo or task_of:
            while todo and len(task_of) < window:
                task = todo.pop()
                attempts[task] += 1
                future = self._submit(task)
                task_of[future] = task
                coming.add(future)
            future = next(coming)
            task = task_of.pop(future)
            outcome = _outcome(future, task, attempts[task])
            if outcome is None:
                todo.append(task)
                continue
            window = max(window, self._window()) if len(task_of) < window // 2 else window
            yield outcome

    def _submit(self, task: ScanTask) -> Future:
        if self._client is None:
            raise RuntimeError("a cluster is entered before it is used")
        return self._client.submit(self._work, self.settings, task, pure=False)

    def _window(self) -> int:
        threads = sum(self._client.nthreads().values()) if self._client else 0
        return max(SMALLEST_WINDOW, 3 * threads)


_LOADED: dict[Settings, Worker] = {}
_LOADING = threading.Lock()


def segment_on_worker(settings: Settings, task: ScanTask) -> Outcome:
    """One task inside a Dask worker; the model is loaded by the first and kept for the others."""
    with _LOADING:
        if settings not in _LOADED:
            _LOADED.clear()
            _LOADED[settings] = Worker(settings)
        worker = _LOADED[settings]
    return worker.process(worker.read(task))


def security_of(address: str, tls: Tls) -> Security | None:
    """Certificates for an address; None for an address on this machine without encryption.

    Raises:
        ConfigError: see `Cluster`.
    """
    from distributed.security import Security

    parts = urlsplit(address if "://" in address else f"tcp://{address}")
    if not parts.hostname or parts.scheme not in ("tcp", "tls"):
        raise ConfigError("must be tls://HOST:PORT", value=address, subject="--scheduler")
    if parts.scheme == "tcp":
        if not _is_loopback(parts.hostname):
            raise ConfigError(
                "a scheduler on another machine must be reached over tls://",
                value=address,
                subject="--scheduler",
            )
        return None
    files = {
        "tls_ca_file": _existing(tls.ca, "--tls-ca"),
        "tls_client_cert": _existing(tls.cert, "--tls-cert"),
        "tls_client_key": _existing(tls.key, "--tls-key"),
    }
    security = Security(require_encryption=True, **{k: v for k, v in files.items() if v})
    if not (security.tls_ca_file and security.tls_client_cert):
        rule = "needs --tls-ca and --tls-cert, or Dask's distributed.comm.tls"
        raise ConfigError(rule, value=address, subject="--scheduler")
    return security


def _existing(path: Path | None, option: str) -> str | None:
    if path is None:
        return None
    if not path.is_file():
        raise ConfigError("must be a PEM file", value=path, subject=option)
    return str(path)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _outcome(future: Future, task: ScanTask, attempt: int) -> Outcome | None:
    """What became of a future; None if it has to be submitted again."""
    if future.status == "finished":
        result: Any = future.result()
        return result if isinstance(result, Outcome) else None
    if future.status == "error":
        error = future.exception()
        if isinstance(error, FibromorphError):
            raise error
        return Outcome(task, "failed", "worker", " ".join(str(error).split())[:500])
    return Outcome(task, "failed", "worker", "lost by the cluster") if attempt >= ATTEMPTS else None
