"""Do volumes change when the network's box is longer, or lies a few voxels aside?

The same samples of a scan in its own box; in boxes that are 32 mm longer along one axis and along
all; and in boxes of the latter size that lie 1, 2, 4 and 8 voxels aside along each axis, so that
the network's coarser voxels fall otherwise on the head.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from fibromorph.grid import Shape3
from fibromorph.located import BRAIN_BLOCK
from fibromorph.preprocess import SPLINE, Conformed, conform
from fibromorph.scans import Scan, read_scan, resample
from fibromorph.serving.bundles import find_bundle
from fibromorph.serving.engine import Engine

LONGER = ((0, 0, 32), (32, 32, 32))
ASIDE = (1, 2, 4, 8)
SMALLEST_VOXELS = 500
SHOWN = ("Putamen", "Caudate", "Pallidum", "Thalamus")
Volumes = Mapping[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scans", nargs="+", type=Path, metavar="SCAN")
    parser.add_argument("--model", default="t1-open")
    options = parser.parse_args()
    engine = Engine(find_bundle(options.model))
    manifest = engine.bundle.manifest
    for path in options.scans:
        scan = read_scan(path)
        seen = conform(scan, manifest.network, manifest.locator, engine.locate)
        own = volumes(seen, engine)
        for longer in LONGER:
            found = volumes(in_box(seen, scan, longer), engine)
            print(f"{path.name}, longer by {longer}: {told(own, found)}", flush=True)
        for aside in ASIDE:
            moved = volumes(in_box(seen, scan, LONGER[-1], aside), engine)
            print(f"{path.name}, {aside} aside: {told(found, moved)}", flush=True)


def in_box(seen: Conformed, scan: Scan, longer: Shape3, aside: int = 0) -> Conformed:
    """The same brain in a box of so many voxels more along each axis, and so many aside."""
    i, j, k = (-n // 2 - aside for n in longer)
    lengths = (n + m for n, m in zip(seen.grid.shape, longer, strict=True))
    grid = seen.grid.box((i, j, k), (next(lengths), next(lengths), next(lengths)))
    intensities = resample(scan.data, scan.grid, grid, order=SPLINE)
    brain = resample(seen.brain, seen.grid.blocks(BRAIN_BLOCK), grid.blocks(BRAIN_BLOCK))
    return replace(seen, intensities=intensities, brain=brain, grid=grid)


def volumes(seen: Conformed, engine: Engine) -> Volumes:
    """Name -> soft volume in voxels."""
    names = {entry.id: entry.name for entry in engine.bundle.manifest.labels}
    found = engine.segment(seen.network_input, seen.brain).soft_voxels
    return {names[i]: voxels for i, voxels in found.items()}


def told(before: Volumes, after: Volumes) -> str:
    """Mean size of the change, then the change of deep grey, left and right together."""
    change = {n: after[n] / v - 1 for n, v in before.items() if v > SMALLEST_VOXELS}
    mean = np.mean(np.abs(list(change.values())))
    sides = {n: [change[f"{side}-{n}"] for side in ("Left", "Right")] for n in SHOWN}
    shown = ", ".join(f"{n} {np.mean(both):+.1%}" for n, both in sides.items())
    largest = max(abs(c) for both in sides.values() for c in both)
    return f"{mean:.2%} on average; {shown}; one side at most {largest:.1%}"


if __name__ == "__main__":
    main()
