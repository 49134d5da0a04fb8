"""A scan without its file: voxels, grid and findings, and nothing of the person scanned.

This is the form in which an accepted scan waits and goes to a worker: whatever else the upload's
header held was dropped when it was read.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from fibromorph.grid import Grid
from fibromorph.scans import Scan
from fibromorph.scans.scan import Finding

VOXELS, FACTS = "voxels.f32", "scan.json"


def write_clean(scan: Scan, folder: Path) -> None:
    """Write voxels (float32, C order) and facts; the facts last."""
    folder.mkdir()
    with (folder / VOXELS).open("wb") as file:  # `tofile` would not say why a disk takes no more
        file.write(np.ascontiguousarray(scan.data, np.float32).data)
    facts = {
        "shape": scan.grid.shape,
        "affine_ijk_to_ras": scan.grid.affine_ijk_to_ras.tolist(),
        "format": scan.format,
        "sha256": scan.sha256,
        "findings": [asdict(finding) for finding in scan.findings],
    }
    (folder / FACTS).write_text(json.dumps(facts))


def read_clean(folder: Path, name: str) -> Scan:
    """The scan that `write_clean` wrote, called `name` from now on."""
    facts = json.loads((folder / FACTS).read_text())
    i, j, k = facts["shape"]
    data = np.fromfile(folder / VOXELS, np.float32).reshape(i, j, k)
    grid = Grid((i, j, k), np.array(facts["affine_ijk_to_ras"], dtype=float))
    findings = tuple(Finding(**finding) for finding in facts["findings"])
    return Scan(data, grid, name, Path(name), facts["format"], facts["sha256"], findings)
