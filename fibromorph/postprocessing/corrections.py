"""Volumes after somebody has corrected the labels of a scan by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from fibromorph.labels import LabelTable
from fibromorph.postprocessing.volumes import TOTALS, VolumeRow

HEAD = "eTIV"
ROUNDING_ML = 1e-4
"""Tables of volumes have four decimals; a voxel of 0.7 mm has 0.0003 ml."""
ROUNDING_SHARE = 1e-6
"""Headers store affines in single precision."""
Change = tuple[VolumeRow, VolumeRow]
"""Of one region, before and after."""


def corrected(
    rows: Sequence[VolumeRow], counted_ml: Mapping[int, float], table: LabelTable
) -> tuple[VolumeRow, ...]:
    """The volumes of a scan, following what a correction did to its labels.

    What a correction adds to the counted volume is added to the soft one; what it takes away
    shrinks the soft one by the same share; the error keeps its share of the volume. So scans with
    and without corrections are on one scale, and what nobody touched keeps its volume. A region
    that the network had not found gets the counted volume, of unknown error. Sums change by what
    their parts do. eTIV and the errors of sums stay the network's.

    Args:
        rows: as measured, see `volumes.measure`.
        counted_ml: label id -> volume of its voxels in the corrected labels.
        table: the structures.
    """
    before = {row.region_id: row for row in rows if row.region_id is not None}
    after = {i: _scaled(row, counted_ml.get(i, 0.0)) for i, row in before.items()}
    changes = {i: (before[i], after[i]) for i in before}
    return tuple(
        _summed(row, (changes[i] for i in _parts(row, before, table)))
        if row.region_id is None
        else after[row.region_id]
        for row in rows
    )


def _scaled(row: VolumeRow, counted_ml: float) -> VolumeRow:
    if row.volume_ml is None or row.soft_volume_ml is None:
        return row
    if abs(counted_ml - row.volume_ml) < max(ROUNDING_ML, ROUNDING_SHARE * row.volume_ml):
        return row
    if not row.volume_ml:
        return replace(row, volume_ml=counted_ml, soft_volume_ml=counted_ml, sd_ml=None)
    before, more = row.soft_volume_ml, counted_ml - row.volume_ml
    soft = before + more if more > 0 else before * counted_ml / row.volume_ml
    sd = row.sd_ml * soft / before if row.sd_ml is not None and before > 0 else None
    return replace(row, volume_ml=counted_ml, soft_volume_ml=soft, sd_ml=sd)


def _parts(total: VolumeRow, regions: Mapping[int, VolumeRow], table: LabelTable) -> list[int]:
    """Ids of what a total, or a structure in parts, is the sum of."""
    if total.name == HEAD:
        return []
    tissues = dict(TOTALS).get(total.name)
    if tissues is not None:
        return [i for i, row in regions.items() if row.tissue in tissues]
    _, _, parent = total.name.partition("-")
    inside = table.ids_of(parent)
    return [i for i in inside if i in regions and regions[i].hemisphere == total.hemisphere]


def _summed(total: VolumeRow, changes: Iterable[Change]) -> VolumeRow:
    if total.volume_ml is None or total.soft_volume_ml is None:
        return total
    hard = soft = 0.0
    for before, after in changes:
        hard += (after.volume_ml or 0.0) - (before.volume_ml or 0.0)
        soft += (after.soft_volume_ml or 0.0) - (before.soft_volume_ml or 0.0)
    return replace(
        total, volume_ml=total.volume_ml + hard, soft_volume_ml=total.soft_volume_ml + soft
    )
