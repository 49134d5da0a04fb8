"""`/v1/jobs/{id}/...`: the files of a finished scan."""

from __future__ import annotations

import json
from html import escape
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import JSONResponse, Response

from fibromorph.file_names import MAP_OF, SCAN, THICKNESS, TISSUE, VIEWS
from fibromorph.postprocessing.thickness import read_thickness
from fibromorph.postprocessing.volumes import read_volumes
from fibromorph.serving.service.access import Reader
from fibromorph.serving.service.core import Service
from fibromorph.serving.service.files import FILES, MAP_FILES, TISSUE_FILES
from fibromorph.serving.service.ledger import Job
from fibromorph.serving.service.orders import name_of
from fibromorph.serving.service.policies import REPORT_POLICY
from fibromorph.serving.service.problems import Refusal
from fibromorph.serving.service.routes.parts import (
    UNCHANGED,
    DownloadRoute,
    JobId,
    ResultFile,
    The,
    find_job,
    problems,
    result_file,
    result_headers,
    result_path,
    taking,
)
from fibromorph.serving.service.schemas import (
    Sheet,
    Thickness,
    Volumes,
    model_of,
    region_of,
)

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"], route_class=DownloadRoute)
TSV, JSON, HTML, PNG, GZIP = (
    "text/tab-separated-values",
    "application/json",
    "text/html",
    "image/png",
    "application/gzip",
)
STATUSES = {**UNCHANGED, **problems(404, 409, 410)}


def _finished(request: Request, job_id: JobId, service: The, caller: Reader) -> Job:
    job = find_job(service, job_id, caller)
    if job.kind != "scan" or job.state != "done":
        rule = "a job must be done before its results can be had"
        raise Refusal(409, rule, value=job.state, subject="job")
    return taking(request, caller, job)


Finished = Annotated[Job, Depends(_finished)]
Tissue = Literal["brain_mask", "brain", "grey", "white", "fluid"]
MapOf = Literal["grey", "white"]


def binary(media_type: str) -> dict[str, object]:
    """A good response that is a file, for OpenAPI."""
    return {"content": {media_type: {"schema": {"type": "string", "format": "binary"}}}}


TABLE: dict[int | str, dict[str, Any]] = {
    200: {"content": {TSV: {"schema": {"type": "string"}}}},
    406: problems(406)[406],
    **STATUSES,
}
"""Responses of what is JSON or a table."""


def provenance_of(service: Service, job: Job) -> dict[str, Any]:
    """What was done to a scan.

    Raises:
        Refusal: 410, it was deleted.
    """
    facts: dict[str, Any] = json.loads(result_path(service, job, FILES["provenance"]).read_text())
    return facts


@router.head("/segmentation", include_in_schema=False)
@router.get(
    "/segmentation",
    responses={200: binary(GZIP), **STATUSES},
    response_class=Response,
)
def get_segmentation(service: The, job: Finished) -> ResultFile:
    """Label image (NIfTI, gzip) on the scan's own voxels."""
    return result_file(service, job, FILES["dseg"], GZIP, SCAN["dseg"])


@router.head("/volumes", include_in_schema=False)
@router.get("/volumes", responses=TABLE, response_model=Volumes)
def get_volumes(
    service: The, job: Finished, accept: Annotated[str, Header(max_length=500)] = "*/*"
) -> Response:
    """Regional volumes with their uncertainty: JSON, or the table (TSV), by `Accept`."""
    if preferred(accept) == TSV:
        return result_file(service, job, FILES["volumes"], TSV, SCAN["volumes"])
    rows = read_volumes(result_path(service, job, FILES["volumes"]))
    places = json.loads(result_path(service, job, FILES["places"]).read_text())
    volumes = Volumes(
        job_id=job.id, model=model_of(job), regions=[region_of(row, places) for row in rows]
    )
    return JSONResponse(volumes.model_dump(), headers=result_headers(job))


