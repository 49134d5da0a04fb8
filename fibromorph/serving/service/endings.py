"""How jobs end."""

from __future__ import annotations

from dataclasses import replace

from fibromorph.serving.service.ledger import Ending, Job
from fibromorph.serving.service.problems import plain_problem
from fibromorph.serving.service.work import Outcome


def ending_of(job: Job, outcome: Outcome) -> Ending:
    """What a worker's outcome means for its job."""
    detail = {**job.detail, **outcome.detail}
    if outcome.reason is None:
        return Ending("done", detail=detail)
    if outcome.reason == "cancelled":
        return replace(cancelled(), detail=detail)
    problem = outcome.problem.model_dump(exclude_none=True) if outcome.problem else None
    return Ending("failed", outcome.reason, problem, detail)


def failed(reason: str, rule: str) -> Ending:
    """A failure that is not the scan's own."""
    return Ending("failed", reason, plain_problem(500, rule).model_dump(exclude_none=True))


def cancelled() -> Ending:
    """As someone asked for."""
    return Ending("cancelled", "cancelled")
