"""`/v1/jobs/{id}/atlases/...`: a finished scan's regions by atlases."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header
from fastapi import Path as PathParameter
from fastapi.responses import JSONResponse, Response

from fibromorph.file_names import atlas_ending
from fibromorph.postprocessing.thickness import read_thickness
from fibromorph.postprocessing.volumes import read_volumes
from fibromorph.serving.service.files import ATLASES, atlas_file
from fibromorph.serving.service.ledger import Job
from fibromorph.serving.service.problems import Refusal
from fibromorph.serving.service.routes.parts import (
    DownloadRoute,
    ResultFile,
    The,
    result_file,
    result_headers,
    result_path,
)
from fibromorph.serving.service.routes.results import (
    GZIP,
    STATUSES,
    TABLE,
    TSV,
    Finished,
    binary,
    preferred,
    provenance_of,
)
from fibromorph.serving.service.schemas import (
    AtlasList,
    AtlasOut,
    AtlasThickness,
    AtlasVolumes,
    Region,
    Sheet,
    model_of,
)

router = APIRouter(prefix="/v1/jobs/{job_id}/atlases", tags=["results"], route_class=DownloadRoute)
Accept = Annotated[str, Header(max_length=500)]


def _facts(service: The, job: Finished) -> dict[str, Any]:
    """What is known of a scan that was divided."""
    facts = provenance_of(service, job)
    if ATLASES not in facts:
        raise Refusal(404, "the service must be set to measure atlases", subject="job")
    return facts


Facts = Annotated[dict[str, Any], Depends(_facts)]


def _one_of(
    facts: Facts,
    atlas: Annotated[
        str, PathParameter(pattern="^[A-Za-z0-9]{1,255}$", examples=["DesikanKilliany"])
    ],
) -> str:
    """The name of an atlas that the scan was divided by."""
    known = facts[ATLASES]["sha256"]
    if atlas not in known:
        rule = f"an atlas must be one of those measured: {', '.join(known)}"
        raise Refusal(404, rule, value=atlas[:64], subject="atlas")
    return atlas


OneOf = Annotated[str, Depends(_one_of)]


@router.head("", include_in_schema=False)
@router.get("", responses=STATUSES, response_model=AtlasList)
def get_atlases(job: Finished, facts: Facts) -> Response:
    """By which atlases the scan was divided, and where its regions are."""
    told = facts[ATLASES]
    atlases = AtlasList(
        job_id=job.id,
        structures=told["structures"],
        atlases=[
            AtlasOut(name=name, sha256=sha256, links=_links(job, name))
            for name, sha256 in told["sha256"].items()
        ],
    )
    return JSONResponse(atlases.model_dump(), headers=result_headers(job))


@router.head("/{atlas}/labels", include_in_schema=False)
@router.get("/{atlas}/labels", responses={200: binary(GZIP), **STATUSES}, response_class=Response)
def get_atlas_labels(service: The, job: Finished, atlas: OneOf) -> ResultFile:
    """Ids of the atlas's regions (NIfTI, gzip) on the scan's own voxels."""
    return _file(service, job, atlas, "labels", GZIP)


@router.head("/{atlas}/names", include_in_schema=False)
@router.get("/{atlas}/names", responses={200: binary(TSV), **STATUSES}, response_class=Response)
def get_atlas_names(service: The, job: Finished, atlas: OneOf) -> ResultFile:
    """Ids and names of the atlas's regions (TSV)."""
    return _file(service, job, atlas, "names", TSV)


@router.head("/{atlas}/volumes", include_in_schema=False)
@router.get("/{atlas}/volumes", responses=TABLE, response_model=AtlasVolumes)
def get_atlas_volumes(
    service: The, job: Finished, atlas: OneOf, accept: Accept = "*/*"
) -> Response:
    """Volumes of the atlas's regions with their uncertainty: JSON, or the table (TSV)."""
    if preferred(accept) == TSV:
        return _file(service, job, atlas, "volumes", TSV)
    rows = read_volumes(result_path(service, job, atlas_file(atlas, "volumes")))
    volumes = AtlasVolumes(
        job_id=job.id,
        model=model_of(job),
        atlas=atlas,
        regions=[Region(**vars(row)) for row in rows],
    )
    return JSONResponse(volumes.model_dump(), headers=result_headers(job))


@router.head("/{atlas}/thickness", include_in_schema=False)
@router.get("/{atlas}/thickness", responses=TABLE, response_model=AtlasThickness)
def get_atlas_thickness(
    service: The, job: Finished, facts: Facts, atlas: OneOf, accept: Accept = "*/*"
) -> Response:
    """Thickness of the atlas's regions of the cortex, where it is measured: JSON, or TSV."""
    if "thickness" not in facts:
        raise Refusal(404, "the service must be set to measure thickness", subject="job")
    if preferred(accept) == TSV:
        return _file(service, job, atlas, "thickness", TSV)
    rows = read_thickness(result_path(service, job, atlas_file(atlas, "thickness")))
    thickness = AtlasThickness(
        job_id=job.id,
        model=model_of(job),
        atlas=atlas,
        ribbon=facts["thickness"]["ribbon"],
        regions=[Sheet(**vars(row)) for row in rows],
    )
    return JSONResponse(thickness.model_dump(), headers=result_headers(job))


def _links(job: Job, atlas: str) -> dict[str, str]:
    """What there is of an atlas -> where."""
    start = f"{ATLASES}/{atlas}/"
    paths = (path for path in job.detail.get("measured", ()) if path.startswith(start))
    return {path.removeprefix(start): f"/v1/jobs/{job.id}/{path}" for path in paths}


def _file(service: The, job: Job, atlas: str, part: str, media_type: str) -> ResultFile:
    ending = atlas_ending(atlas, part)
    return result_file(service, job, atlas_file(atlas, part), media_type, ending)
