"""How far the thickness of the cortex moves when only the acquisition changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from fibromorph.manifest import COARSE_MM, ThicknessErrors
from fibromorph.serving.measuring.calibration import Reliability, ThicknessDrift
from fibromorph.serving.pipeline import Segmented


def thickness_rows(
    name: str, kind: str, base: Segmented, result: Segmented
) -> list[dict[str, object]]:
    """One row a region, hemisphere and the mean; none where it was not measured.

    Args:
        name, kind: of the perturbation.
        base: the undisturbed scan, segmented.
        result: the disturbed one.
    """
    if base.cortex is None or result.cortex is None:
        return []
    before = {row.name: row.thickness_mm for row in base.cortex.rows}
    common = {
        "scan": base.scan.stem,
        "perturbation": name,
        "kind": kind,
        "voxel_mm": max(result.scan.grid.spacing_mm),
        "ribbon": base.cortex.ribbon,
        "reference_confidence": base.cortex.confidence,
    }
    return [
        {
            **common,
            "region_id": row.region_id,
            "name": row.name,
            "undisturbed_mm": known,
            "thickness_mm": row.thickness_mm,
            "drift": row.thickness_mm / known - 1,
        }
        for row in result.cortex.rows
        if row.thickness_mm is not None
        if (known := before[row.name]) is not None
    ]


def with_thickness(found: Reliability, table: pd.DataFrame) -> Reliability:
    """What was found of volumes, and of thickness.

    Args:
        found: of volumes.
        table: rows of `thickness_rows`.
    """
    changed = table[table.kind == "acquisition"]
    drift = changed.drift.abs()
    coarse = changed.voxel_mm > COARSE_MM
    errors = ThicknessErrors(
        ribbon=str(table.ribbon.iloc[0]),
        relative_sd=_root_mean_square(changed[~coarse]),
        coarse_sd=_root_mean_square(changed[coarse]),
        reference_confidence=round(float(table.reference_confidence.mean()), 4),
    )
    by_perturbation = drift.groupby(changed.perturbation, sort=False).mean()
    scores = {"thickness: mean absolute drift": float(drift.mean())}
    return replace(
        found,
        scores=found.scores | scores,
        thickness=ThicknessDrift(errors, by_perturbation),
    )


def _root_mean_square(rows: pd.DataFrame) -> dict[str, float]:
    squares = (rows.drift**2).groupby(rows["name"], sort=False).mean()
    return {str(name): round(float(np.sqrt(value)), 5) for name, value in squares.items()}
