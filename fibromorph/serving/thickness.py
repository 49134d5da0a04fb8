"""Thickness of the cortex of a scan: the ribbon of one bundle, the regions of another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fibromorph.grid import Grid
from fibromorph.manifest import COARSE_MM, Manifest
from fibromorph.postprocessing.thickness import (
    ThicknessError,
    ThicknessRow,
    measure_thickness,
)
from fibromorph.serving.engine import Engine
from fibromorph.serving.ribbon import DrawnRibbon


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


def measure_cortex(
    engine: Engine,
    drawn: DrawnRibbon,
    labels: NDArray[np.uint8],
    spacing_mm: float,
    scan_grid: Grid,
) -> Cortex:
    """Thickness of every region of the cortex.

    Args:
        engine: of the regions.
        drawn: both surfaces, on the conformed grid.
        labels: (i, j, k) there, cleaned ids of the table of `engine`.
        spacing_mm: of the conformed grid.
        scan_grid: the scan's own: its voxels say which error holds.
    """
    manifest, ribbon = engine.bundle.manifest, drawn.ribbon
    thickness = ribbon.thickness(spacing_mm, engine.threads)
    error = thickness_error(manifest, scan_grid)
    rows = measure_thickness(thickness, ribbon, labels, manifest.table, spacing_mm, error)
    return Cortex(drawn.by, thickness, ribbon.sureness(thickness > 0), rows)


def known_of_thickness(manifest: Manifest, grid: Grid) -> dict[str, dict[str, object]]:
    """What statistics have to know of a bundle's thickness, by the name of a row.

    Args:
        manifest: of the bundle.
        grid: the scan's own; repetition was not measured on coarse voxels.

    Returns:
        `responsiveness`: the share of a thinner cortex that arrives, mean and sd;
        `repeatability`: the share of `sd_mm` by which scans with one protocol err.
    """
    known = manifest.thickness
    if known is None:
        return {}
    repeats = {} if max(grid.spacing_mm) > COARSE_MM else known.repeat_sd
    return {
        "responsiveness": {name: dict(share) for name, share in known.responsiveness.items()},
        "repeatability": {
            name: round(sd / known.relative_sd[name], 4)
            for name, sd in repeats.items()
            if known.relative_sd.get(name)
        },
    }


def thickness_error(manifest: Manifest, grid: Grid) -> ThicknessError:
    """What a bundle knows of the error of thickness on voxels like those of `grid`."""
    known = manifest.thickness
    if known is None:
        return ThicknessError()
    coarse = known.coarse_sd if max(grid.spacing_mm) > COARSE_MM else {}
    return ThicknessError(known.relative_sd | coarse, known.reference_confidence)
