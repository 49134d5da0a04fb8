"""What the ledger knows of jobs: every change of state is one transaction here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import aliased

from fibromorph.serving.service.ledger.accept import (
    Request,
    by_content,
    by_idempotency_key,
    check_room,
    is_known,
    new_job,
    next_turn,
    remember_key,
)
from fibromorph.serving.service.ledger.audit import note
from fibromorph.serving.service.ledger.database import Database
from fibromorph.serving.service.ledger.tables import ENDED, IdempotencyKey, Job, Kind, State

ORDER = (Job.priority, Job.turn, Job.created_at, Job.id)


@dataclass(frozen=True)
class Ending:
    """How a job ended."""

    state: State
    reason: str | None = None
    problem: dict[str, Any] | None = None
    detail: dict[str, Any] = field(default_factory=dict)


class Jobs:
    """The jobs of a ledger.

    Args:
        database: open and migrated.
        queue_length: queued jobs beyond which none is accepted.
    """

    def __init__(self, database: Database, queue_length: int) -> None:
        self._database = database
        self._queue_length = queue_length

    def check_room(self, owner: str, idempotency_key: str = "") -> None:
        """Refuse early, before a body is read, unless the key has made a job already.

        Raises:
            Refusal: 429, the queue is full.
        """
        with self._database.read() as session:
            if not is_known(session, owner, idempotency_key):
                check_room(session, self._queue_length)

    def accept(self, job_id: str, request: Request) -> tuple[Job, bool]:
        """Record a job, or find the one that the same owner sent before.

        Owners take turns: a job's `turn` is one after the owner's latest, and never before the
        round that is being served, so that a thousand jobs of one owner delay another's first by
        one job at most.

        Returns:
            The job, and True if it is new.

        Raises:
            Refusal: 422, the idempotency key was used for something else; 429, the queue is full.
        """
        with self._database.write() as session:
            known = by_idempotency_key(session, request) or by_content(session, request)
            if known is not None:
                remember_key(session, request, known.id)
                return known, False
            check_room(session, self._queue_length)
            job = new_job(job_id, request, next_turn(session, request))
            session.add(job)
            remember_key(session, request, job.id)
            note(session, request.owner, "accepted", job.id, request.kind)
            return job, True

    def start_next(self) -> Job | None:
        """The job whose turn it is, now running; None if there is none.

        A job waits while another with the same content runs: afterwards its result is there.
        """
        other = aliased(Job)
        running = select(other.content).where(other.state == "running")
        query = select(Job).where(Job.state == "queued", Job.content.not_in(running))
        with self._database.write() as session:
            job = session.scalars(query.order_by(*ORDER).limit(1)).first()
            if job is not None:
                job.state, job.started_at, job.attempt = "running", time.time(), job.attempt + 1
            return job

    def finish(self, job: Job, ending: Ending) -> bool:
        """Record how an attempt ended; False if the job is no longer on that attempt."""
        values = {**vars(ending), "ended_at": time.time()}
        if not ending.detail:
            values.pop("detail")
        with self._database.write() as session:
            changed = session.execute(_this_attempt(job).values(**values)).rowcount  # type: ignore[attr-defined]
            if changed:
                note(session, "service", ending.state, job.id, ending.reason or "")
            return bool(changed)

    def requeue(self, job: Job, *, died: bool = False) -> bool:
        """Let a running job wait again; `died` counts a worker against it.

        Returns:
            False where it is no longer on that attempt, or is to be cancelled: the next attempt
            would not know that.
        """
        deaths = Job.deaths + int(died)
        goes_on = _this_attempt(job).where(Job.cancel.is_(False))
        with self._database.write() as session:
            changed = session.execute(goes_on.values(state="queued", deaths=deaths)).rowcount  # type: ignore[attr-defined]
            return bool(changed)

    def request_cancel(self, job_id: str, actor: str) -> Job | None:
        """End a queued job, mark a running one; None if there is no such job."""
        with self._database.write() as session:
            job = session.get(Job, job_id)
            if job is None or job.has_ended:
                return job
            job.cancel = True
            if job.state == "queued":
                job.state, job.reason, job.ended_at = "cancelled", "cancelled", time.time()
            note(session, actor, "cancel", job_id)
            return job

    def forget(self, job_id: str, actor: str, why: str) -> None:
        """Drop a job's row and its idempotency keys; the audit log keeps that it was there."""
        with self._database.write() as session:
            session.execute(delete(IdempotencyKey).where(IdempotencyKey.job_id == job_id))
            session.execute(delete(Job).where(Job.id == job_id))
            note(session, actor, "purged", job_id, why)

    def get(self, job_id: str, owner: str | None) -> Job | None:
        """A job of `owner`, or of anybody if None."""
        with self._database.read() as session:
            job = session.get(Job, job_id)
            return job if job is not None and owner in (None, job.owner) else None

    def find(
        self,
        owner: str | None,
        kind: Kind,
        states: Sequence[str] = (),
        limit: int = 50,
        before: float | None = None,
        label: str = "",
    ) -> list[Job]:
        """Jobs, newest first; `before` is the `created_at` of the last one of the page before."""
        query = select(Job).where(Job.kind == kind)
        query = query.where(Job.owner == owner) if owner is not None else query
        query = query.where(Job.state.in_(states)) if states else query
        query = query.where(Job.label == label) if label else query
        query = query.where(Job.created_at < before) if before is not None else query
        with self._database.read() as session:
            return list(session.scalars(query.order_by(Job.created_at.desc()).limit(limit)))

    def in_state(self, *states: State) -> list[Job]:
        """All jobs in these states."""
        with self._database.read() as session:
            return list(session.scalars(select(Job).where(Job.state.in_(states))))

    def ended_before(self, when: float) -> list[Job]:
        """Jobs whose results have outlived their time if that began at `when`."""
        query = select(Job).where(Job.state.in_(ENDED), Job.ended_at < when)
        with self._database.read() as session:
            return list(session.scalars(query))

    def twin(self, job: Job) -> Job | None:
        """A finished job with the same content, whose result can be taken over."""
        query = select(Job).where(Job.content == job.content, Job.state == "done", Job.id != job.id)
        with self._database.read() as session:
            return session.scalars(query.order_by(Job.ended_at.desc()).limit(1)).first()

    def position(self, job: Job) -> int | None:
        """How many jobs go before a queued one; None for others."""
        if job.state != "queued":
            return None
        earlier = or_(
            Job.priority < job.priority,
            (Job.priority == job.priority) & (Job.turn < job.turn),
            (Job.priority == job.priority)
            & (Job.turn == job.turn)
            & (Job.created_at < job.created_at),
        )
        query = select(func.count()).where(Job.state == "queued", earlier)
        with self._database.read() as session:
            return session.scalar(query)

    def counts(self) -> list[tuple[str, str, str, int]]:
        """How many jobs there are by kind, state and reason."""
        query = select(Job.kind, Job.state, Job.reason, func.count()).group_by(
            Job.kind, Job.state, Job.reason
        )
        with self._database.read() as session:
            return [(k, s, r or "", n) for k, s, r, n in session.execute(query)]


def _this_attempt(job: Job) -> Any:
    return update(Job).where(Job.id == job.id, Job.attempt == job.attempt, Job.state == "running")
