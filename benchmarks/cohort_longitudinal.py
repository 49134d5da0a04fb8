"""Does conforming the sessions of a person jointly lower scan-rescan noise? Measured, region-wise.

Each head is re-scanned twice by simulation (other position, lattice, noise and shading). The two
are segmented on their own, and after `conform_jointly`; less difference between them is better.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fibromorph.preprocess import Conformed, conform
from fibromorph.scans import Scan, read_scan
from fibromorph.serving.bundles import find_bundle
from fibromorph.serving.cohort.longitudinal.halfway import conform_jointly
from fibromorph.serving.engine import Engine
from fibromorph.serving.rescan import apply_rescan, draw_rescan

SMALLEST_ML = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scans", nargs="+", type=Path, metavar="SCAN")
    parser.add_argument("--model", default="t1-open")
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    engine = Engine(find_bundle(options.model), "auto", options.threads)
    alone, jointly = [], []
    for number, path in enumerate(options.scans):
        scan, rng = read_scan(path), np.random.default_rng([6, number])
        pair = [apply_rescan(scan, draw_rescan(rng)) for _ in range(2)]
        own = [own_box(again, engine) for again in pair]
        alone.append(log_ratio(own, engine))
        boxes = [conformed for _, conformed in conform_jointly(pair, engine)]
        jointly.append(log_ratio(boxes, engine))
        print(
            f"{path.name}: {spread(alone[-1:]):.2%} alone, {spread(jointly[-1:]):.2%} jointly",
            flush=True,
        )
    report(engine, np.array(alone), np.array(jointly))


def own_box(scan: Scan, engine: Engine) -> Conformed:
    manifest = engine.bundle.manifest
    return conform(scan, manifest.network, manifest.locator, engine.locate)


def log_ratio(pair: list[Conformed], engine: Engine) -> NDArray[np.float64]:
    """(regions,) log of the ratio of the two soft volumes; NaN where a region is nearly absent."""
    first, second = (
        np.array(list(engine.segment(box.network_input, box.brain).soft_voxels.values()))
        * box.grid.voxel_ml
        for box in pair
    )
    present = np.minimum(first, second) > SMALLEST_ML
    ratio = np.log(np.where(present, first, 1.0) / np.where(present, second, 1.0))
    return np.where(present, ratio, np.nan)


def spread(ratios: list[NDArray[np.float64]] | NDArray[np.float64]) -> float:
    """Standard deviation of one measurement, over regions: rms of log ratios over sqrt(2)."""
    return float(np.sqrt(np.nanmean(np.square(ratios)) / 2))


def report(engine: Engine, alone: NDArray[np.float64], jointly: NDArray[np.float64]) -> None:
    print(f"{'region':<34} {'alone':>8} {'jointly':>8}")
    for column, entry in enumerate(engine.bundle.manifest.labels):
        if np.isfinite(alone[:, column]).any():
            a, j = spread(alone[:, column]), spread(jointly[:, column])
            print(f"{entry.name:<34} {a:>8.2%} {j:>8.2%}")
    medians = [np.nanmedian(np.abs(ratios)) / np.sqrt(2) for ratios in (alone, jointly)]
    print(f"{'all regions, rms':<34} {spread(alone):>8.2%} {spread(jointly):>8.2%}")
    print(f"{'all regions, median':<34} {medians[0]:>8.2%} {medians[1]:>8.2%}")
    better = np.nanmean(np.abs(jointly) < np.abs(alone))
    print(f"pairs and regions in which jointly differs less: {better:.0%}")


if __name__ == "__main__":
    main()
