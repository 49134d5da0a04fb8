"""A bundle for the phantom, and heads of ellipsoids: the whole chain in a fraction of a second."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from scipy.spatial.transform import Rotation

from fibromorph.serving.service.phantom import phantom_scan
from tests.serving.stand_in import Seen, write_stand_in

PHANTOM = Seen(white_above=1.0, grey_above=0.3, brain_above=0.3, network_mm=4.0, locator_mm=4.0)


def make_bundle(folder: Path, version: str = "1") -> Path:
    """Write, or write over, a bundle that is named like its folder."""
    return write_stand_in(folder, name=folder.name, version=version, seen=PHANTOM)


def write_head(path: Path, seed: int = 0, *, nods_deg: float = 0.0) -> Path:
    """The phantom with other noise; every seed has other bytes."""
    scan = phantom_scan()
    noise = np.random.default_rng(seed).integers(0, 3, scan.data.shape)
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("x", nods_deg, degrees=True).as_matrix()
    affine = turn @ scan.grid.affine_ijk_to_ras
    image = nib.Nifti1Image((scan.data + noise).astype(np.int16), affine)
    image.header["descrip"] = b"DOE^JANE 1970-01-01"
    nib.save(image, path)
    return path
