"""What is measured of every scan beyond volumes: settled when the service starts, kept with jobs.

A job that waits while the service is started anew, with other settings, is measured as it was
promised when it was accepted: its content, by which results are shared, says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fibromorph.errors import ConfigError, FibromorphError
from fibromorph.postprocessing.atlases import read_atlases
from fibromorph.serving.beyond import require_registration
from fibromorph.serving.extras import NOTHING, Extras
from fibromorph.serving.service.settings import Settings

ATLASES = "atlases"
"""The setting."""


@dataclass(frozen=True)
class Wanted:
    """What is measured beyond volumes.

    Attributes:
        extras: with whole paths of atlases.
        atlases: name and sha256 of each, as `extras` lists them.
    """

    extras: Extras = NOTHING
    atlases: tuple[tuple[str, str], ...] = ()

    @property
    def mark(self) -> str:
        """What tells jobs apart that differ in nothing else; empty where nothing is wanted."""
        # Thickness as it was marked when there was nothing else: results of then are shared on.
        words = ("thickness", "tissue", "vbm")
        marks = [word for word in words if getattr(self.extras, word)]
        marks += [f"{name}:{sha256}" for name, sha256 in sorted(self.atlases)]
        return "".join(f" {mark}" for mark in marks)

    @property
    def as_json(self) -> dict[str, Any]:
        """Plain, for the ledger."""
        return asdict(self)


NO_MORE = Wanted()


def wanted_of(settings: Settings) -> Wanted:
    """What the settings ask for, once it is known to be there.

    Raises:
        ConfigError: SimpleITK is missing, or an atlas cannot be read; two have one name.
    """
    extras = settings.extras
    if extras.registers:
        with _about("vbm" if extras.vbm else ATLASES):
            require_registration()
    with _about(ATLASES):
        atlases = read_atlases(extras.atlases)
    return Wanted(extras, tuple((atlas.name, atlas.sha256) for atlas in atlases))


def wanted_from(kept: Mapping[str, Any]) -> Wanted:
    """What `Wanted.as_json` wrote."""
    extras = {**kept["extras"], "atlases": tuple(kept["extras"]["atlases"])}
    return Wanted(Extras(**extras), tuple((name, sha256) for name, sha256 in kept["atlases"]))


def atlas_folders(extras: Extras) -> set[str]:
    """Where atlases lie that are files: nobody who uses the service is to see it."""
    return {str(Path(source).parent) for source in extras.atlases} - {".", "/"}


@contextmanager
def _about(setting: str) -> Iterator[None]:
    """Tell what is wrong of a setting: elsewhere it is an option's, or nothing's."""
    try:
        yield
    except FibromorphError as error:
        subject = setting if error.subject in ("", "--atlas") else error.subject
        raise ConfigError(error.rule, value=error.value, subject=subject) from error
