"""From the name of a scan to participant and session, by a rule that the design file may change."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fibromorph.errors import TableError

BIDS_RULE = (
    r"^(?P<participant>sub-[A-Za-z0-9]+|[A-Za-z0-9]+(?=_ses-))"
    r"(?:_(?P<session>ses-[A-Za-z0-9]+))?(?:_.*)?$"
)
SUFFIXES = re.compile(r"\.(nii|nii\.gz|mgz)$")
PREFIX = "sub-"
NO_SESSION = ""


SAYING_WHEN = {
    1: re.compile(r"pre|vor|before|base|bl$|t?0+$", re.IGNORECASE),
    4: re.compile(r"follow|fu|nachbeob|nachunters|katamn", re.IGNORECASE),
    3: re.compile(r"post|nach|after", re.IGNORECASE),
}
"""Place in time -> how names of sessions begin that say it; 2 = the others, 0 = no session."""


def in_time(sessions: Iterable[str]) -> list[str]:
    """Sessions as their names tell: none, before, numbers as numbers, after, followed up."""

    def when(session: str) -> tuple[int, list[tuple[int, str, str]], str]:
        name = session.removeprefix("ses-")
        said = next((n for n, rule in SAYING_WHEN.items() if rule.match(name)), 2)
        parts = re.findall(r"0*(\d+)|(\D+)", name)
        return (said if name else 0), [(len(n), n, text) for n, text in parts], session

    return sorted(set(sessions), key=when)


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

    def split(
        self, participant: str, session: str | None, subject: str, *, person: bool = False
    ) -> tuple[str, str]:
        """(participant with `sub-`, session or '').

        Args:
            participant: a participant's, or a scan's whole name, or a path that ends in it.
            session: what the table's own session column says.
            subject: named in the error.
            person: it may be a participant's plain id, which a rule for names of scans need not
                match.

        Raises:
            TableError: a strict rule does not match.
        """
        name = SUFFIXES.sub("", participant.rstrip("/").rpartition("/")[2])
        whole = f"{name}_{session}" if session and self.strict else name
        match = re.match(self.rule, whole)
        if match is None and self.strict and not person:
            raise TableError(
                f"the scan's name must match sessions.rule {self.rule}",
                value=whole,
                subject=subject,
            )
        found = match.groupdict() if match else {"participant": name, "session": session}
        own = None if self.strict and match else session
        label = own or found.get("session") or NO_SESSION
        return with_prefix(found["participant"] or name), self.rename.get(label, label)


def with_prefix(participant: str) -> str:
    """The participant as BIDS writes it, so that `01` and `sub-01` are the same person."""
    return participant if participant.startswith(PREFIX) else PREFIX + participant
