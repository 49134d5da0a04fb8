"""Regional volumes with their uncertainty, and the table they are written to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fibromorph.grid import Grid
from fibromorph.labels import LabelTable
from fibromorph.postprocessing.row_tables import read_rows, write_rows

# Where the error of a sum was not measured, those of its parts are taken to be correlated by this
# much: contrast, motion and field inhomogeneity push them the same way.
ERROR_CORRELATION = 0.5
MAX_INFLATION = 5.0
TYPICAL_CONFIDENCE = 0.88
SULCAL_CSF = 24
TOTALS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Total-Grey-Matter", ("grey",)),
    ("Total-White-Matter", ("white",)),
    ("Total-CSF", ("csf",)),
    ("Total-Brain", ("grey", "white")),
    ("eTIV", ("grey", "white", "csf")),
)


T = TypeVar("T", bound=Any)
"""A number, or a column of them."""


@dataclass(frozen=True)
class VolumeRow:
    """One line of a volumes table; None is written `n/a`: not estimable or not known.

    Attributes:
        region_id: label id; None for totals.
        name: as in the label table, one of `TOTALS`, or what regions are parts of
            (`Left-Cerebral-Cortex` where the table has the cortex in regions).
        hemisphere: 'left', 'right', 'midline', or 'both' for totals.
        tissue: 'grey', 'white', 'csf', or 'n/a' for totals over several tissues.
        volume_ml: voxels counted.
        soft_volume_ml: posteriors summed.
        sd_ml: standard deviation of the soft volume's error.
        confidence: mean winning posterior inside the region, 0 to 1.
    """

    region_id: int | None
    name: str
    hemisphere: str
    tissue: str
    volume_ml: float | None
    soft_volume_ml: float | None
    sd_ml: float | None
    confidence: float | None

    @property
    def is_total(self) -> bool:
        return self.region_id is None

    @property
    def analysed_ml(self) -> float | None:
        """What group statistics use: the soft volume; of eTIV, which is no sum, the estimate."""
        return self.volume_ml if self.name == "eTIV" else self.soft_volume_ml


@dataclass(frozen=True)
class Calibration:
    """What a bundle knows of its own error, by label id.

    Attributes:
        relative_sd: standard deviation of the relative error of the soft volume; an id that is
            missing gets no `sd_ml`.
        reference_confidence: mean confidence on the scans that `relative_sd` was measured on.
        totals_sd: `relative_sd` of sums of regions, by name.
    """

    relative_sd: Mapping[int, float] = field(default_factory=dict)
    reference_confidence: Mapping[int, float] = field(default_factory=dict)
    totals_sd: Mapping[str, float] = field(default_factory=dict)

    def expected_confidence(self, label_id: int) -> float:
        """The reference confidence, or what networks of this kind typically reach."""
        return self.reference_confidence.get(label_id, TYPICAL_CONFIDENCE)

    def sd_ml(self, label_id: int, soft_volume_ml: float, confidence: float | None) -> float | None:
        """relative sd x soft volume x how much likelier an error is here than in the reference.

        That factor is (1 - confidence) / (1 - reference confidence), between 1 and 5.
        """
        relative = self.relative_sd.get(label_id)
        if relative is None:
            return None
        reference = self.reference_confidence.get(label_id)
        return relative * soft_volume_ml * inflation(confidence, reference)


def confidence_by_id(
    labels: NDArray[np.uint8], confidence: NDArray[np.float32], table: LabelTable
) -> dict[int, float]:
    """Mean confidence inside every label that is present; both images on the same grid."""
    flat = labels.ravel()
    counts = np.bincount(flat, minlength=256)
    sums = np.bincount(flat, weights=confidence.ravel(), minlength=256)
    return {i: float(sums[i] / counts[i]) for i in table.ids if counts[i]}


def measure(
    labels_on_scan_grid: NDArray[np.integer],
    grid: Grid,
    soft_ml: Mapping[int, float],
    confidence_by_id: Mapping[int, float],
    calibration: Calibration,
    table: LabelTable,
    *,
    etiv_ml: float | None,
) -> tuple[VolumeRow, ...]:
    """One row a label in the table's order, then the totals.

    The sd of a total is the bundle's, as measured. A bundle without gets one that assumes a
    correlation r = 0.5 between the errors of the parts: var = (1 - r) sum(sd^2) + r (sum(sd))^2.
    Borders between two parts cancel in their sum, so with many parts (the regions of the cortex)
    that is too large. The soft eTIV is the sum of all posteriors.

    Args:
        labels_on_scan_grid: (i, j, k) ids on the scan's own voxels.
        grid: the scan's own.
        soft_ml: label id -> posterior sum in ml.
        confidence_by_id: label id -> mean confidence, from `confidence_by_id`.
        calibration: the bundle's.
        table: the structures.
        etiv_ml: intracranial volume; None where it cannot be estimated (skull-stripped scans):
            then the CSF outside the ventricles and total CSF are not estimable either.
    """
    counts = np.bincount(labels_on_scan_grid.ravel(), minlength=max(table.ids) + 1)
    rows = []
    for label in table:
        soft, sure = float(soft_ml.get(label.id, 0.0)), confidence_by_id.get(label.id)
        row = VolumeRow(
            label.id,
            label.name,
            label.hemisphere,
            label.tissue,
            volume_ml=float(counts[label.id]) * grid.voxel_ml,
            soft_volume_ml=soft,
            sd_ml=calibration.sd_ml(label.id, soft, sure),
            confidence=sure,
        )
        known = etiv_ml is not None or label.id != SULCAL_CSF
        rows.append(row if known else _not_estimable(row))
    wholes = _wholes(rows, table, calibration)
    return (*rows, *wholes, *_totals(rows, etiv_ml, calibration))


def write_volumes(path: Path, rows: Sequence[VolumeRow]) -> None:
    """Write `rows` as a tab-separated table, `n/a` for None, moved into place when complete."""
    write_rows(path, VolumeRow, rows)


def read_volumes(path: Path) -> tuple[VolumeRow, ...]:
    """Read a table of `write_volumes`.

    Raises:
        TableError: missing file, other columns, or a cell that is neither a number nor n/a.
    """
    return read_rows(path, VolumeRow, "a volumes table")


def inflation(confidence: float | None, reference: float | None) -> float:
    """How much likelier an error is at this confidence than at that of the reference scans.

    (1 - confidence) / (1 - reference), between 1 and `MAX_INFLATION`; 1 where either is unknown.
    """
    if confidence is None or reference is None:
        return 1.0
    ratio = (1.0 - confidence) / max(1.0 - reference, 1e-3)
    return min(max(ratio, 1.0), MAX_INFLATION)


def _not_estimable(row: VolumeRow) -> VolumeRow:
    return replace(row, volume_ml=None, soft_volume_ml=None, sd_ml=None)


def _wholes(
    rows: Sequence[VolumeRow], table: LabelTable, calibration: Calibration
) -> Iterable[VolumeRow]:
    """Structures that the table only has in parts, a row a side."""
    parents = {s.parent: s.tissue for s in table.structures if s.parent not in ("", *table.names)}
    for parent, tissue in parents.items():
        ids = table.ids_of(parent)
        for side in ("left", "right"):
            parts = [r for r in rows if r.region_id in ids and r.hemisphere == side]
            whole = _sum_of(parts, f"{side.capitalize()}-{parent}", calibration)
            yield replace(whole, hemisphere=side, tissue=tissue)


def _totals(
    rows: Sequence[VolumeRow], etiv_ml: float | None, calibration: Calibration
) -> Iterable[VolumeRow]:
    for name, tissues in TOTALS:
        parts = [row for row in rows if row.tissue in tissues]
        tissue = tissues[0] if len(tissues) == 1 else "n/a"
        if "csf" in tissues and etiv_ml is None:
            yield VolumeRow(None, name, "both", tissue, None, None, None, None)
            continue
        total = replace(_sum_of(parts, name, calibration), tissue=tissue)
        yield replace(total, volume_ml=etiv_ml) if name == "eTIV" else total


def _sum_of(parts: Sequence[VolumeRow], name: str, calibration: Calibration) -> VolumeRow:
    """Of both hemispheres and several tissues."""
    hard = sum(row.volume_ml or 0.0 for row in parts)
    soft = sum(row.soft_volume_ml or 0.0 for row in parts)
    sure = _mean_confidence(parts)
    # A part that was not found, and never is, adds nothing to the error either.
    found = [row for row in parts if row.volume_ml or row.soft_volume_ml]
    measured = calibration.totals_sd.get(name)
    if measured is None:
        sd = _combined_sd([row.sd_ml for row in found])
    else:
        sd = measured * soft * inflation(sure, _expected_confidence(found, calibration))
    return VolumeRow(None, name, "both", "n/a", hard, soft, sd, sure)


def _combined_sd(sds: Sequence[float | None]) -> float | None:
    known = [sd for sd in sds if sd is not None]
    if len(known) < len(sds) or not known:
        return None
    return sd_of_sum(known)


def sd_of_sum(sds: Sequence[T]) -> T:
    """Standard deviation of the error of a sum, where those of its parts are all that is known.

    var = (1 - r) sum(sd^2) + r (sum(sd))^2, r = `ERROR_CORRELATION`.

    Args:
        sds: of the parts.
    """
    squares, total = sum(sd * sd for sd in sds), sum(sds)
    found: T = ((1 - ERROR_CORRELATION) * squares + ERROR_CORRELATION * total**2) ** 0.5
    return found


def _mean_confidence(rows: Sequence[VolumeRow]) -> float | None:
    """Mean confidence by volume."""
    known = [(r.confidence, r.volume_ml or 0.0) for r in rows if r.confidence is not None]
    total = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / total if total > 0 else None


def _expected_confidence(rows: Sequence[VolumeRow], calibration: Calibration) -> float | None:
    """The mean by volume that the reference scans would have."""
    expected = calibration.expected_confidence
    usual = [replace(r, confidence=expected(r.region_id)) for r in rows if r.region_id is not None]
    return _mean_confidence(usual)
