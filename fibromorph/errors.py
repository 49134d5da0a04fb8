"""The one exception tree: everything a user is told about bad input comes from here."""

from __future__ import annotations

import math
from pathlib import Path


class FibromorphError(Exception):
    """An input that breaks a rule.

    Args:
        rule: what must hold, as a sentence that also says what to do when that is not obvious.
        value: what was found instead; left out of the message when None.
        subject: the file, option, row or column it was found in.
    """

    def __init__(self, rule: str, *, value: object = None, subject: str | Path = "") -> None:
        super().__init__(rule, value, subject)
        self.rule = rule
        self.value = value
        self.subject = str(subject)

    def __str__(self) -> str:
        found = "" if self.value is None else f" (found: {self.value})"
        where = f"{self.subject}: " if self.subject else ""
        return f"{where}{self.rule}{found}"

    def __reduce__(self) -> tuple[object, ...]:
        """Errors travel from worker processes; what was found travels as text."""
        value = None if self.value is None else str(self.value)
        return _arrived, (type(self), self.rule, value, self.subject)


def _arrived(
    kind: type[FibromorphError], rule: str, value: str | None, subject: str
) -> FibromorphError:
    error = kind.__new__(kind)
    FibromorphError.__init__(error, rule, value=value, subject=subject)
    return error


class ScanError(FibromorphError):
    """A scan that cannot be read, or whose header or content makes a result meaningless."""


class LabelError(FibromorphError):
    """A label image or label table that does not fit the protocol it is used with."""


class BundleError(FibromorphError):
    """A model bundle that is missing, damaged, or not what its manifest promises."""


class ConfigError(FibromorphError):
    """A command-line option or configuration value out of its range."""


class TableError(FibromorphError):
    """A table (participants, volumes) with a missing, duplicated or unreadable cell."""


class MissingExtraError(FibromorphError):
    """A command that needs packages which the base install leaves out."""

    def __init__(self, extra: str, module: str) -> None:
        super().__init__(
            f"this command needs the '{extra}' extra; where fibromorph was installed from:"
            f' pip install -c constraints.txt ".[{extra}]"',
            value=f"no module {module}",
        )


def require_amount(value: float, subject: str) -> None:
    """See that a setting is a number of 0 or more.

    Raises:
        ConfigError: it is below 0, infinite or not a number.
    """
    if not 0 <= value < math.inf:
        raise ConfigError("must be 0 or more, and finite", value=value, subject=subject)
