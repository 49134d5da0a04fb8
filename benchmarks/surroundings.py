"""Do volumes change when the network's box holds more of what surrounds the brain?

A scan is segmented in its own box and in boxes that are 32 mm longer along one axis and along all.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from fibromorph.located import BRAIN_BLOCK
from fibromorph.preprocess import Conformed, conform
from fibromorph.scans import Scan, read_scan, resample
from fibromorph.serving.bundles import find_bundle
from fibromorph.serving.engine import Engine

LONGER = ((0, 0, 32), (32, 32, 32))
SMALLEST_VOXELS = 500
SHOWN = ("Putamen", "Caudate", "Pallidum")


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
        known = volumes(seen, engine)
        for longer in LONGER:
            found = volumes(in_longer_box(seen, scan, longer), engine)
            change = {n: found[n] / v - 1 for n, v in known.items() if v > SMALLEST_VOXELS}
            mean = np.mean(np.abs(list(change.values())))
            sides = (np.mean([change[f"{s}-{n}"] for s in ("Left", "Right")]) for n in SHOWN)
            shown = ", ".join(f"{n} {c:+.1%}" for n, c in zip(SHOWN, sides, strict=True))
            print(f"{path.name} {longer}: {mean:.2%} on average; {shown}", flush=True)


def in_longer_box(seen: Conformed, scan: Scan, longer: tuple[int, int, int]) -> Conformed:
    """The same brain in the middle of a box of so many voxels more along each axis."""
    start = tuple(-n // 2 for n in longer)
    shape = tuple(n + m for n, m in zip(seen.grid.shape, longer, strict=True))
    grid = seen.grid.box((start[0], start[1], start[2]), (shape[0], shape[1], shape[2]))
    intensities = resample(scan.data, scan.grid, grid)
    brain = resample(seen.brain, seen.grid.blocks(BRAIN_BLOCK), grid.blocks(BRAIN_BLOCK))
    return replace(seen, intensities=intensities, brain=brain, grid=grid)


def volumes(seen: Conformed, engine: Engine) -> dict[str, float]:
    """Name -> soft volume in voxels."""
    names = {entry.id: entry.name for entry in engine.bundle.manifest.labels}
    found = engine.segment(seen.network_input, seen.brain).soft_voxels
    return {names[i]: voxels for i, voxels in found.items()}


if __name__ == "__main__":
    main()