@router.head("/thickness", include_in_schema=False)
@router.get("/thickness", responses=TABLE, response_model=Thickness)
def get_thickness(
    service: The, job: Finished, accept: Annotated[str, Header(max_length=500)] = "*/*"
) -> Response:
    """Thickness of the cortex's regions, where the service measures it: JSON, or TSV."""
    facts = provenance_of(service, job)
    if "thickness" not in facts:
        raise Refusal(404, "the service must be set to measure thickness", subject="job")
    if preferred(accept) == TSV:
        return result_file(service, job, FILES["thickness"], TSV, THICKNESS["thickness"])
    rows = read_thickness(result_path(service, job, FILES["thickness"]))
    thickness = Thickness(
        job_id=job.id,
        model=model_of(job),
        ribbon=facts["thickness"]["ribbon"],
        regions=[Sheet(**vars(row)) for row in rows],
    )
    return JSONResponse(thickness.model_dump(), headers=result_headers(job))


@router.head("/tissue/{what}", include_in_schema=False)
@router.get("/tissue/{what}", responses={200: binary(GZIP), **STATUSES}, response_class=Response)
def get_tissue(service: The, job: Finished, what: Tissue) -> ResultFile:
    """Brain mask, skull-stripped scan or share of a tissue (NIfTI, gzip), on the scan's voxels."""
    if "tissue" not in provenance_of(service, job):
        raise Refusal(404, "the service must be set to measure tissue", subject="job")
    return result_file(service, job, TISSUE_FILES[what], GZIP, TISSUE[what])


@router.head("/maps/{of}", include_in_schema=False)
@router.get("/maps/{of}", responses={200: binary(GZIP), **STATUSES}, response_class=Response)
def get_map(service: The, job: Finished, of: MapOf) -> ResultFile:
    """Modulated map of grey or white matter in MNI coordinates (NIfTI, gzip)."""
    if "grey_map" not in provenance_of(service, job):
        raise Refusal(404, "the service must be set to make maps (vbm)", subject="job")
    return result_file(service, job, MAP_FILES[of], GZIP, MAP_OF[of])


@router.head("/report", include_in_schema=False)
@router.get("/report", responses={200: binary(HTML), **STATUSES}, response_class=Response)
def get_report(service: The, job: Finished) -> ResultFile:
    """The report: one page that opens offline, headed by the job's label."""
    response = result_file(service, job, FILES["report"], HTML, SCAN["report"], shown=True)
    if job.label:
        response.put = (name_of(job).encode(), escape(job.label).encode())
    response.headers["Content-Security-Policy"] = REPORT_POLICY
    return response


@router.head("/provenance", include_in_schema=False)
@router.get("/provenance", responses={200: binary(JSON), **STATUSES}, response_class=Response)
def get_provenance(service: The, job: Finished) -> ResultFile:
    """What was done to what, with what."""
    return result_file(service, job, FILES["provenance"], JSON, SCAN["provenance"])


@router.head("/preview", include_in_schema=False)
@router.get("/preview", responses={200: binary(PNG), **STATUSES}, response_class=Response)
def get_preview(service: The, job: Finished) -> ResultFile:
    """Slices in three planes with the segmentation's outlines."""
    return result_file(service, job, FILES["preview"], PNG, VIEWS["preview"], shown=True)


@router.head("/brain", include_in_schema=False)
@router.get("/brain", responses={200: binary(GZIP), **STATUSES}, response_class=Response)
def get_brain(service: The, job: Finished) -> ResultFile:
    """The brain as the network saw it (NIfTI, gzip), without face and skull: to lay labels over."""
    return result_file(service, job, FILES["image"], GZIP, VIEWS["brain"])


def preferred(accept: str) -> str:
    """JSON or TSV, whichever comes first in `Accept`.

    Raises:
        Refusal: 406, neither.
    """
    for part in accept.split(","):
        kind = part.partition(";")[0].strip().lower()
        if kind in (TSV, "text/*"):
            return TSV
        if kind in (JSON, "application/*", "*/*", ""):
            return JSON
    raise Refusal(406, f"Accept must allow {JSON} or {TSV}", value=accept[:100], subject="Accept")
