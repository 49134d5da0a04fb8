"""What do dark spots in the white matter do to volumes?

Spheres of 2 to 4 mm radius, as bright as the cortex, are planted in a scan's white matter as the
bundle sees it: half of them beside the lateral ventricles, half deep in the white matter, as in
small vessel disease. They should stay white matter, and no other volume should move.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fibromorph.labels import LabelTable
from fibromorph.postprocessing.volumes import VolumeRow
from fibromorph.scans import Scan, read_scan
from fibromorph.serving.bundles import find_bundle
from fibromorph.serving.engine import Engine
from fibromorph.serving.pipeline import Segmented, segment_scan

LOADS_ML = (1.0, 4.0, 12.0)
RADIUS_MM = (2.0, 4.0)
BESIDE_MM, DEEP_MM = 6.0, 12.0
"""Of the ventricles: a lesion beside them begins nearer than the one, a deep one farther than the
other."""
UNDER_CORTEX_MM = 2.0
POINT_SPREAD_MM = 0.6
SMALLEST_ML = 0.5
"""Of the structures that are compared."""
LINE = "{:>10} {:>12} {:>12} {:>12} {:>12}  {}"

Mask = NDArray[np.bool_]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scans", nargs="+", type=Path)
    parser.add_argument("--model", default="t1-open")
    options = parser.parse_args()
    engine = Engine(find_bundle(options.model))
    for path in options.scans:
        _print_changes(read_scan(path), engine)


def _print_changes(scan: Scan, engine: Engine) -> None:
    before = segment_scan(scan, engine)
    print(scan.source)
    print("shares of the lesions' voxels, and changes of all volumes but the white matter's, %")
    print(LINE.format("lesions, ml", "stay white", "called grey", "mean change", "grey matter", ""))
    for load_ml in LOADS_ML:
        lesions = planted(before, load_ml)
        spotted = replace(scan, data=_darkened(scan, before, lesions))
        after = segment_scan(spotted, engine)
        labels = after.labels_on_scan_grid[lesions]
        shares = [100 * float(np.isin(labels, ids).mean()) for ids in _ids(before.table)]
        changes = _changes(before.rows, after.rows)
        mean = float(np.mean([abs(change) for change, _ in changes.values()]))
        far = sorted(changes, key=lambda name: -abs(changes[name][0]))[:3]
        grey = _row(after.rows, "Total-Grey-Matter") / _row(before.rows, "Total-Grey-Matter") - 1
        ml = float(lesions.sum()) * scan.grid.voxel_ml
        print(
            LINE.format(
                f"{ml:.1f}",
                *(f"{share:.1f}" for share in shares),
                f"{mean:.2f}",
                f"{100 * grey:+.2f}",
                ", ".join(f"{n} {changes[n][0]:+.1f} % ({changes[n][1]:+.1f} sd)" for n in far),
            )
        )


def planted(segmented: Segmented, load_ml: float) -> Mask:
    """Where lesions of so many ml lie, on the scan's own voxels; the same for the same head."""
    labels, grid, table = segmented.labels_on_scan_grid, segmented.scan.grid, segmented.table
    spacing = np.asarray(grid.spacing_mm)
    white = np.isin(labels, table.ids_of("Cerebral-White-Matter"))
    ventricles = np.isin(labels, table.ids_of("Lateral-Ventricle"))
    distance_mm = ndimage.distance_transform_edt(~ventricles, sampling=spacing)
    depth_mm = ndimage.distance_transform_edt(white | ventricles, sampling=spacing)
    allowed = white & (depth_mm > UNDER_CORTEX_MM)
    pools = [
        np.argwhere(allowed & near) for near in (distance_mm < BESIDE_MM, distance_mm > DEEP_MM)
    ]
    rng = np.random.default_rng(0)
    lesions = np.zeros(labels.shape, dtype=bool)
    number = 0
    while lesions.sum() * grid.voxel_ml < load_ml:
        pool, radius_mm = pools[number % 2], rng.uniform(*RADIUS_MM)
        _add_sphere(lesions, pool[rng.integers(len(pool))], radius_mm / spacing)
        lesions &= allowed
        number += 1
    return lesions


def _add_sphere(mask: Mask, middle: NDArray[np.int_], radii: NDArray[np.float64]) -> None:
    """Set, in place, what lies within `radii` voxels of a voxel."""
    reach = np.ceil(radii).astype(int)
    first = np.maximum(middle - reach, 0)
    box = tuple(slice(a, b) for a, b in zip(first, middle + reach + 1, strict=True))
    place = np.indices(mask[box].shape).reshape(3, -1).T + first - middle
    inside = (np.square(place / radii).sum(axis=1) <= 1).reshape(mask[box].shape)
    mask[box] |= inside


def _darkened(scan: Scan, segmented: Segmented, lesions: Mask) -> NDArray[np.float32]:
    """The scan with lesions as bright as its cortex."""
    cortex = np.isin(segmented.labels_on_scan_grid, segmented.table.ids_of("Cerebral-Cortex"))
    blur = POINT_SPREAD_MM / np.asarray(scan.grid.spacing_mm)
    share = ndimage.gaussian_filter(lesions.astype(np.float32), blur)
    grey = np.float32(np.median(scan.data[cortex]))
    darkened: NDArray[np.float32] = scan.data * (1 - share) + grey * share
    return darkened


def _ids(table: LabelTable) -> tuple[list[int], list[int]]:
    """Of cerebral white matter, and of all that is grey."""
    grey = [label.id for label in table if label.tissue == "grey"]
    return table.ids_of("Cerebral-White-Matter"), grey


def _changes(
    before: Sequence[VolumeRow], after: Sequence[VolumeRow]
) -> dict[str, tuple[float, float]]:
    """Name -> change of the soft volume, in % and in its sd (NaN: the bundle tells none).

    White matter and totals are left out.
    """
    changes = {}
    for old, new in zip(before, after, strict=True):
        volume, moved = old.soft_volume_ml, new.soft_volume_ml
        if old.is_total or "Cerebral-White-Matter" in old.name or not volume or not moved:
            continue
        if volume >= SMALLEST_ML:
            sds = (moved - volume) / old.sd_ml if old.sd_ml else math.nan
            changes[old.name] = (100 * (moved / volume - 1), sds)
    return changes


def _row(rows: Sequence[VolumeRow], name: str) -> float:
    return next(float(row.soft_volume_ml or 0) for row in rows if row.name == name)


if __name__ == "__main__":
    main()
