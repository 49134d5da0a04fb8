"""Run by alembic: migrate the connection that the service, or the command line, hands over."""

from __future__ import annotations

from alembic import context

from fibromorph.serving.service.ledger.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
