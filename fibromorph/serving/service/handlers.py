"""Every error of the service, answered as `application/problem+json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from fibromorph.errors import FibromorphError
from fibromorph.serving.service.ledger import AWAY
from fibromorph.serving.service.logs import log
from fibromorph.serving.service.problems import (
    FULL_DISK_RULE,
    LEDGER_AWAY_RULE,
    RETRY_AFTER,
    Problem,
    Refusal,
    is_full_disk,
    plain_problem,
    problem_of,
    status_of,
)

MEDIA_TYPE = "application/problem+json"


def add_handlers(app: FastAPI) -> None:
    """Answer every error of `app` with a problem; never with a stack trace."""
    app.add_exception_handler(FibromorphError, _on_fibromorph)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(OSError, _on_other)
    for away in AWAY:
        app.add_exception_handler(away, _on_ledger)
    app.add_exception_handler(Exception, _on_other)


def refuse(
    request: Request, problem: Problem, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """A problem as a response, which the log and the metrics tell of, too."""
    # By its pattern: what stands in a path may be anything, the name of a file too.
    route = getattr(request.scope.get("route"), "path", "")
    if not route.startswith("/health"):  # asked every few seconds, and not only by people
        log.warning(
            "refused",
            status=problem.status,
            rule=problem.rule,
            method=request.method,
            route=route,
            owner=getattr(request.state, "owner", None),
            address=request.client.host if request.client else None,
        )
        request.app.state.service.metrics.on_refusal(problem.status)
    content = problem.model_dump(exclude_none=True)
    return JSONResponse(content, problem.status, headers, MEDIA_TYPE)


async def _on_fibromorph(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, FibromorphError)
    headers = {}
    if isinstance(error, Refusal) and error.retry_after:
        headers["Retry-After"] = str(error.retry_after)
    if status_of(error) == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return refuse(request, problem_of(error), headers)


async def _on_validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first: dict[str, Any] = error.errors()[0]
    subject = ".".join(str(part) for part in first["loc"])
    told = Refusal(422, first["msg"], value=first.get("input"), subject=subject)
    return refuse(request, problem_of(told))


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    problem = plain_problem(error.status_code, str(error.detail), request.url.path)
    return refuse(request, problem, error.headers)


async def _on_disconnect(request: Request, _: Exception) -> JSONResponse:
    """Nobody reads the answer."""
    return refuse(request, plain_problem(400, "the body must come in full", "body"))


async def _on_ledger(request: Request, error: Exception) -> JSONResponse:
    """The database is away, or a replica that takes no changes for a moment."""
    if _disk_is_full(error):
        return await _on_other(request, error)
    log.error("ledger out of reach", path=request.url.path, error=str(error))
    problem = plain_problem(503, LEDGER_AWAY_RULE, "service")
    return refuse(request, problem, {"Retry-After": str(RETRY_AFTER)})


async def _on_other(request: Request, error: Exception) -> JSONResponse:
    if _disk_is_full(error):
        log.error("disk is full", path=request.url.path)
        return refuse(request, plain_problem(507, FULL_DISK_RULE))
    log.error("request failed", path=request.url.path, exc_info=error)
    return refuse(request, plain_problem(500, "the service failed; its log says why"))


def _disk_is_full(error: Exception) -> bool:
    return is_full_disk(error) or (
        isinstance(error, OperationalError) and "disk is full" in str(error)
    )
