"""The tables of the ledger. Times are seconds since the epoch, UTC."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import JSON, Index, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

State = Literal["queued", "running", "done", "failed", "cancelled"]
Kind = Literal["scan", "study"]
ENDED: tuple[State, ...] = ("done", "failed", "cancelled")


class Base(DeclarativeBase):
    """What alembic compares the database with."""

    type_annotation_map = {dict[str, Any]: JSON, list[str]: JSON}  # noqa: RUF012


class Job(Base):
    """One accepted scan or study, from 202 until it is forgotten.

    Attributes:
        owner: who sent it: id of a key, 'oidc:<subject>', or 'local'.
        label: what the sender calls it: a participant's id, perhaps.
        priority: 0 for single scans, 1 for cohorts; smaller goes first.
        turn: place in the round of all owners, see `Jobs.accept`.
        attempt: counts starts; a result of an older attempt is never published.
        deaths: how many of its workers died.
        content: sha256 of what was sent, with the bundle's: equal content, equal result.
        reason: why it failed, as a word for metrics.
        problem: why it failed, as problem+json.
        detail: seconds by stage, quality, and for studies the request.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        Index("jobs_by_turn", "state", "priority", "turn"),
        Index("jobs_by_owner", "owner", "created_at"),
        Index("jobs_by_content", "content"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    kind: Mapped[str] = mapped_column(String(8))
    owner: Mapped[str] = mapped_column(String(128))
    label: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(12))
    priority: Mapped[int]
    turn: Mapped[int]
    attempt: Mapped[int] = mapped_column(default=0)
    deaths: Mapped[int] = mapped_column(default=0)
    cancel: Mapped[bool] = mapped_column(default=False)
    content: Mapped[str] = mapped_column(String(64))
    model_name: Mapped[str] = mapped_column(String(128))
    model_version: Mapped[str] = mapped_column(String(64))
    model_sha256: Mapped[str] = mapped_column(String(64))
    model_folder: Mapped[str] = mapped_column(Text)
    created_at: Mapped[float]
    started_at: Mapped[float | None]
    ended_at: Mapped[float | None]
    reason: Mapped[str | None] = mapped_column(String(32))
    problem: Mapped[dict[str, Any] | None]
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED


class IdempotencyKey(Base):
    """An `Idempotency-Key` that was answered, and with which job."""

    __tablename__ = "idempotency_keys"

    owner: Mapped[str] = mapped_column(String(128), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    job_id: Mapped[str] = mapped_column(String(32), index=True)
    created_at: Mapped[float]


class ApiKey(Base):
    """A key that may come in; its secret is kept as an scrypt hash alone."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    salt: Mapped[str] = mapped_column(String(32))
    hash: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[list[str]]
    created_at: Mapped[float]
    expires_at: Mapped[float | None]
    revoked_at: Mapped[float | None]


class AuditEntry(Base):
    """Who did what to which job or key, and when."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at: Mapped[float] = mapped_column(index=True)
    actor: Mapped[str] = mapped_column(String(128))
    action: Mapped[str] = mapped_column(String(32))
    subject: Mapped[str] = mapped_column(String(64))
    detail: Mapped[str] = mapped_column(Text, default="")
