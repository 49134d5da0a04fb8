"""From a job in the ledger to what its worker is told."""

from __future__ import annotations

from fibromorph.serving.extras import Extras
from fibromorph.serving.service.ledger import Job
from fibromorph.serving.service.settings import MIB, Settings
from fibromorph.serving.service.store import CANCEL_FLAG, Store
from fibromorph.serving.service.wanted import Wanted, wanted_from
from fibromorph.serving.service.work import Order

NAME_LENGTH = 12
WANTED = "wanted"
"""In a job's detail: what it was accepted for."""


def make_order(job: Job, store: Store, settings: Settings) -> Order:
    """What a worker has to know for this attempt.

    The scan's name is made from its content: results are shared between jobs of equal content, and
    must not carry what one of the senders calls it.
    """
    return Order(
        kind=job.kind,
        job_id=job.id,
        attempt=job.attempt,
        input=str(store.input(job.id)),
        work=str(store.work(job.id, job.attempt)),
        cancel_flag=CANCEL_FLAG,
        seconds=settings.job_seconds,
        memory=settings.worker_memory_mb * MIB,
        model=job.model_folder,
        device=settings.device,
        threads=settings.engine_threads,
        wanted=_wanted(job, settings),
        name=name_of(job),
    )


def name_of(job: Job) -> str:
    """What its results call a scan, until somebody is answered with them under a label."""
    return f"scan-{job.content[:NAME_LENGTH]}"


def _wanted(job: Job, settings: Settings) -> Wanted:
    """What was promised; jobs that earlier versions accepted know of thickness alone."""
    if (kept := job.detail.get(WANTED)) is not None:
        return wanted_from(kept)
    return Wanted(Extras(thickness=settings.thickness))
