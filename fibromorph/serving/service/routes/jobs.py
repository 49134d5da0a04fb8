"""`/v1/jobs`: how far they are, as a look and as a stream; and ending them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import Field

from fibromorph.serving.service.access import Credentials, Reader, Submitter
from fibromorph.serving.service.core import Service
from fibromorph.serving.service.ledger import Job
from fibromorph.serving.service.problems import Refusal
from fibromorph.serving.service.routes.parts import (
    LABEL,
    JobId,
    Page,
    The,
    find_job,
    page_of,
    problems,
    shown,
)
from fibromorph.serving.service.schemas import JobList, JobOut

router = APIRouter(prefix="/v1", tags=["jobs"])
LOOK_AGAIN_SECONDS = 5.0


class Wanted(Page):
    """Which jobs."""

    state: list[Literal["queued", "running", "done", "failed", "cancelled"]] = Field([])
    label: str = Field("", pattern=LABEL, description="What the scan is called; any if empty.")


def _found(job_id: JobId, service: The, caller: Reader) -> Job:
    return find_job(service, job_id, caller)


Found = Annotated[Job, Depends(_found)]


@router.get("/jobs", responses=problems())
def get_jobs(
    service: The,
    caller: Reader,
    wanted: Annotated[Wanted, Query()],
) -> JobList:
    """Your jobs, newest first."""
    return page_of(service, caller, "scan", wanted, states=wanted.state, label=wanted.label)


@router.get("/jobs/{job_id}", responses=problems(404))
def get_job(job_id: JobId, service: The, caller: Reader) -> JobOut:
    """One job, now."""
    return shown(service, find_job(service, job_id, caller))


@router.get("/jobs/{job_id}/events", responses=problems(404), response_class=EventSourceResponse)
async def get_events(
    service: The, job: Found, credentials: Credentials
) -> AsyncIterator[ServerSentEvent]:
    """A server-sent event `job` for every change, until the job, or the key, has ended."""
    token = credentials.credentials if credentials else None
    async for now in _changes(service, job, token):
        yield ServerSentEvent(event="job", data=now)


@router.delete(
    "/jobs/{job_id}",
    status_code=202,
    responses={204: {"description": "Nothing is left of the job."}, **problems(404, 409)},
)
async def delete_job(
    job_id: JobId,
    service: The,
    caller: Submitter,
    response: Response,
    only: Annotated[Literal["cancel"] | None, Query()] = None,
) -> JobOut | None:
    """End a job that has not ended; purge one that has, unless `only=cancel`.

    A running scan stops between two stages; if that takes too long, its worker is ended.
    """
    job = await asyncio.to_thread(find_job, service, job_id, caller)
    if job.has_ended and only:
        raise _too_late(job)
    if job.has_ended:
        await asyncio.to_thread(service.purge, job_id, caller.owner, "asked for")
        response.status_code = 204
        return None
    marked = await asyncio.to_thread(service.jobs.request_cancel, job_id, caller.owner)
    job = marked or job
    if job.has_ended and not job.cancel and only:  # just now
        raise _too_late(job)
    await service.supervisor.cancel(job)
    return await asyncio.to_thread(shown, service, job)


def _too_late(job: Job) -> Refusal:
    return Refusal(409, "a job must not have ended to be cancelled", value=job.state, subject="job")


async def _changes(service: Service, job: Job, token: str | None) -> AsyncIterator[JobOut]:
    last = None
    found: Job | None = job
    while found is not None:
        now = await asyncio.to_thread(shown, service, found)
        if now != last:
            yield now
            last = now
        if found.has_ended or service.status == "draining":
            return
        await service.board.wait(LOOK_AGAIN_SECONDS)
        if not await asyncio.to_thread(service.access.lets_in, token):
            return
        found = await asyncio.to_thread(service.jobs.get, job.id, None)
