"""`/v1/studies`: group statistics over finished scans."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from fastapi import Request as HttpRequest
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from fibromorph.serving.service.access import Caller, Reader, Submitter
from fibromorph.serving.service.core import Service
from fibromorph.serving.service.ledger import Job, Request, new_id
from fibromorph.serving.service.policies import STUDY_POLICY
from fibromorph.serving.service.problems import Refusal
from fibromorph.serving.service.routes.parts import (
    LABEL,
    UNCHANGED,
    DownloadRoute,
    JobId,
    Page,
    ResultFile,
    The,
    find_job,
    page_of,
    problems,
    result_file,
    shown,
    taking,
)
from fibromorph.serving.service.routes.results import HTML
from fibromorph.serving.service.schemas import JOB_ID, JobList, JobOut
from fibromorph.serving.service.study import (
    DESIGN,
    PARTICIPANTS,
    REPORT,
    TABLES,
    check_scans,
    content_of,
    lay_out,
    those_listed,
)
from fibromorph.serving.service.uploads import read_whole

LARGEST_TABLE = 2_000_000
LARGEST_BODY = 3 * LARGEST_TABLE
MOST_SCANS = 10_000
ZIP, JSON = "application/zip", "application/json"

router = APIRouter(prefix="/v1/studies", tags=["studies"], route_class=DownloadRoute)


class StudyIn(BaseModel):
    """What to analyse.

    Tables and designs are those of `fibromorph stats`, as text.
    """

    # A mistyped `design` would be a design that is guessed.
    model_config = ConfigDict(extra="forbid")

    participants: str = Field(
        max_length=LARGEST_TABLE,
        description="participants.tsv: `participant_id`, which is a scan's label, and columns.",
        examples=["participant_id\tgroup\tage\tsex\nsub-01\tFM\t47\tF\nsub-02\tHC\t45\tF\n"],
    )
    design: str = Field(
        "", max_length=LARGEST_TABLE, description="YAML; guessed from the tables if empty."
    )
    jobs: list[Annotated[str, Field(pattern="^[0-9a-f]{32}$")]] = Field(
        [],
        max_length=MOST_SCANS,
        description="Scans; if empty, all your finished ones of people in the table.",
        examples=[[JOB_ID]],
    )
    label: str = Field("", pattern=LABEL)

    @field_validator("participants", "design")
    @classmethod
    def _is_text(cls, text: str) -> str:
        """JSON can hold halves of characters, which no file can."""
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise ValueError("the text must be Unicode, without lone surrogates")
        return text


BODY = {
    "requestBody": {
        "required": True,
        "content": {JSON: {"schema": StudyIn.model_json_schema()}},
    }
}


async def _study_in(request: HttpRequest) -> StudyIn:
    """The body, which is read only once it is known who sends it.

    Raises:
        RequestValidationError: it is not what it should be.
        Refusal: see `read_whole`; 415, it does not say that it is JSON.
    """
    body = await read_whole(request, LARGEST_BODY)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON:
        raise Refusal(415, f"a study must be {JSON}", value=kind[:100], subject="Content-Type")
    try:
        return await asyncio.to_thread(StudyIn.model_validate_json, body)
    except ValidationError as error:
        told = [{**one, "loc": ("body", *one["loc"])} for one in error.errors()]
        raise RequestValidationError(told) from error


@router.post(
    "",
    status_code=202,
    responses=problems(404, 408, 409, 413, 415, 503, 507),
    openapi_extra=BODY,
)
async def post_study(
    request: HttpRequest, response: Response, service: The, caller: Submitter
) -> JobOut:
    """Run the group statistics; the answer is a job like that of a scan."""
    service.check_open()
    service.access.count_upload(caller)
    study = await _study_in(request)
    service.store.check_space(len(study.participants))
    job = await asyncio.to_thread(_accept, service, study, caller)
    service.supervisor.poke()
    response.headers["Location"] = f"/v1/studies/{job.id}"
    return await asyncio.to_thread(shown, service, job)


@router.get("", responses=problems())
def get_studies(service: The, caller: Reader, page: Annotated[Page, Query()]) -> JobList:
    """Your studies, newest first."""
    return page_of(service, caller, "study", page)


def _study(job_id: JobId, service: The, caller: Reader) -> Job:
    job = find_job(service, job_id, caller)
    if job.kind != "study":
        raise Refusal(404, "there must be such a study", value=job_id, subject="study")
    return job


Found = Annotated[Job, Depends(_study)]


def _finished(request: HttpRequest, caller: Reader, job: Found) -> Job:
    if job.state != "done":
        rule = "a study must be done before its results can be had"
        raise Refusal(409, rule, value=job.state, subject="study")
    return taking(request, caller, job)


Finished = Annotated[Job, Depends(_finished)]


@router.get("/{job_id}", responses=problems(404))
def get_study(service: The, job: Found) -> JobOut:
    """One study, now; its events and its end are those of the job with its id."""
    return shown(service, job)


@router.head("/{job_id}/report", include_in_schema=False)
@router.get(
    "/{job_id}/report",
    responses={
        200: {"content": {HTML: {"schema": {"type": "string"}}}},
        **UNCHANGED,
        **problems(404, 409, 410),
    },
    response_class=Response,
)
def get_study_report(service: The, job: Finished) -> ResultFile:
    """The group report: one page that opens offline."""
    response = result_file(service, job, REPORT, HTML, f"_{REPORT}")
    response.headers["Content-Security-Policy"] = STUDY_POLICY
    return response


@router.head("/{job_id}/tables", include_in_schema=False)
@router.get(
    "/{job_id}/tables",
    responses={
        200: {"content": {ZIP: {"schema": {"type": "string", "format": "binary"}}}},
        **UNCHANGED,
        **problems(404, 409, 410),
    },
    response_class=Response,
)
def get_study_tables(service: The, job: Finished) -> ResultFile:
    """All tables of the study (TSV), in a zip."""
    return result_file(service, job, TABLES, ZIP, f"_{TABLES}")


def _accept(service: Service, study: StudyIn, caller: Caller) -> Job:
    scans = _scans(service, study, caller)
    check_scans(scans)
    texts = {PARTICIPANTS: study.participants, DESIGN: study.design}
    study_id, first = new_id(), scans[0]
    request = Request(
        kind="study",
        owner=caller.owner,
        content=content_of(scans, texts),
        label=study.label,
        model_name=first.model_name,
        model_version=first.model_version,
        model_sha256=first.model_sha256,
    )
    try:
        lay_out(service.store, study_id, scans, texts)
        return service.take(study_id, request)
    finally:
        service.store.drop_upload(study_id)


def _scans(service: Service, study: StudyIn, caller: Caller) -> list[Job]:
    if not study.jobs:
        # An admin sees everybody's: those of other labs take part only if they are named.
        done = service.jobs.find(caller.owner, "scan", ["done"], MOST_SCANS)
        return those_listed([job for job in done if job.label], study.participants)
    scans = [find_job(service, job_id, caller) for job_id in dict.fromkeys(study.jobs)]
    for scan in scans:
        if scan.kind != "scan" or scan.state != "done" or not scan.label:
            rule = "the scans of a study must be done and have a label"
            raise Refusal(409, rule, value=scan.state, subject=scan.id)
    return scans
