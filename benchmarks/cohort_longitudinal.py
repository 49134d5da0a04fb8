"""Does conforming the sessions of a person jointly lower scan-rescan noise, and nothing else?

Each head is re-scanned twice by simulation (other position, lattice, noise and shading). The two
are segmented on their own, and conformed jointly; less difference between them is better.
With `--change` every structure has changed between the two: then the share of its change that
arrives should be as large jointly as alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fibromorph.datasets.cohort.acquisition import draw_visit
from fibromorph.datasets.cohort.body import mould_of
from fibromorph.preprocess import Conformed, conform
from fibromorph.scans import Scan, read_scan
from fibromorph.serving.bundles import find_bundle
from fibromorph.serving.cohort.longitudinal.halfway import Halfway
from fibromorph.serving.engine import Engine
from fibromorph.serving.measuring.rescan import apply_rescan, draw_rescan, with_dark_air
from fibromorph.serving.measuring.responsiveness import (
    NOISE,
    SMALLEST_TRUE,
    VOXEL_MM,
    opposites,
    taken,
)
from fibromorph.serving.simulate import segmented_anatomy

SMALLEST_ML = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scans", nargs="+", type=Path, metavar="SCAN")
    parser.add_argument("--model", default="t1-open")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--change", action="store_true", help="between the sessions")
    options = parser.parse_args()
    engine = Engine(find_bundle(options.model), "auto", options.threads)
    if options.change:
        changed(options.scans, engine)
        return
    alone, jointly = [], []
    for number, path in enumerate(options.scans):
        scan, rng = with_dark_air(read_scan(path)), np.random.default_rng([6, number])
        pair = [apply_rescan(scan, draw_rescan(rng)) for _ in range(2)]
        own = [own_box(again, engine) for again in pair]
        alone.append(log_ratio(own, engine))
        boxes = [seen.conformed for seen in Halfway(engine).conform_jointly(pair)]
        jointly.append(log_ratio(boxes, engine))
        print(
            f"{path.name}: {spread(alone[-1:]):.2%} alone, {spread(jointly[-1:]):.2%} jointly",
            flush=True,
        )
    report(engine, np.array(alone), np.array(jointly))


def changed(scans: list[Path], engine: Engine) -> None:
    """Print the share of a true change that arrives, alone and jointly."""
    ids = [entry.id for entry in engine.bundle.manifest.labels]
    everything = []
    for number, path in enumerate(scans):
        mould = mould_of(segmented_anatomy(with_dark_air(read_scan(path)), engine))
        for pattern in range(2):
            rng = np.random.default_rng([7, number, pattern])
            bodies = opposites(mould, rng)
            pair = [taken(mould, body, draw_visit(rng, VOXEL_MM, NOISE)) for body in bodies]
            more, less = (
                np.array([body.volumes_ml.get(i, np.nan) for i in ids]) for body in bodies
            )
            boxes = [seen.conformed for seen in Halfway(engine).conform_jointly(pair)]
            alone = log_ratio([own_box(scan, engine) for scan in pair], engine)
            everything.append([np.log(more / less), alone, log_ratio(boxes, engine)])
            print(f"{path.name}, {pattern}: {shares(np.array(everything[-1:]))}", flush=True)
    print(f"all: {shares(np.array(everything))}")


def shares(changes: NDArray[np.float64]) -> str:
    """Of (n, 3, regions) true changes, found alone and found jointly: slopes through 0, and spread.

    The spread is of what was found around the slope.
    """
    flat = changes.transpose(1, 0, 2).reshape(3, -1)
    true, *found = flat[:, np.isfinite(flat).all(axis=0) & (np.abs(flat[0]) > SMALLEST_TRUE)]
    told = []
    for name, values in zip(("alone", "jointly"), found, strict=True):
        slope = float(true @ values / (true @ true))
        told.append(f"{name} {slope:.2f} of it, scattered by {np.std(values - slope * true):.2%}")
    return "; ".join(told)


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
