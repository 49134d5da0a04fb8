"""Does a volume follow its structure? Planted changes of one head, and how much of them arrives.

Two kinds. `alone`: every structure is given another volume while its neighbours keep theirs, by the
deformations of `fibromorph synth cohort`; a network that guesses borders from what is around them
sees little of it. `with its surroundings`: a whole neighbourhood is scaled smoothly. The slope is
the measured change of the log volume over the true one: 1 is right, 0 is blind.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fibromorph.datasets.cohort.acquisition import draw_visit, scan_grid, take_scan
from fibromorph.datasets.cohort.anatomy import conform_anatomy
from fibromorph.datasets.cohort.body import draw_elastic, mould_of, shape_body
from fibromorph.datasets.cohort.head import with_head
from fibromorph.datasets.cohort.norms import INTRACRANIAL_ML
from fibromorph.datasets.synthesis.spatial import read_linear, read_nearest
from fibromorph.labels import to_freesurfer
from fibromorph.scans import Scan, read_scan
from fibromorph.serving.bundles import find_bundle
from fibromorph.serving.engine import Engine
from fibromorph.serving.pipeline import segment_scan

ALONE = {12: 0.8, 51: 1.15, 11: 0.85, 50: 1.15, 10: 1.1, 49: 0.87, 13: 1.12, 52: 0.85,
         17: 0.85, 53: 1.12, 18: 1.15, 54: 0.85}  # fmt: skip
CENTRES = (12, 11, 17)
SHARE, WIDTH_VOXELS = 0.08, 15.0
LINE = "{:<24} {:<22} {:>8} {:>8} {:>7}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scan", type=Path)
    parser.add_argument("labels", type=Path, help="on the voxels of the scan")
    parser.add_argument("--protocol", default="neuromorphometrics")
    parser.add_argument("--model", default="t1-open")
    options = parser.parse_args()
    engine = Engine(find_bundle(options.model))
    scan, labels = read_scan(options.scan), read_scan(options.labels)
    ids = to_freesurfer(np.rint(labels.data).astype(np.int32), options.protocol)
    print(LINE.format("structure", "changes", "true", "found", "slope"))
    alone(scan, ids, engine)
    with_surroundings(scan, ids, engine)


def alone(scan: Scan, ids: NDArray[np.int32], engine: Engine) -> None:
    """All structures of `ALONE` at once; what is not named keeps its volume."""
    anatomy = conform_anatomy(scan, ids, scan.grid)
    mould = mould_of(with_head(anatomy, np.random.default_rng(0)))
    still = 0 * draw_elastic(np.random.default_rng(0), mould.lattice)
    visit = draw_visit(np.random.default_rng(1), 1.0, 0.02)
    bodies, found = [], []
    for factors in ({}, ALONE):
        targets = {i: ml * factors.get(i, 1.0) for i, ml in mould.reference_ml.items()}
        body = shape_body(mould, still, targets, INTRACRANIAL_ML["F"])
        grid = scan_grid(mould, body, visit)
        image = np.asarray(take_scan(mould, body, visit, grid), np.float32)
        bodies.append(body)
        found.append(volumes(replace(scan, data=image, grid=grid), engine))
    for label_id in ALONE:
        true = np.log(bodies[1].volumes_ml[label_id] / bodies[0].volumes_ml[label_id])
        show(label_id, "alone", true, found[0], found[1])


def with_surroundings(scan: Scan, ids: NDArray[np.int32], engine: Engine) -> None:
    """Each neighbourhood of `CENTRES` made smaller and larger by `SHARE`."""
    image = torch.from_numpy(np.ascontiguousarray(scan.data, dtype=np.float32))
    index = torch.from_numpy(ids.astype(np.uint8))
    voxels = torch.meshgrid(*(torch.arange(n).float() for n in image.shape), indexing="ij")
    for label_id in CENTRES:
        centre = np.argwhere(ids == label_id).mean(axis=0)
        offsets = [v - float(c) for v, c in zip(voxels, centre, strict=True)]
        squares = torch.stack([o.square() for o in offsets]).sum(0)
        near = torch.exp(-squares / (2 * WIDTH_VOXELS**2))
        true, found = [], []
        for share in (SHARE, -SHARE):
            x, y, z = (v + share * near * o for v, o in zip(voxels, offsets, strict=True))
            true.append(int((read_nearest(index, (x, y, z)) == label_id).sum()))
            moved = read_linear(image, (x, y, z)).numpy()
            found.append(volumes(replace(scan, data=moved), engine))
        change = float(np.log(true[1] / true[0]))
        show(label_id, "with its surroundings", change, found[0], found[1])


def volumes(scan: Scan, engine: Engine) -> dict[int, tuple[str, float]]:
    rows = segment_scan(scan, engine).rows
    return {
        row.region_id: (row.name, row.soft_volume_ml)
        for row in rows
        if row.region_id is not None and row.soft_volume_ml
    }


Found = Mapping[int, tuple[str, float]]


def show(label_id: int, kind: str, true: float, before: Found, after: Found) -> None:
    found = float(np.log(after[label_id][1] / before[label_id][1]))
    percent = [f"{100 * np.expm1(change):+.1f} %" for change in (true, found)]
    print(LINE.format(before[label_id][0], kind, *percent, f"{found / true:.2f}"), flush=True)


if __name__ == "__main__":
    main()
