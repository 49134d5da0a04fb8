"""Where the files of a scan go, and what must not be lost there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path

from fibromorph.errors import ConfigError
from fibromorph.file_names import SCAN, Endings
from fibromorph.files import write_whole
from fibromorph.manifest import file_sha256
from fibromorph.scans import Scan

PACKAGE = "fibromorph"


def paths_of(folder: Path, stem: str, endings: Endings = SCAN) -> dict[str, Path]:
    """Where the files of a scan called `stem` go: what each is -> its path."""
    return {what: folder / f"{stem}{ending}" for what, ending in endings.items()}


def is_own(provenance_path: Path) -> bool:
    """Whether fibromorph wrote a JSON as a scan's provenance."""
    try:
        name: str = json.loads(provenance_path.read_bytes())["generated_by"]["name"]
    except (ValueError, KeyError, TypeError):
        return False
    return name == PACKAGE


def require_own(folder: Path, stem: str) -> None:
    """Refuse to write a scan's provenance over a JSON of the same name, a scanner's sidecar.

    Raises:
        ConfigError: fibromorph did not write it.
    """
    path = paths_of(folder, stem)["provenance"]
    if path.exists() and not is_own(path):
        rule = "a JSON that fibromorph did not write must stay; write into another folder"
        raise ConfigError(rule, value=path.name, subject=path)


def require_same_scan(folder: Path, stem: str, scan: Scan) -> None:
    """Refuse to replace the results of another scan that has the same name.

    Raises:
        ConfigError: by the hash in the provenance they are another scan's.
    """
    _require_input(paths_of(folder, stem)["provenance"], scan.sha256)


def require_same_input(new: Path, old: Path) -> None:
    """Refuse results whose provenance is `new` in the place of another scan's, of `old`.

    Raises:
        ConfigError: see `require_same_scan`.
    """
    sha256 = _input_of(new)
    if sha256 is not None:
        _require_input(old, sha256)


def _require_input(provenance_path: Path, sha256: str) -> None:
    if _input_of(provenance_path) not in (None, sha256):
        rule = "results of another scan of this name must stay; write into another folder"
        raise ConfigError(rule, value=provenance_path.stem, subject=provenance_path)


def _input_of(provenance_path: Path) -> str | None:
    """The hash of the scan that results are of; None where they are nobody's."""
    try:
        return str(json.loads(provenance_path.read_bytes())["input"]["sha256"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def set_in_place(paths: Mapping[str, Path], final: Mapping[str, Path]) -> None:
    """Move the files of a scan to where they belong, all of one folder.

    What is there and not as the provenance there recorded it is set aside, see `set_aside`; what
    an earlier call wrote and this one does not is removed.

    Args:
        paths: what each is, one of them `provenance` -> where it was written.
        final: the same -> where it goes.
    """
    names = {path.name for path in final.values()}
    for name, sha256 in _written_before(final["provenance"]).items():
        other = final["provenance"].with_name(name)
        set_aside(other, sha256)
        if name not in names:
            other.unlink(missing_ok=True)
    # The provenance last: what it names is there.
    for what in sorted(paths, key=lambda what: what == "provenance"):
        os.replace(paths[what], final[what])


def own(provenance_path: Path, files: Sequence[Path]) -> None:
    """Record the names that files have here, and their hashes, in their provenance."""
    content = json.loads(provenance_path.read_bytes())
    others = (path for path in files if path != provenance_path)
    content["outputs"] = {path.name: file_sha256(path) for path in others}
    write_whole(provenance_path, json.dumps(content, indent=2) + "\n")


def _written_before(provenance_path: Path) -> dict[str, str]:
    """File name -> its hash as an earlier call wrote it; empty where nothing is known."""
    try:
        known = json.loads(provenance_path.read_bytes())["outputs"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {Path(name).name: str(sha256) for name, sha256 in known.items()}


def set_aside(path: Path, sha256: str) -> None:
    """Rename a file that is not what was recorded, `NAME.edited.nii.gz`: somebody worked on it."""
    if not path.is_file() or file_sha256(path) == sha256:
        return
    stem, _, suffix = path.name.partition(".")
    free = (path.with_name(f"{stem}.edited{n or ''}.{suffix}") for n in count())
    path.rename(next(other for other in free if not other.exists()))
