"""The connection to the ledger: SQLite in WAL mode, or PostgreSQL, migrated when opened."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.orm import Session

from fibromorph.errors import ConfigError

MIGRATIONS = Path(__file__).parents[1] / "migrations"
BUSY_MILLISECONDS = 10_000


AWAY = (OperationalError, InterfaceError, InternalError, NoConnection)
"""Errors of a database that is away, or is a replica that takes no changes for a moment."""


class Database:
    """Sessions on the ledger.

    One process serves the ledger (the store's lock sees to that), so writers take turns on a lock;
    `fibromorph keys` beside it is held off by the database's own.

    Args:
        url: SQLAlchemy URL.

    Raises:
        ConfigError: the URL is wrong or the database cannot be reached or migrated.
    """

    def __init__(self, url: str) -> None:
        try:
            place = make_url(_with_driver(url))
            self._engine = create_engine(
                place, pool_pre_ping=True, hide_parameters=True, connect_args=_patience(place)
            )
            if self._engine.dialect.name == "sqlite":
                _keep_private(self._engine.url.database)
                _set_up_sqlite(self._engine)
            migrate(self._engine)
        except ValueError as error:  # whose text may hold a part of a password
            rule = "must be a URL, what is special in a password percent-encoded"
            raise ConfigError(rule, subject="database_url") from error
        except (SQLAlchemyError, ModuleNotFoundError) as error:
            rule = "the ledger's database must be reachable"
            raise ConfigError(rule, value=error, subject="database_url") from error
        self._writing = threading.Lock()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session to look things up; what it returns stays usable afterwards."""
        with Session(self._engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session whose changes are kept, all of them, unless an exception leaves it."""
        engine = self._engine.execution_options(immediate=True)
        with self._writing, Session(engine, expire_on_commit=False) as session, session.begin():
            yield session

    def ping(self) -> None:
        """See that the database answers.

        Raises:
            SQLAlchemyError: it does not.
        """
        with self._engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1")

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()


def migrate(engine: Engine) -> None:
    """Bring the schema to the newest revision."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _with_driver(url: str) -> str:
    """`postgresql://` means psycopg 3, which is what the 'postgres' extra brings.

    Raises:
        ValueError: what is special in a password is not percent-encoded.
    """
    scheme, separator, rest = url.partition("://")
    if scheme in ("postgres", "postgresql"):
        scheme = "postgresql+psycopg"
    password = rest.partition("?")[0].partition(":")[2].rpartition("@")[0]
    if scheme.startswith("postgresql") and "@" in password:
        # The driver would take a part of it for the host, and tell it.
        raise ValueError
    return f"{scheme}{separator}{rest}"


def _patience(url: URL) -> dict[str, int]:
    """How long libpq waits for a host that no longer answers, unless the URL says it."""
    waits = {"connect_timeout": 10, "tcp_user_timeout": 30_000}
    if not url.drivername.startswith("postgresql+psycopg"):
        return {}
    return {name: value for name, value in waits.items() if name not in url.query}


def _keep_private(file: str | None) -> None:
    """A new file is its owner's alone, wherever it lies; SQLite's others beside it follow it."""
    if file and not file.startswith((":memory:", "file:")):
        # What is wrong with the place SQLite says.
        with suppress(OSError):
            Path(file).touch(mode=0o600)


def _set_up_sqlite(engine: Engine) -> None:
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)


def _on_connect(connection: Any, _: object) -> None:
    # The driver would begin transactions by its own rules; `_on_begin` does it by ours.
    connection.isolation_level = None
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={BUSY_MILLISECONDS}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _on_begin(connection: Connection) -> None:
    # A transaction that reads first and writes later could not be upgraded in WAL mode.
    immediate = connection.get_execution_options().get("immediate")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
