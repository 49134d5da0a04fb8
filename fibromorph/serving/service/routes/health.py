"""`/health` and `/metrics`: for those who keep the service running."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy.exc import SQLAlchemyError

from fibromorph.serving.service.access import Reader
from fibromorph.serving.service.problems import LEDGER_AWAY_RULE, RETRY_AFTER, Refusal
from fibromorph.serving.service.routes.parts import The, problems
from fibromorph.serving.service.schemas import Health

router = APIRouter(tags=["operation"])
PATIENCE_SECONDS = 3.0
"""For the database's answer."""


@router.head("/health/live", include_in_schema=False)
@router.get("/health/live", responses={421: problems()[421]})
async def live(service: The) -> Health:
    """The process answers."""
    return Health(status=service.status)


@router.head("/health/ready", include_in_schema=False)
@router.get("/health/ready", responses={421: problems()[421], 503: problems(503)[503]})
async def ready(service: The) -> Health:
    """Scans are accepted: an engine has answered a warm-up scan, nothing is being drained, the
    database answers, and there is room for uploads.
    """
    service.check_open()
    try:
        await asyncio.wait_for(asyncio.shield(service.ping()), PATIENCE_SECONDS)
    except (SQLAlchemyError, TimeoutError) as error:
        raise Refusal(503, LEDGER_AWAY_RULE, retry_after=RETRY_AFTER) from error
    try:
        service.store.check_space()
    except Refusal as full:
        raise Refusal(503, full.rule, value=full.value, retry_after=full.retry_after) from full
    return Health(status=service.status)


@router.get(
    "/metrics",
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problems()},
    response_class=Response,
)
def metrics(service: The, caller: Reader) -> Response:  # noqa: ARG001
    """Jobs, stages, queue, engine and memory, in Prometheus' text format."""
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)
