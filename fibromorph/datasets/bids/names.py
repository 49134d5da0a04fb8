"""File names of the Brain Imaging Data Structure: `key-value_key-value_suffix.extension`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_LABEL = r"[a-zA-Z0-9+]+"
_NAME = re.compile(rf"(?P<entities>(?:[a-z]+-{_LABEL}_)+)(?P<suffix>[a-zA-Z0-9]+)(?P<rest>\.\S+)")
SUBJECT_FOLDER = re.compile(rf"sub-{_LABEL}")
SESSION_FOLDER = re.compile(rf"ses-{_LABEL}")


@dataclass(frozen=True)
class BidsName:
    """A file name, taken apart.

    Attributes:
        entities: key -> label, in the order of the name: {'sub': '01', 'run': '1'}.
        suffix: what the file shows, such as 'T1w'.
        extension: with its dots, such as '.nii.gz'.
    """

    entities: Mapping[str, str]
    suffix: str
    extension: str

    @property
    def subject(self) -> str:
        """'sub-01'."""
        return f"sub-{self.entities['sub']}"

    @property
    def session(self) -> str | None:
        """'ses-01', or None where the data set has no sessions."""
        return f"ses-{self.entities['ses']}" if "ses" in self.entities else None

    @property
    def run(self) -> str | None:
        """What tells the scans of one session apart: 'run-1', 'acq-mprage_run-2', ... or None."""
        rest = [f"{k}-{v}" for k, v in self.entities.items() if k not in ("sub", "ses")]
        return "_".join(rest) or None

    @property
    def stem(self) -> str:
        """All entities, without suffix and extension: 'sub-01_ses-01_run-1'."""
        return "_".join(f"{key}-{label}" for key, label in self.entities.items())


def parse_name(name: str) -> BidsName | None:
    """Take a file name apart; None if it does not follow the standard."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    pairs = [part.split("-", 1) for part in match["entities"].rstrip("_").split("_")]
    entities = dict(pairs)
    if len(entities) < len(pairs) or next(iter(entities)) != "sub":
        return None
    return BidsName(entities, match["suffix"], match["rest"])


def bare_label(text: str, prefix: str) -> str:
    """A label with or without its prefix ('sub-01' or '01') as the bare label ('01')."""
    return text.strip().removeprefix(f"{prefix}-")
