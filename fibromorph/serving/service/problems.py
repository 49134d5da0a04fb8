"""Errors as problems (RFC 9457); the one place where they become statuses."""

from __future__ import annotations

import errno
from http import HTTPStatus

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


def problem_of(error: FibromorphError) -> Problem:
    """An error of the tree, as what a user of the service reads."""
    return Problem(
        title=_title(status_of(error)),
        status=status_of(error),
        detail=_sendable(str(error)[:600]),
        rule=error.rule,
        value=None if error.value is None else _sendable(str(error.value)[:200]),
        subject=error.subject,
    )


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
