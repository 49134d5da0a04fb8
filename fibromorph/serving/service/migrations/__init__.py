"""Revisions of the ledger's schema, run by alembic when the database is opened."""
