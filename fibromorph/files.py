"""Files that are complete or not there, whoever else writes them at the same time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from fibromorph.errors import ConfigError

LONGEST_WHOLE = 48
"""Characters, of up to four bytes each: a name may be as long as its file system allows, and the
temporary one must be no longer."""
SHOWN_OF_LONG, HASHED_OF_LONG = 32, 12
"""Of longer names, whose beginnings may be another's: characters, and digits of their hash."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, whose file is moved into place if all goes well.

    No two writers have the same one, not even in containers that count their processes alike; of
    several, the last to end stays. Where writing fails, nothing of it does.

    Args:
        path: in a folder that exists.

    Yields:
        Where to write to: `.NAME.RANDOM.tmp`; of a long name its beginning and its hash.
    """
    part = path.with_name(f"{_shared_by_parts(path)}{uuid4().hex}.tmp")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file, text as UTF-8, that appears under its name when it is complete."""
    with replacing(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


def drop_parts(path: Path) -> None:
    """Remove what writers of `path` left that were killed; nobody may be writing it now."""
    for part in path.parent.glob(f"{escape(_shared_by_parts(path))}*.tmp"):
        part.unlink(missing_ok=True)


def _shared_by_parts(path: Path) -> str:
    name = path.name
    if len(name) > LONGEST_WHOLE:
        digest = sha256(os.fsencode(name)).hexdigest()
        name = f"{name[:SHOWN_OF_LONG]}.{digest[:HASHED_OF_LONG]}"
    return f".{name}."


def require_folder(folder: Path) -> None:
    """See that results can be written into a folder, before anything is computed for it.

    Raises:
        ConfigError: it, or what it would be made in, is a file or may not be written.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    reason = None if os.access(there, os.W_OK | os.X_OK) else "no permission to write"
    reason = reason if there.is_dir() else "this is a file"
    if reason is not None:
        raise ConfigError("results need a folder to go into", value=reason, subject=there)
