"""What the service answers with, as OpenAPI shows it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from fibromorph.postprocessing.volumes import VolumeRow
from fibromorph.serving.service.board import Progress
from fibromorph.serving.service.catalogue import Model
from fibromorph.serving.service.ledger import Job
from fibromorph.serving.service.problems import Problem

SHA256 = "16f44e95e5728d643366060777b1745a4b68ca60827807eedabbf315385a6f1"
RESULTS = ("segmentation", "volumes", "report", "provenance", "preview", "brain")
THICKNESS = "thickness"
"""A result, and the step that makes it, where the service is set to."""
STUDY_RESULTS = ("report", "tables")
JOB_ID = "3f2a0c5e9b7d4f6a8e1c2b3d4e5f6071"


class ModelOut(BaseModel):
    """The bundle behind a result."""

    name: str = Field(examples=["t1-open"])
    version: str = Field(examples=["0.1"])
    sha256: str = Field(examples=[SHA256])


class ModelCard(ModelOut):
    """A bundle that can be chosen."""

    description: str
    licence: str = Field(examples=["Apache-2.0"])
    protocol: str = Field(examples=["freesurfer"])
    regions: int = Field(examples=[34])
    is_default: bool
    scores: dict[str, float] = {}
    reload_problem: Problem | None = Field(
        None, description="Why the newest version in its folder was not taken over."
    )


class ModelList(BaseModel):
    models: list[ModelCard]
    refused: dict[str, Problem] = Field(
        {}, description="Bundles of which no version could be loaded, by name, and why."
    )


class JobOut(BaseModel):
    """A job, now."""

    model_config = ConfigDict(protected_namespaces=())

    id: str = Field(examples=[JOB_ID])
    kind: Literal["scan", "study"]
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    stage: str | None = Field(None, examples=["network"])
    percent: int = Field(ge=0, le=100, examples=[42])
    queue_position: int | None = Field(None, description="Jobs before this one.")
    label: str = Field("", examples=["sub-01"])
    model: ModelOut | None = None
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    expires_at: datetime | None = Field(None, description="When its results are deleted.")
    cancel_requested: bool = False
    reason: str | None = Field(None, examples=["ScanError"])
    problem: Problem | None = None
    seconds: dict[str, float] = Field({}, description="By stage, once it has ended.")
    quality: str | None = Field(None, examples=["good"])
    quality_reasons: list[str] = Field([], description="Why it is not good, the gravest first.")
    summary: str | None = Field(None, description="Of a study.")
    links: dict[str, str] = {}


class JobList(BaseModel):
    jobs: list[JobOut]
    before: float | None = Field(None, description="Give this as `before` for the next page.")


class Region(BaseModel):
    """A row of the volumes table; null = not estimable."""

    region_id: int | None = Field(examples=[10])
    name: str = Field(examples=["Left-Thalamus"])
    hemisphere: str = Field(examples=["left"])
    tissue: str = Field(examples=["grey"])
    volume_ml: float | None = Field(examples=[7.42])
    soft_volume_ml: float | None = Field(examples=[7.38])
    sd_ml: float | None = Field(examples=[0.11])
    confidence: float | None = Field(examples=[0.94])
    centre_mm: list[float] | None = Field(None, description="RAS, a voxel of the region.")
    colour: list[int] | None = Field(None, examples=[[0, 118, 14]])


class Sheet(BaseModel):
    """A row of the table of thickness; null = not there, or its error is not known."""

    region_id: int | None = Field(examples=[103])
    name: str = Field(examples=["Left-Anterior-Insula"])
    hemisphere: str = Field(examples=["left"])
    thickness_mm: float | None = Field(examples=[3.31])
    sd_mm: float | None = Field(examples=[0.04])
    area_cm2: float | None = Field(examples=[13.9])


class Thickness(BaseModel):
    job_id: str
    model: ModelOut
    ribbon: str = Field(description="Which model drew both surfaces.", examples=["t1-open 1.4"])
    regions: list[Sheet]


class Volumes(BaseModel):
    job_id: str
    model: ModelOut
    regions: list[Region]


class AtlasOut(BaseModel):
    """An atlas by which a scan was divided."""

    name: str = Field(examples=["DesikanKilliany"])
    sha256: str = Field(description="Over its image and names.", examples=[SHA256])
    links: dict[str, str]


class AtlasList(BaseModel):
    job_id: str
    structures: str = Field(
        description="Which model drew what was divided.", examples=["t1-open 1.5"]
    )
    atlases: list[AtlasOut]


class AtlasVolumes(Volumes):
    """Volumes of an atlas's regions: their ids and names are the atlas's."""

    atlas: str = Field(examples=["DesikanKilliany"])


class AtlasThickness(Thickness):
    """Thickness of an atlas's regions of the cortex, and the whole cortex's mean."""

    atlas: str = Field(examples=["DesikanKilliany"])


class Health(BaseModel):
    status: Literal["ok", "starting", "draining"]


def job_out(
    job: Job, progress: Progress | None, position: int | None, keep_seconds: float
) -> JobOut:
    """A job of the ledger, with what is known of its progress."""
    running = job.state == "running"
    ended = job.ended_at
    facts = {
        "id": job.id,
        "kind": job.kind,
        "state": job.state,
        "stage": progress.stage if running and progress else None,
        "percent": _percent(job, progress),
        "queue_position": position,
        "label": job.label,
        "model": model_of(job) if job.model_name else None,
        "created_at": when(job.created_at),
        "started_at": when(job.started_at),
        "ended_at": when(ended),
        "expires_at": when(None if ended is None else ended + keep_seconds),
        "cancel_requested": job.cancel,
        "reason": job.reason,
        "problem": job.problem,
        "seconds": {k: round(v, 3) for k, v in job.detail.get("seconds", {}).items()},
        "quality": job.detail.get("quality"),
        "quality_reasons": job.detail.get("quality_reasons", []),
        "summary": job.detail.get("summary"),
        "links": _links(job),
    }
    return JobOut.model_validate(facts)


def model_card(model: Model, *, is_default: bool) -> ModelCard:
    """A model as it is listed."""
    manifest = model.manifest
    return ModelCard(
        name=model.name,
        version=manifest.version,
        sha256=manifest.network.sha256,
        description=manifest.description,
        licence=manifest.licence,
        protocol=manifest.protocol,
        regions=len(manifest.labels),
        is_default=is_default,
        scores=manifest.scores,
        reload_problem=model.reload_problem,
    )


def model_of(job: Job) -> ModelOut:
    """The bundle that a job was given to."""
    return ModelOut(name=job.model_name, version=job.model_version, sha256=job.model_sha256)


def region_of(row: VolumeRow, places: dict[str, Any]) -> Region:
    """A row of the table, with its place and colour."""
    return Region(**vars(row), **places.get(str(row.region_id), {}))


def when(seconds: float | None) -> datetime | None:
    """Seconds since the epoch as a date in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _percent(job: Job, progress: Progress | None) -> int:
    if job.has_ended:
        return 100
    return progress.percent if job.state == "running" and progress else 0


def _links(job: Job) -> dict[str, str]:
    root = f"/v1/jobs/{job.id}"
    links = {"self": root, "events": f"{root}/events"}
    if job.state == "done" and job.kind == "scan":
        # Ledgers of before 0.8 know thickness by its seconds alone.
        older = [THICKNESS] if THICKNESS in job.detail.get("seconds", ()) else []
        measured = job.detail.get("measured", older)
        links.update({name: f"{root}/{name}" for name in (*RESULTS, *measured)})
    elif job.kind == "study":
        links["self"] = f"/v1/studies/{job.id}"
        if job.state == "done":
            links |= {name: f"/v1/studies/{job.id}/{name}" for name in STUDY_RESULTS}
    return links
