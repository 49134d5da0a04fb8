"""Errors as problems (RFC 9457); the one place where they become statuses."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path

from pydantic import BaseModel, Field

from fibromorph.errors import (
    BundleError,
    ConfigError,
    FibromorphError,
    LabelError,
    ScanError,
    TableError,
)
from fibromorph.scans.read import ACCEPTED

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
OF_WHAT_WAS_SENT = (ScanError, LabelError, TableError, BundleError, ConfigError)
RETRY_AFTER = 10
"""Seconds after which a service that starts, drains or has lost its database may be well."""
LEDGER_AWAY_RULE = "the service's database must answer: try again"
FULL_DISK_RULE = "the service's disk must have room: ask whoever runs it"


class Refusal(FibromorphError):
    """A request that is well-formed but cannot be served: status, and when to try again."""

    def __init__(
        self,
        status: int,
        rule: str,
        *,
        value: object = None,
        subject: str = "",
        retry_after: int = 0,
    ) -> None:
        super().__init__(rule, value=value, subject=subject)
        self.status = status
        self.retry_after = retry_after


class Problem(BaseModel):
    """What went wrong: the rule, what was found instead, and where."""

    type: str = "about:blank"
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(
        examples=["upload: the gzip stream must be complete: it is truncated, copy the file again"]
    )
    rule: str = Field(
        examples=["the gzip stream must be complete: it is truncated, copy the file again"]
    )
    value: str | None = None
    subject: str = Field("", examples=["upload"])


def problem_of(error: FibromorphError, *folders: str | Path) -> Problem:
    """An error of the tree, as what a user of the service reads.

    Args:
        error: the error.
        folders: of the service's, which no sender is to see: files are named from there on.
    """
    found = None if error.value is None else _cut(str(error.value), folders)
    plain = FibromorphError(
        _cut(error.rule, folders), value=found, subject=_cut(error.subject, folders)
    )
    return Problem(
        title=_title(status_of(error)),
        status=status_of(error),
        detail=_sendable(str(plain)[:600]),
        rule=plain.rule,
        value=None if found is None else _sendable(found[:200]),
        subject=plain.subject,
    )


def _cut(text: str, folders: Iterable[str | Path]) -> str:
    for folder in filter(None, map(str, folders)):
        text = text.replace(f"{folder}/", "").replace(folder, "")
    return text


def _sendable(text: str) -> str:
    """What was found may be no text at all: half a character, say."""
    return text.encode("utf-8", "replace").decode("utf-8")


def plain_problem(status: int, rule: str, subject: str = "") -> Problem:
    """A problem that no exception stands behind."""
    return problem_of(Refusal(status, rule, subject=subject))


def status_of(error: FibromorphError) -> int:
    """The HTTP status of an error."""
    if isinstance(error, Refusal):
        return error.status
    if isinstance(error, ScanError) and error.rule == ACCEPTED:
        return 415
    return 422 if isinstance(error, OF_WHAT_WAS_SENT) else 400


def is_full_disk(error: BaseException) -> bool:
    """True if the disk, or the quota on it, is what failed."""
    return isinstance(error, OSError) and error.errno in NO_SPACE


def _title(status: int) -> str:
    return HTTPStatus(status).phrase
