"""How far do the volumes of an atlas's regions move when only the acquisition changes?

Every scan is disturbed in all ways of `fibromorph reliability` but those that wreck it. What is
printed of every atlas is the root mean square of the relative change over scans and acquisitions
with voxels of up to 1.3 mm, by the volume of the regions, what `parcels.relative_sd` says of it,
and the share of changes that lie within two of that.

    python -m benchmarks.atlas SCAN... --atlas NAME|FILE... [--rows TSV]
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from fibromorph.manifest import COARSE_MM
from fibromorph.postprocessing.atlases.parcels import relative_sd
from fibromorph.scans import read_scan
from fibromorph.serving.beyond import beyond_volumes
from fibromorph.serving.bundles import find_bundle
from fibromorph.serving.engine import Engine
from fibromorph.serving.extras import Extras
from fibromorph.serving.measuring.perturbations import perturbations
from fibromorph.serving.measuring.rescan import with_dark_air
from fibromorph.serving.pipeline import Segmented, segment_scan

SIZES_ML = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 1000.0)
LINE = "{:<18} {:>14} {:>8} {:>10} {:>10} {:>12}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scans", nargs="+", type=Path, metavar="SCAN")
    parser.add_argument("--atlas", action="append", required=True, metavar="NAME|FILE")
    parser.add_argument("--model", default="t1-open")
    parser.add_argument("--rows", type=Path, metavar="TSV", help="every change, too")
    options = parser.parse_args()
    table = measure(options.scans, tuple(options.atlas), options.model)
    if options.rows:
        table.to_csv(options.rows, sep="\t", index=False)
    print_drift(table)


def measure(scans: list[Path], atlases: tuple[str, ...], model: str) -> pd.DataFrame:
    """One row a scan, acquisition, atlas and region."""
    engine = Engine(find_bundle(model))
    beyond = beyond_volumes(engine, extras=Extras(atlases=atlases))
    ways = [one for one in perturbations() if one.kind == "acquisition"]
    rows = []
    for order, path in enumerate(scans):
        base = segment_scan(with_dark_air(read_scan(path)), engine, beyond=beyond)
        for number, way in enumerate(tqdm(ways, desc=path.name)):
            disturbed = way.change(base, np.random.default_rng([1, order, number]))
            result = segment_scan(disturbed.scan, engine, beyond=beyond)
            rows += changes(way.name, base, result)
    return pd.DataFrame(rows)


def changes(name: str, base: Segmented, result: Segmented) -> list[dict[str, object]]:
    """Of every region that there was."""
    assert base.divided is not None and result.divided is not None
    return [
        {
            "scan": base.scan.stem,
            "acquisition": name,
            "voxel_mm": max(result.scan.grid.spacing_mm),
            "atlas": one.atlas.name,
            "region": before.name,
            "ml": before.soft_volume_ml,
            "change": after.soft_volume_ml / before.soft_volume_ml - 1,
        }
        for one, other in zip(base.divided.parcels, result.divided.parcels, strict=True)
        for before, after in zip(one.rows, other.rows, strict=True)
        if before.soft_volume_ml and after.soft_volume_ml is not None
    ]


def print_drift(table: pd.DataFrame) -> None:
    fine = table[table.voxel_mm <= COARSE_MM]
    print(LINE.format("atlas", "regions, ml", "number", "moved by", "sd says", "within two"))
    for atlas, rows in fine.groupby("atlas", sort=False):
        for low, high in pairwise(SIZES_ML):
            own = rows[(rows.ml > low) & (rows.ml <= high)]
            if len(own):
                _print_line(str(atlas), f"{low:g} to {high:g}", own)
        _print_line(str(atlas), "all", rows)


def _print_line(atlas: str, size: str, rows: pd.DataFrame) -> None:
    sd = rows.ml.map(relative_sd)
    moved = float(np.sqrt((rows.change**2).mean()))
    within = float((rows.change.abs() <= 2 * sd).mean())
    said = float(np.sqrt((sd**2).mean()))
    number = rows.region.nunique()
    print(LINE.format(atlas, size, number, f"{moved:.1%}", f"{said:.1%}", f"{within:.0%}"))


if __name__ == "__main__":
    main()
