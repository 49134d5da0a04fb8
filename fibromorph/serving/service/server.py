"""The process: uvicorn, signals, and what happens between SIGTERM and the end."""

from __future__ import annotations

import asyncio
import socket
from types import FrameType

import uvicorn

from fibromorph.errors import ConfigError
from fibromorph.serving.service.app import create_app
from fibromorph.serving.service.core import Service
from fibromorph.serving.service.logs import log

CLOSE_SECONDS = 5


class Server(uvicorn.Server):
    """Uvicorn that drains the service before it closes its doors; a second signal hurries it.

    Args:
        service: put together, not started.
    """

    def __init__(self, service: Service) -> None:
        settings = service.settings
        config = uvicorn.Config(
            create_app(service),
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            # Whoever is let through could say to come from anywhere: wrong keys are counted by it.
            proxy_headers=False,
            timeout_graceful_shutdown=CLOSE_SECONDS,
        )
        super().__init__(config)
        self._service = service
        self._draining = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain at the first signal, close at the second."""
        if self._draining or self._service.status == "starting":
            super().handle_exit(sig, frame)
        self._draining = True

    async def on_tick(self, counter: int) -> bool:
        """Uvicorn's heartbeat, ten times a second."""
        if self._service.failure is not None:
            return True
        if self._draining and self._service.status == "ok":
            self._drain = asyncio.create_task(self._drain_and_close())
        return await super().on_tick(counter)

    async def _drain_and_close(self) -> None:
        await self._service.drain()
        log.info("drained")
        self.should_exit = True


def require_free(host: str, port: int) -> None:
    """See that an address can be listened on, before a folder is made or a worker started.

    Raises:
        ConfigError: it cannot.
    """
    try:
        family, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        rule = "the service must be able to listen there (--host, --port)"
        raise ConfigError(rule, value=error.strerror, subject=f"{host}, port {port}") from error


def run(service: Service) -> None:
    """Serve until a signal comes.

    Raises:
        FibromorphError: workers or the default model could not be started.
    """
    Server(service).run()
    if service.failure is not None:
        raise service.failure
