"""One JSON line an event on stderr; never names of files, headers of scans, or keys."""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.typing import Processor

NOISY = ("distributed", "distributed.nanny", "distributed.scheduler", "alembic", "httpx")

log: structlog.stdlib.BoundLogger = structlog.get_logger("fibromorph")


def configure_logs() -> None:
    """Send structlog's and the libraries' lines to stderr as JSON."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processor=structlog.processors.JSONRenderer(), foreign_pre_chain=shared
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    for noisy in NOISY:
        logger = logging.getLogger(noisy)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.WARNING)


def dask_setup(_: object) -> None:
    """Called by Dask in a worker that preloads this module: its lines are like the service's."""
    configure_logs()
