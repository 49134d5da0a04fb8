"""The top of a BIDS tree: is it one, and who is said to be in it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from fibromorph.datasets.bids.names import SUBJECT_FOLDER
from fibromorph.datasets.bids.participants import Participants, read_participants
from fibromorph.errors import ScanError

DESCRIPTION = "dataset_description.json"


@dataclass(frozen=True)
class Dataset:
    """A BIDS tree.

    Attributes:
        root: its folder.
        subjects: names of the subjects' folders, sorted.
        participants: of `participants.tsv`; None where there is none.
    """

    root: Path
    subjects: tuple[str, ...]
    participants: Participants | None


def open_dataset(root: Path) -> Dataset:
    """List the subjects of a BIDS tree.

    Raises:
        ScanError: no such folder, or no `sub-...` folder in it.
        TableError: `participants.tsv` cannot be read.
    """
    if not root.is_dir():
        raise ScanError("BIDS_DIR must be an existing folder", subject=root)
    with os.scandir(root) as entries:
        subjects = sorted(
            entry.name
            for entry in entries
            if SUBJECT_FOLDER.fullmatch(entry.name) and entry.is_dir()
        )
    if not subjects:
        raise ScanError("BIDS_DIR must hold folders named sub-LABEL", value="none", subject=root)
    table = root / "participants.tsv"
    return Dataset(root, tuple(subjects), read_participants(table) if table.exists() else None)


def require_dataset(root: Path) -> None:
    """Refuse a folder that does not say which version of BIDS it follows.

    Raises:
        ScanError: no `dataset_description.json` with `Name` and `BIDSVersion`.
    """
    path = root / DESCRIPTION
    rule = f"a BIDS data set has a {DESCRIPTION} with Name and BIDSVersion (--skip-validation)"
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ScanError(rule, value=error.strerror, subject=path) from error
    except ValueError as error:
        raise ScanError(rule, value="no JSON", subject=path) from error
    missing = [
        key for key in ("Name", "BIDSVersion") if not (isinstance(content, dict) and key in content)
    ]
    if missing:
        raise ScanError(rule, value=f"no {' and no '.join(missing)}", subject=path)
