"""`POST /v1/scans`: an upload becomes a job."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from fibromorph.serving.service.access import Caller, Submitter
from fibromorph.serving.service.catalogue import Model
from fibromorph.serving.service.core import Service
from fibromorph.serving.service.ledger import Job, new_id
from fibromorph.serving.service.ledger import Request as JobRequest
from fibromorph.serving.service.orders import WANTED
from fibromorph.serving.service.routes.parts import LABEL, The, problems, shown
from fibromorph.serving.service.schemas import JobOut
from fibromorph.serving.service.settings import MIB
from fibromorph.serving.service.uploads import (
    FORM_TYPE,
    RAW_TYPES,
    body_of,
    check_length,
    receive,
)
from fibromorph.serving.service.wanted import Wanted

router = APIRouter(prefix="/v1", tags=["scans"])
PRIORITIES = {"single": 0, "cohort": 1}
BINARY = {"schema": {"type": "string", "format": "binary"}}
FORM = {
    "type": "object",
    "properties": {"scan": {"type": "string", "format": "binary"}},
    "required": ["scan"],
}
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "NIfTI (.nii, .nii.gz), MGH/MGZ, or a zip of one DICOM series.",
        "content": {
            **dict.fromkeys(RAW_TYPES, BINARY),
            FORM_TYPE: {"schema": FORM},
        },
    }
}


class Choice(BaseModel):
    """What to do with a scan, and what to call it."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field("", max_length=64, description="Name of a model; the default if empty.")
    label: str = Field(
        "",
        pattern=LABEL,
        description="What you call the scan: a participant's id, never a name.",
        examples=["sub-01"],
    )
    priority: Literal["single", "cohort"] = Field(
        "single", description="Single scans go before those of a cohort."
    )


Key = Annotated[str, Header(alias="Idempotency-Key", max_length=255)]


@router.post(
    "/scans", status_code=202, responses=problems(408, 413, 415, 503, 507), openapi_extra=BODY
)
async def post_scan(
    request: Request,
    response: Response,
    service: The,
    caller: Submitter,
    choice: Annotated[Choice, Query()],
    idempotency_key: Key = "",
) -> JobOut:
    """Send a scan; the answer is the job that segments it.

    The upload is read before it is answered: what is no scan, or breaks a rule, is refused here.
    The same bytes with the same model and label are the same job; they are never computed twice.
    """
    service.check_open()
    service.access.count_upload(caller)
    model = service.catalogue[choice.model] if choice.model else service.catalogue.default
    await asyncio.to_thread(service.jobs.check_room, caller.owner, idempotency_key)
    job_id = new_id()
    try:
        sha256 = await _receive(request, service, job_id)
        wanted = replace(
            _job_request(caller, sha256, model, choice, service.wanted),
            idempotency_key=idempotency_key,
        )
        job = await _accept(service, job_id, wanted)
    finally:
        await asyncio.to_thread(service.store.drop_upload, job_id)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return await asyncio.to_thread(shown, service, job)


async def _receive(request: Request, service: Service, job_id: str) -> str:
    limit = service.settings.upload_mb * MIB
    body = body_of(request)
    service.store.check_space(check_length(request, limit))
    upload = service.store.upload(job_id)
    sha256 = await receive(body, upload, limit, service.store.check_space)
    await service.intake.read(upload, service.store.parsed(job_id))
    return sha256


async def _accept(service: Service, job_id: str, wanted: JobRequest) -> Job:
    job = await asyncio.to_thread(service.take, job_id, wanted)
    service.supervisor.poke()
    return job


def _job_request(
    caller: Caller, sha256: str, model: Model, choice: Choice, wanted: Wanted
) -> JobRequest:
    return JobRequest(
        kind="scan",
        owner=caller.owner,
        content=hashlib.sha256(f"{sha256} {model.digest}{wanted.mark}".encode()).hexdigest(),
        label=choice.label,
        priority=PRIORITIES[choice.priority],
        model_name=model.name,
        model_version=model.manifest.version,
        model_sha256=model.manifest.network.sha256,
        model_folder=str(model.folder),
        detail={WANTED: wanted.as_json},
    )
