"""Thickness of the cortex of a scan: the ribbon of one bundle, the regions of another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fibromorph.errors import ConfigError
from fibromorph.grid import Grid
from fibromorph.labels import FREESURFER
from fibromorph.manifest import COARSE_MM, Bundle, Manifest
from fibromorph.postprocessing.components import keep_main_components
from fibromorph.postprocessing.thickness import (
    Ribbon,
    ThicknessError,
    ThicknessRow,
    measure_thickness,
)
from fibromorph.preprocess import Conformed
from fibromorph.serving.bundles import find_bundle
from fibromorph.serving.engine import Engine

RIBBON_MODEL = "t1-open"
"""Draws the ribbon for bundles whose protocol is not FreeSurfer's."""


@dataclass(frozen=True, eq=False)
class Cortex:
    """What was measured of a scan's cortex.

    Attributes:
        ribbon: name and version of the bundle that drew both surfaces.
        thickness: (i, j, k) float32 in mm on the conformed grid, 0 outside the cortex.
        confidence: mean posterior of the ribbon.
        rows: see `measure_thickness`.
    """

    ribbon: str
    thickness: NDArray[np.float32]
    confidence: float
    rows: tuple[ThicknessRow, ...]


def ribbon_bundle(bundle: Bundle) -> Bundle:
    """The bundle that draws the ribbon beside `bundle`: itself, if its protocol is FreeSurfer's.

    Raises:
        ConfigError: its voxels are of another size, so that both cannot see the same box.
    """
    if bundle.manifest.protocol == FREESURFER.protocol:
        return bundle
    ribbon = find_bundle(RIBBON_MODEL)
    wanted, found = ribbon.manifest.network.spacing_mm, bundle.manifest.network.spacing_mm
    if found != wanted:
        rule = f"thickness takes the ribbon of {RIBBON_MODEL}: a model must work at {wanted:g} mm"
        raise ConfigError(rule, value=f"{found:g} mm", subject=bundle.folder)
    return ribbon


def ribbon_engine(engine: Engine, device: str = "auto") -> Engine:
    """What draws the ribbon beside a loaded bundle: `engine` itself, or one of its own.

    Args:
        engine: of the bundle whose regions are told apart.
        device: see `Engine`.

    Raises:
        ConfigError: see `ribbon_bundle`, `Engine`.
        MissingExtraError, BundleError: see `Engine`.
    """
    bundle = ribbon_bundle(engine.bundle)
    return engine if bundle is engine.bundle else Engine(bundle, device, engine.threads)


def can_measure(bundle: Bundle) -> bool:
    """Whether there is a ribbon for a bundle's regions."""
    try:
        ribbon_bundle(bundle)
    except ConfigError:
        return False
    return True


def measure_cortex(
    engine: Engine,
    ribbon: Engine,
    conformed: Conformed,
    own: Ribbon,
    scan_grid: Grid,
) -> Cortex:
    """Thickness of every region of the cortex.

    Args:
        engine: of the regions.
        ribbon: from `ribbon_engine`.
        conformed: what `engine` has seen.
        own: what it has drawn there: cleaned ids of its table, and their posteriors.
        scan_grid: the scan's own: its voxels say which error holds.
    """
    manifest = engine.bundle.manifest
    drawn = own if ribbon is engine else _drawn_by(ribbon, conformed)
    spacing_mm = conformed.grid.spacing_mm[0]
    thickness = drawn.thickness(spacing_mm, engine.threads)
    error = thickness_error(manifest, scan_grid)
    rows = measure_thickness(thickness, drawn, own.labels, manifest.table, spacing_mm, error)
    return Cortex(ribbon.bundle.manifest.full_name, thickness, drawn.sureness(thickness > 0), rows)


def _drawn_by(engine: Engine, conformed: Conformed) -> Ribbon:
    prediction = engine.segment(conformed.network_input, conformed.brain)
    labels = keep_main_components(prediction.labels, engine.bundle.manifest.table)
    return Ribbon(labels, prediction.confidence)


def thickness_error(manifest: Manifest, grid: Grid) -> ThicknessError:
    """What a bundle knows of the error of thickness on voxels like those of `grid`."""
    known = manifest.thickness
    if known is None:
        return ThicknessError()
    coarse = known.coarse_sd if max(grid.spacing_mm) > COARSE_MM else {}
    return ThicknessError(known.relative_sd | coarse, known.reference_confidence)
