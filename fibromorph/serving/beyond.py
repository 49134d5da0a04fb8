"""What comes out of a scan beyond volumes: its cortex's thickness, maps of its tissue in MNI
coordinates, its brain and tissue on its own voxels."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from fibromorph.errors import MissingExtraError
from fibromorph.serving.engine import Engine
from fibromorph.serving.ribbon import ribbon_engine


@dataclass(frozen=True, eq=False)
class BeyondVolumes:
    """What to measure, and what draws what it is measured of.

    Attributes:
        ribbon: see `ribbon_engine`; where nothing needs one, what draws the regions.
        thickness: of the cortex, see `measure_cortex`.
        mni_maps: see `map_tissue`.
        tissue: see `draw_brain`.
    """

    ribbon: Engine
    thickness: bool = False
    mni_maps: bool = False
    tissue: bool = False


def beyond_volumes(
    engine: Engine,
    device: str = "auto",
    *,
    thickness: bool = False,
    vbm: bool = False,
    tissue: bool = False,
) -> BeyondVolumes | None:
    """What a loaded bundle is to measure beyond volumes; None = nothing.

    Args:
        engine: the bundle.
        device: see `ribbon_engine`.
        thickness, vbm, tissue: what is wanted.

    Raises:
        MissingExtraError: SimpleITK is not installed.
        ConfigError, BundleError: see `ribbon_engine`.
    """
    if not (thickness or vbm or tissue):
        return None
    if vbm:
        require_registration()
    ribbon = ribbon_engine(engine, device) if thickness or vbm else engine
    return BeyondVolumes(ribbon, thickness, vbm, tissue)


def require_registration() -> None:
    """Refuse before anything is computed.

    Raises:
        MissingExtraError: SimpleITK, by which maps are made, is not installed.
    """
    if find_spec("SimpleITK") is None:
        raise MissingExtraError("vbm", "SimpleITK")
