"""Finished scans whose labels somebody has corrected by hand since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fibromorph.errors import LabelError
from fibromorph.labels import TABLES, LabelTable
from fibromorph.postprocessing.corrections import corrected
from fibromorph.postprocessing.volumes import VolumeRow
from fibromorph.scans.reference import read_ids

SAME = 1e-3
"""By which spacings may differ, as a share: headers store them in single precision."""


def measure_corrected(
    rows: Sequence[VolumeRow], labels: Path, scan: Mapping[str, Any]
) -> tuple[VolumeRow, ...]:
    """A scan's volumes by its corrected labels, see `postprocessing.corrections`.

    Args:
        rows: as the participant stage measured them.
        labels: the label image as it is now.
        scan: shape and spacing_mm of the scan, from its sidecar.

    Raises:
        LabelError: it is no image of labels that the scan's table has, or on other voxels.
    """
    table = _table_of(rows)
    ids, grid = read_ids(labels)
    shape, spacing_mm = scan["shape"], scan["spacing_mm"]
    if list(grid.shape) != shape or not np.allclose(grid.spacing_mm, spacing_mm, rtol=SAME):
        rule = f"corrected labels must lie on the scan's voxels, {shape} of {spacing_mm} mm"
        other = f"{list(grid.shape)} of {[round(s, 4) for s in grid.spacing_mm]} mm"
        raise LabelError(rule, value=other, subject=labels)
    found, counts = np.unique(ids, return_counts=True)
    unknown = sorted({int(i) for i in found} - {0, *table.ids})
    if unknown:
        rule = "corrected labels must be those of desc-fibromorph_dseg.tsv"
        raise LabelError(rule, value=unknown, subject=labels)
    counted = {int(i): float(n) * grid.voxel_ml for i, n in zip(found, counts, strict=True)}
    return corrected(rows, counted, table)


def regions_changed(before: Sequence[VolumeRow], after: Sequence[VolumeRow]) -> tuple[str, ...]:
    """Names of regions whose counted volume is another now, in the table's order."""
    pairs = zip(before, after, strict=True)
    return tuple(a.name for a, b in pairs if not a.is_total and a.volume_ml != b.volume_ml)


def _table_of(rows: Sequence[VolumeRow]) -> LabelTable:
    ids = {row.region_id for row in rows if row.region_id is not None}
    return next(table for table in TABLES.values() if ids <= set(table.ids))
