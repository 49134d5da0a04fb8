"""How far do volumes and thickness of an atlas's regions move when only the acquisition changes?

Every scan is disturbed in all ways of `fibromorph reliability` but those that wreck it. What is
printed of every atlas is the root mean square of the relative change over scans and acquisitions
with voxels of up to 1.3 mm, and with longer ones, by the size of the regions, what
`atlases.parcels` says of it, and the share of changes that lie within two of that.

    python -m benchmarks.atlas SCAN... --atlas NAME|FILE... [--rows TSV]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from fibromorph.manifest import COARSE_MM
from fibromorph.postprocessing.atlases.parcels import relative_sd, relative_thickness_sd
from fibromorph.scans import read_scan
from fibromorph.serving.beyond import beyond_volumes
from fibromorph.serving.bundles import find_bundle
from fibromorph.serving.engine import Engine
from fibromorph.serving.extras import Extras
from fibromorph.serving.measuring.perturbations import perturbations
from fibromorph.serving.measuring.rescan import with_dark_air
from fibromorph.serving.pipeline import Segmented, segment_scan

SIZES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 1000.0)
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
    beyond = beyond_volumes(engine, extras=Extras(thickness=True, atlases=atlases))
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
    """Of every region that there was: its volume, and its thickness where it is cortex."""
    assert base.divided is not None
    assert result.divided is not None
    rows: list[dict[str, object]] = []
    for one, other in zip(base.divided.parcels, result.divided.parcels, strict=True):
        thick, thinner = ({r.name: r for r in parcels.thickness} for parcels in (one, other))
        for before, after in zip(one.rows, other.rows, strict=True):
            known = thick.get(before.name)
            then = thinner[before.name].thickness_mm if known else None
            rows.append(
                {
                    "scan": base.scan.stem,
                    "acquisition": name,
                    "voxel_mm": max(result.scan.grid.spacing_mm),
                    "atlas": one.atlas.name,
                    "region": before.name,
                    "ml": before.soft_volume_ml,
                    "change": _change(before.soft_volume_ml, after.soft_volume_ml),
                    "cm2": known.area_cm2 if known else None,
                    "thinner": _change(known.thickness_mm, then) if known else None,
                }
            )
    return rows


def _change(before: float | None, after: float | None) -> float | None:
    return None if not before or after is None else after / before - 1


def print_drift(table: pd.DataFrame) -> None:
    volumes = table.rename(columns={"ml": "size", "change": "moved"}).dropna(subset=["moved"])
    thickness = table.rename(columns={"cm2": "size", "thinner": "moved"}).dropna(subset=["moved"])
    _print_part(volumes, "volumes, ml", relative_sd)
    _print_part(thickness, "thickness, cm2", relative_thickness_sd)


def _print_part(table: pd.DataFrame, what: str, sd_of: Callable[..., float]) -> None:
    print(LINE.format("atlas", what, "number", "moved by", "sd says", "within two"))
    for coarse, own in table.groupby(table.voxel_mm > COARSE_MM):
        print(f"voxels {'longer than' if coarse else 'of up to'} {COARSE_MM} mm")
        sd = own["size"].map(partial(sd_of, coarse=bool(coarse)))
        for atlas, rows in own.assign(sd=sd).groupby("atlas", sort=False):
            for low, high in pairwise(SIZES):
                sized = rows[(rows["size"] > low) & (rows["size"] <= high)]
                if len(sized):
                    _print_line(str(atlas), f"{low:g} to {high:g}", sized)
            _print_line(str(atlas), "all", rows)


def _print_line(atlas: str, size: str, rows: pd.DataFrame) -> None:
    moved, said = (float(np.sqrt((rows[name] ** 2).mean())) for name in ("moved", "sd"))
    within = float((rows.moved.abs() <= 2 * rows.sd).mean())
    number = rows.region.nunique()
    print(LINE.format(atlas, size, number, f"{moved:.1%}", f"{said:.1%}", f"{within:.0%}"))


if __name__ == "__main__":
    main()
