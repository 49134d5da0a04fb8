"""The audit log: who did what, to what, when."""

from __future__ import annotations

import time

from sqlalchemy import select
from sqlalchemy.orm import Session

from fibromorph.serving.service.ledger.database import Database
from fibromorph.serving.service.ledger.tables import AuditEntry


def note(session: Session, actor: str, action: str, subject: str, detail: str = "") -> None:
    """Add a line within the transaction that it is about."""
    entry = AuditEntry(at=time.time(), actor=actor, action=action, subject=subject, detail=detail)
    session.add(entry)


class Audit:
    """Lines that belong to no other transaction, and reading them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, actor: str, action: str, subject: str = "", detail: str = "") -> None:
        """Add a line."""
        with self._database.write() as session:
            note(session, actor, action, subject, detail)

    def latest(self, limit: int = 100) -> list[AuditEntry]:
        """The newest lines first."""
        with self._database.read() as session:
            query = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(limit)
            return list(session.scalars(query))
