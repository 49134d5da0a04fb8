"""Ledger and store put in order when the service starts, whatever ended it before.

- `queued`: its input lies in the store;
- `running`, no result in the store: the attempt is lost, the job is queued again;
- `running`, a result in the store: it was published (by one rename), the job is done, and what its
  worker said of it lies there.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fibromorph.serving.service.catalogue import Model
from fibromorph.serving.service.endings import cancelled, failed
from fibromorph.serving.service.ledger import ENDED, Ending, Jobs
from fibromorph.serving.service.store import Store

MAX_ATTEMPTS = 10


def recover(jobs: Jobs, store: Store, *, keep_inputs: bool = False) -> None:
    """Wipe what is unfinished, end or queue again what ran, drop files that belong to no job.

    Args:
        jobs, store: of the service.
        keep_inputs: scans of jobs that have ended stay, too, while the ledger knows the job.
    """
    store.wipe_unfinished()
    for job in jobs.in_state("running"):
        if store.result(job.id).exists():
            jobs.finish(job, Ending("done", detail={**job.detail, **store.detail(job.id)}))
        elif job.cancel:
            jobs.finish(job, cancelled())
        elif job.attempt >= MAX_ATTEMPTS:
            jobs.finish(job, failed("interrupted", "a job must not be cut off so often"))
        else:
            jobs.requeue(job)
    kept = ("queued", *(ENDED if keep_inputs else ()))
    waiting = {job.id for state in kept for job in jobs.in_state(state)}
    for job_id in store.job_ids("inputs") - waiting:
        store.drop_input(job_id)
    done = {job.id for job in jobs.in_state("done")}
    for job_id in store.job_ids("results") - done:
        store.drop_result(job_id)


def drop_old_bundles(jobs: Jobs, store: Store, models: Iterable[Model]) -> None:
    """Drop copies of bundles that neither a model nor a job that is to be done needs.

    Only before anything is accepted: a request that chose a model may come long before its job.
    """
    waiting = {Path(job.model_folder) for job in jobs.in_state("queued", "running")}
    store.drop_bundles({*waiting, *(model.folder for model in models)})
