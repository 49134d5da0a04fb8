"""Writing results so that nothing half-written is ever seen."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from fibromorph.errors import ConfigError


def write_text(path: Path, text: str) -> None:
    """Write under a temporary name in the same folder and move into place."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as reason:
        temporary.unlink(missing_ok=True)
        raise ConfigError("the output must be writable", value=reason, subject=path) from None


def as_tsv(table: pd.DataFrame) -> str:
    """Tab-separated text; missing cells are n/a, numbers keep 6 significant digits."""
    return table.to_csv(sep="\t", index=False, na_rep="n/a", float_format="%.6g")


@contextmanager
def folder_in_one_move(out: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `out`; its files replace those of the same name at the end.

    On an error the temporary folder is removed and `out` is untouched.

    Raises:
        ConfigError: `out` is a file, or the place cannot be written to.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError("--out must be a folder", value="a file", subject=out)
    made = _missing_parents(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as reason:
        raise ConfigError("the output must be writable", value=reason, subject=out) from None
    try:
        yield work
        _move(work, out)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        for folder in made:
            folder.rmdir()
        raise
    shutil.rmtree(work, ignore_errors=True)


def _missing_parents(out: Path) -> list[Path]:
    return [p for p in out.absolute().parents if not p.exists()]


def _move(work: Path, out: Path) -> None:
    if not out.exists():
        work.chmod(0o755)
        os.replace(work, out)
        return
    for made in sorted(work.iterdir()):
        os.replace(made, out / made.name)
