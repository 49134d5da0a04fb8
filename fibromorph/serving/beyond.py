"""What comes out of a scan beyond volumes: its cortex's thickness, maps of its tissue in MNI
coordinates, its brain and tissue on its own voxels, and the regions of atlases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from fibromorph.errors import MissingExtraError
from fibromorph.postprocessing.atlases import PlacedAtlas, place, read_atlases
from fibromorph.serving.engine import Engine
from fibromorph.serving.extras import NOTHING, Extras
from fibromorph.serving.ribbon import ribbon_engine


@dataclass(frozen=True, eq=False)
class BeyondVolumes:
    """What to measure, and what draws what it is measured of.

    Attributes:
        ribbon: see `ribbon_engine`; where nothing needs one, what draws the regions.
        thickness: of the cortex, see `measure_cortex`.
        mni_maps: see `MniMaps`.
        tissue: see `draw_brain`.
        atlases: see `divide`.
    """

    ribbon: Engine
    thickness: bool = False
    mni_maps: bool = False
    tissue: bool = False
    atlases: tuple[PlacedAtlas, ...] = ()

    @property
    def registers(self) -> bool:
        """Whether the head is laid over the average one."""
        return self.mni_maps or bool(self.atlases)


def beyond_volumes(
    engine: Engine, device: str = "auto", extras: Extras = NOTHING
) -> BeyondVolumes | None:
    """What a loaded bundle is to measure beyond volumes; None = nothing.

    Args:
        engine: the bundle.
        device: see `ribbon_engine`.
        extras: what is wanted.

    Raises:
        MissingExtraError: SimpleITK is not installed.
        ConfigError, BundleError: see `ribbon_engine`.
        ConfigError, LabelError, TableError: see `placed_atlases`.
    """
    if not extras:
        return None
    if extras.registers:
        require_registration("atlases" if extras.atlases else "vbm")
    atlases = placed_atlases(extras.atlases)
    ribbon = ribbon_engine(engine, device) if extras.thickness or extras.registers else engine
    return BeyondVolumes(ribbon, extras.thickness, extras.vbm, extras.tissue, atlases)


def placed_atlases(sources: Sequence[str]) -> tuple[PlacedAtlas, ...]:
    """Atlases on the average head.

    Raises:
        ConfigError, LabelError, TableError: see `read_atlases`, `place`.
    """
    return tuple(place(atlas) for atlas in read_atlases(sources))


def require_registration(extra: str = "vbm") -> None:
    """Refuse before anything is computed.

    Args:
        extra: that brings what is needed.

    Raises:
        MissingExtraError: SimpleITK, which lays heads over the average one, is not installed.
    """
    if find_spec("SimpleITK") is None:
        raise MissingExtraError(extra, "SimpleITK")
