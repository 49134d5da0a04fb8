"""From the name of a scan to participant and session, by a rule that the design file may change."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from fibromorph.errors import TableError

BIDS_RULE = (
    r"^(?P<participant>sub-[A-Za-z0-9]+|[A-Za-z0-9]+(?=_ses-))"
    r"(?:_(?P<session>ses-[A-Za-z0-9]+))?(?:_.*)?$"
)
SUFFIXES = re.compile(r"\.(nii|nii\.gz|mgz)$")
PREFIX = "sub-"
NO_SESSION = ""


@dataclass(frozen=True)
class ScanIds:
    """The rule.

    Attributes:
        rule: regular expression with a group `participant` and, optionally, a group `session`.
            A strict one meets `participant_session` where a table has both columns; otherwise it
            meets the id, and a session column says the session.
        rename: session as found -> session as meant; '' stands for no session.
        strict: an id that the rule does not match is an error, not a participant's whole name.
    """

    rule: str = BIDS_RULE
    rename: Mapping[str, str] = field(default_factory=dict)
    strict: bool = False

    def split(self, participant: str, session: str | None, subject: str) -> tuple[str, str]:
        """(participant with `sub-`, session or '').

        Args:
            participant: a participant's, or a scan's whole name, or a path that ends in it.
            session: what the table's own session column says.
            subject: named in the error.

        Raises:
            TableError: a strict rule does not match.
        """
        name = SUFFIXES.sub("", participant.rstrip("/").rpartition("/")[2])
        whole = f"{name}_{session}" if session and self.strict else name
        match = re.match(self.rule, whole)
        if match is None and self.strict:
            raise TableError(
                f"the scan's name must match sessions.rule {self.rule}",
                value=whole,
                subject=subject,
            )
        found = match.groupdict() if match else {"participant": name, "session": session}
        own = None if self.strict else session
        label = own or found.get("session") or NO_SESSION
        return with_prefix(found["participant"] or name), self.rename.get(label, label)


def with_prefix(participant: str) -> str:
    """The participant as BIDS writes it, so that `01` and `sub-01` are the same person."""
    return participant if participant.startswith(PREFIX) else PREFIX + participant
