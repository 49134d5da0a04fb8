"""What routes share: the service behind a request, its jobs, the problems it may answer with."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, cast

from fastapi import Depends, Request
from fastapi import Path as PathParameter
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import OperationalError
from starlette.datastructures import Headers
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Receive, Scope, Send

from fibromorph.serving.service.access import Caller
from fibromorph.serving.service.core import Service
from fibromorph.serving.service.handlers import MEDIA_TYPE
from fibromorph.serving.service.ledger import Job
from fibromorph.serving.service.ledger.tables import Kind
from fibromorph.serving.service.logs import log
from fibromorph.serving.service.problems import Problem, Refusal
from fibromorph.serving.service.schemas import JOB_ID, JobList, JobOut, job_out

MEANING = {
    401: "No key, or one that is not valid.",
    403: "The key lacks the scope, or another site's page asked.",
    404: "There is no such job, or it is another owner's.",
    406: "None of the types in `Accept` is offered.",
    408: "Nothing more came of the body.",
    409: "The job is not in the state that this needs.",
    410: "The files of this job are gone.",
    413: "The upload is too large.",
    415: "The body is of no supported type.",
    421: "The service was called by a foreign name.",
    422: "The input breaks a rule.",
    429: "Too many requests, or the queue is full; see `Retry-After`.",
    503: "Starting, draining or busy; see `Retry-After`.",
    507: "The disk is full.",
}
LABEL = "^[A-Za-z0-9_.-]{0,64}$"
ALWAYS = (401, 403, 421, 422, 429, 503)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The responses of a route, beside its good one, for OpenAPI."""
    return {
        status: {
            "description": MEANING[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            "model": Problem,
        }
        for status in sorted({*ALWAYS, *statuses})
    }


UNCHANGED: dict[int | str, dict[str, Any]] = {
    304: {"description": "The file is still the one whose `ETag` `If-None-Match` names."}
}
"""Of a route that answers with a `ResultFile`."""


async def _the_service(request: Request) -> Service:
    """Needs no thread: health is told while all of them wait."""
    return _service(request)


def _service(request: Request) -> Service:
    return cast(Service, request.app.state.service)


The = Annotated[Service, Depends(_the_service)]
JobId = Annotated[str, PathParameter(pattern="^[0-9a-f]{32}$", examples=[JOB_ID])]


def find_job(service: Service, job_id: str, caller: Caller) -> Job:
    """A job that the caller may see.

    Raises:
        Refusal: 404.
    """
    job = service.jobs.get(job_id, caller.sees)
    if job is None:
        raise Refusal(404, "there must be such a job", value=job_id, subject="job")
    return job


def taking(request: Request, caller: Caller, job: Job) -> Job:
    """Say, in a `DownloadRoute`, who takes a file of which job."""
    request.state.taken = caller, job
    return job


class DownloadRoute(APIRoute):
    """Writes down who was answered with which file of a job; what is refused is no download."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's, and then the note, unless only the head was asked for."""
        handle = super().get_route_handler()

        async def handle_and_note(request: Request) -> Response:
            response = await handle(request)
            taken = getattr(request.state, "taken", None)
            if taken is not None and request.method != "HEAD":
                await run_in_threadpool(_note_download, request, *taken)
            return response

        return handle_and_note


def _note_download(request: Request, caller: Caller, job: Job) -> None:
    try:
        which = request.url.path.partition(f"/{job.id}/")[2]
        _service(request).audit.note(caller.owner, "download", job.id, which)
    except OperationalError as error:
        # A full disk, say: results can still be had, which may be what makes room.
        log.error("a download could not be noted", job=job.id, error=str(error.orig))


CONDITIONS = StaticFiles()
"""Serves nothing here: it knows what `If-None-Match` and `If-Modified-Since` ask."""


class ResultFile(FileResponse):
    """A file, or 304 for who has it already.

    Attributes:
        put: bytes of the file, and what is sent in their place; None: the file as it is.
    """

    put: tuple[bytes, bytes] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.stat_result = os.stat(self.path)
        self.set_stat_headers(self.stat_result)
        if self.put is not None:
            self.headers["etag"] = (
                f'{self.headers["etag"][:-1]}-{sha256(self.put[1]).hexdigest()[:12]}"'
            )
        if CONDITIONS.is_not_modified(self.headers, Headers(scope=scope)):
            await NotModifiedResponse(self.headers)(scope, receive, send)
        elif self.put is not None:
            content = await run_in_threadpool(Path(self.path).read_bytes)
            named = Response(content.replace(*self.put), headers=_less_length(self.headers))
            await named(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def _less_length(headers: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in headers.items() if k not in ("content-length", "accept-ranges")}


def result_file(
    service: Service, job: Job, name: str, media_type: str, suffix: str, *, shown: bool = False
) -> ResultFile:
    """One file of a finished job, as it is sent.

    Args:
        service: has the file.
        job: which must have ended well.
        name: of the file among the job's results.
        media_type: of its content.
        suffix: what is put behind the job's label where a browser saves it.
        shown: browsers show it rather than save it.

    Raises:
        Refusal: 410, it was deleted.
    """
    return ResultFile(
        result_path(service, job, name),
        media_type=media_type,
        filename=f"{job.label or job.kind}{suffix}",
        content_disposition_type="inline" if shown else "attachment",
        headers=result_headers(job),
    )


def result_path(service: Service, job: Job, name: str) -> Path:
    """Where a file of a finished job lies.

    Raises:
        Refusal: 410, it was deleted.
    """
    path = service.store.result(job.id) / name
    if not path.is_file():
        raise Refusal(410, "the files of a job are deleted after a set time", subject="job")
    return path


def result_headers(job: Job) -> dict[str, str]:
    """What made a result; and that it may be kept only by who may see it, who asks before use."""
    return {
        "Fibromorph-Model": f"{job.model_name} {job.model_version} sha256:{job.model_sha256}",
        "Cache-Control": "private, no-cache",
        "Vary": "Accept, Authorization",
    }


class Page(BaseModel):
    """Which part of a list; other parameters are refused, for they would change nothing."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(50, ge=1, le=200)
    before: float | None = Field(None, ge=0, le=1e12)


def page_of(
    service: Service,
    caller: Caller,
    kind: Kind,
    page: Page,
    *,
    states: Sequence[str] = (),
    label: str = "",
) -> JobList:
    """Jobs that the caller may see, newest first, and where the next page begins."""
    jobs = service.jobs.find(caller.sees, kind, states, page.limit, page.before, label)
    following = jobs[-1].created_at if len(jobs) == page.limit else None
    return JobList(jobs=[shown(service, job) for job in jobs], before=following)


def shown(service: Service, job: Job) -> JobOut:
    """A job as it is answered."""
    progress, position = service.board.get(job.id), service.jobs.position(job)
    return job_out(job, progress, position, service.keep_seconds)
