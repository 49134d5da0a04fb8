"""How far do an atlas's regions, carried into scans, agree with regions that people drew there?

For an atlas whose ids are those of the labels, such as `neuromorphometrics` and the scans of the
MICCAI 2012 challenge. Only regions of the cortex are compared. `agree` is the share of voxels that
both call cortex to which both give the same region: structures are the bundle's, by its own
protocol, and only how they are divided is the atlas's.

    python -m benchmarks.atlas_agreement DIR --atlas NAME|FILE [--labels SUFFIX] [--scans SUFFIX]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fibromorph.labels import CORTEX, FREESURFER
from fibromorph.postprocessing.atlases import Parcels
from fibromorph.scans import read_scan
from fibromorph.scans.reference import read_ids
from fibromorph.serving.atlas import on_scan_grid
from fibromorph.serving.beyond import beyond_volumes
from fibromorph.serving.bundles import find_bundle
from fibromorph.serving.engine import Engine
from fibromorph.serving.extras import Extras
from fibromorph.serving.pipeline import segment_scan

LINE = "{:<14} {:>8} {:>8} {:>8} {:>18} {:>14}"
Ids = NDArray[np.int32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--atlas", required=True, metavar="NAME|FILE")
    parser.add_argument("--scans", default="_SS.nii.gz", metavar="SUFFIX")
    parser.add_argument("--labels", default="_glm.nii.gz", metavar="SUFFIX")
    parser.add_argument("--model", default="t1-open")
    options = parser.parse_args()
    engine = Engine(find_bundle(options.model))
    beyond = beyond_volumes(engine, extras=Extras(atlases=(options.atlas,)))
    print(LINE.format("scan", "likeness", "Dice", "agree", "volumes, log r", "volume, share"))
    found = []
    for path in sorted(options.folder.glob(f"*{options.scans}")):
        result = segment_scan(read_scan(path), engine, beyond=beyond)
        assert result.divided is not None
        (parcels,) = result.divided.parcels
        own = on_scan_grid(parcels.labels, result.conformed.grid, result.scan.grid)
        drawn, _ = read_ids(path.with_name(path.name.replace(options.scans, options.labels)))
        numbers = agreement(parcels, own, drawn, result.scan.grid.voxel_ml)
        found.append(numbers)
        name = path.name.removesuffix(options.scans)
        print(line(name, result.divided.likeness, numbers), flush=True)
    print(line("mean", float("nan"), np.mean(found, axis=0)))


def agreement(
    parcels: Parcels, own: Ids, drawn: Ids, voxel_ml: float
) -> tuple[float, float, float, float]:
    """Mean Dice, share of voxels alike, correlation of log volumes over regions, summed volumes."""
    cortex = set(FREESURFER.ids_of(CORTEX))
    ids = [r.id for r in parcels.atlas.regions if cortex.issuperset(r.structures)]
    ids = [n for n in ids if (drawn == n).any()]
    dices = [
        2 * np.sum((own == n) & (drawn == n)) / (np.sum(own == n) + np.sum(drawn == n)) for n in ids
    ]
    both = np.isin(own, ids) & np.isin(drawn, ids)
    soft = {row.region_id: row.soft_volume_ml or 0.0 for row in parcels.rows}
    measured = np.array([soft[n] for n in ids])
    by_hand = np.array([np.sum(drawn == n) * voxel_ml for n in ids])
    return (
        float(np.mean(dices)),
        float(np.mean(own[both] == drawn[both])),
        float(np.corrcoef(np.log(measured + 1e-3), np.log(by_hand))[0, 1]),
        float(measured.sum() / by_hand.sum()),
    )


def line(name: str, likeness: float, numbers: tuple[float, float, float, float]) -> str:
    return LINE.format(name, f"{likeness:.3f}", *(f"{number:.3f}" for number in numbers))


if __name__ == "__main__":
    main()
