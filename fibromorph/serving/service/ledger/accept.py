"""Taking a job in: what is known already, whether there is room, whose turn it will be."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fibromorph.serving.service.ledger.tables import IdempotencyKey, Job, Kind
from fibromorph.serving.service.problems import Refusal

RETRY_SECONDS = 30


def new_id() -> str:
    """A name that the server makes and nobody can guess."""
    return uuid4().hex


@dataclass(frozen=True)
class Request:
    """What is asked for; see `Job` for the fields."""

    kind: Kind
    owner: str
    content: str
    label: str = ""
    priority: int = 0
    model_name: str = ""
    model_version: str = ""
    model_sha256: str = ""
    model_folder: str = ""
    detail: dict[str, Any] = field(default_factory=dict)
    idempotency_key: str = ""

    @property
    def fingerprint(self) -> str:
        """What two requests with the same idempotency key must share."""
        return hashlib.sha256(f"{self.kind} {self.content} {self.label}".encode()).hexdigest()


def check_room(session: Session, queue_length: int) -> None:
    """Refuse a job that the queue has no room for.

    Raises:
        Refusal: 429.
    """
    waiting = session.scalar(select(func.count()).where(Job.state == "queued")) or 0
    if waiting >= queue_length:
        rule = f"at most {queue_length} jobs may wait: try again later"
        raise Refusal(429, rule, value=waiting, subject="queue", retry_after=RETRY_SECONDS)


def is_known(session: Session, owner: str, idempotency_key: str) -> bool:
    """Whether this owner's key has made a job before."""
    return session.get(IdempotencyKey, (owner, idempotency_key)) is not None


def by_idempotency_key(session: Session, request: Request) -> Job | None:
    """The job that this owner's key made before.

    Raises:
        Refusal: 422, it made another one.
    """
    if not request.idempotency_key:
        return None
    entry = session.get(IdempotencyKey, (request.owner, request.idempotency_key))
    if entry is None:
        return None
    job = session.get(Job, entry.job_id)
    # Older versions wrote down the content alone.
    older = entry.fingerprint == request.content and job is not None and job.label == request.label
    if entry.fingerprint != request.fingerprint and not older:
        rule = "an Idempotency-Key must not be used again for another request"
        raise Refusal(422, rule, subject="Idempotency-Key")
    return job


def by_content(session: Session, request: Request) -> Job | None:
    """The same scan of the same owner under the same label, unless it did not end well."""
    query = select(Job).where(
        Job.owner == request.owner,
        Job.content == request.content,
        Job.label == request.label,
        Job.state.in_(("queued", "running", "done")),
        Job.cancel.is_(False),
    )
    return session.scalars(query.limit(1)).first()


def remember_key(session: Session, request: Request, job_id: str) -> None:
    """Let the request's idempotency key, if it has one, stand for a job from now on."""
    key = (request.owner, request.idempotency_key)
    if request.idempotency_key and session.get(IdempotencyKey, key) is None:
        entry = IdempotencyKey(
            owner=request.owner,
            key=request.idempotency_key,
            fingerprint=request.fingerprint,
            job_id=job_id,
            created_at=time.time(),
        )
        session.add(entry)


def next_turn(session: Session, request: Request) -> int:
    """One after the owner's latest turn, and never before the round that is being served."""
    waiting = select(func.min(Job.turn)).where(
        Job.state.in_(("queued", "running")), Job.priority == request.priority
    )
    latest = select(func.max(Job.turn)).where(
        Job.owner == request.owner,
        Job.priority == request.priority,
        Job.state.in_(("queued", "running")),
    )
    current, own = session.scalar(waiting) or 0, session.scalar(latest)
    return current if own is None else max(own + 1, current)


def new_job(job_id: str, request: Request, turn: int) -> Job:
    """A queued job, not yet added."""
    given = {k: v for k, v in vars(request).items() if k != "idempotency_key"}
    return Job(
        **given,
        id=job_id,
        state="queued",
        turn=turn,
        attempt=0,
        deaths=0,
        cancel=False,
        created_at=time.time(),
    )
