"""Where MLflow keeps its runs, and what is said where it cannot be used."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from mlflow import MlflowClient
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES
from mlflow.exceptions import MlflowException
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from fibromorph.errors import ConfigError
from fibromorph.text import without_credentials

DEFAULT_TRACKING_URI = "sqlite:///mlflow.db"


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI` if it is set, else a database file in the working directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_TRACKING_URI


def require_store(uri: str) -> None:
    """See that MLflow's store is there and usable, before anything long begins.

    Raises:
        ConfigError: it is not; what the URI may hold of a user and a password is left out.
    """
    with refusing(uri), hardly_a_retry():
        if uri.startswith("sqlite"):
            _open_for_writing(uri)
        MlflowClient(uri).search_experiments(max_results=1)


@contextmanager
def refusing(uri: str) -> Iterator[None]:
    """Turn what MLflow raises into one `ConfigError`."""
    rule = "MLflow must be able to use its store (MLFLOW_TRACKING_URI)"
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise ConfigError(rule, value=error, subject=shown(uri)) from error
    except (MlflowException, SQLAlchemyError, ImportError, ValueError) as error:
        # Their texts may repeat the URI.
        kind = type(error).__name__
        raise ConfigError(rule, value=kind, subject=shown(uri)) from error


def shown(uri: str) -> str:
    """A URI without user, password and query."""
    return without_credentials(uri).partition("?")[0]


def _open_for_writing(uri: str) -> None:
    """What MLflow would do with a file, which it tries for minutes where it cannot."""
    file = make_url(uri).database
    if not file or file == ":memory:":
        return
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(file, timeout=60)) as database:
        database.execute("BEGIN IMMEDIATE")
        database.rollback()


@contextmanager
def hardly_a_retry() -> Iterator[None]:
    """A server that is not there shall be missed at once; one that is gone later, waited for."""
    usual = MLFLOW_HTTP_REQUEST_MAX_RETRIES.get()
    MLFLOW_HTTP_REQUEST_MAX_RETRIES.set(min(usual, 1))
    try:
        yield
    finally:
        MLFLOW_HTTP_REQUEST_MAX_RETRIES.set(usual)
