"""A small atlas in MNI coordinates: halves of the left cortex, the thalami, a tract, and air."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from fibromorph.labels import CORTEX, FREESURFER
from fibromorph.postprocessing.atlases.placing import average_structures

NAMES = {
    7: "front_L",
    8: "back_L",
    300: "Thalamus_both",
    5: "Tract_R",
    9: "Air",
}
LEFT_CORTEX, RIGHT_CORTEX = FREESURFER.ids_of(CORTEX)
THALAMI = FREESURFER.ids_of("Thalamus")
LEFT_WHITE, RIGHT_WHITE = FREESURFER.ids_of("Cerebral-White-Matter")


def halves() -> np.ndarray:
    """Ids of `NAMES` on the average head's voxels."""
    structures, grid = average_structures()
    y_mm = np.arange(grid.shape[1]) * grid.spacing_mm[1] + grid.affine_ijk_to_ras[1, 3]
    front = np.broadcast_to((y_mm > -20)[None, :, None], grid.shape)
    ids = np.zeros(grid.shape, np.int16)
    ids[(structures == LEFT_CORTEX) & front] = 7
    ids[(structures == LEFT_CORTEX) & ~front] = 8
    ids[np.isin(structures, THALAMI)] = 300
    tract = np.zeros(grid.shape, bool)
    tract[70:76, 50:90, 60:66] = True
    ids[tract & (structures == RIGHT_WHITE)] = 5
    ids[:3, :3, :3] = 9
    return ids


def write_atlas(
    folder: Path, ids: np.ndarray | None = None, names: str | None = None, suffix: str = ".tsv"
) -> Path:
    """Write ids on the average head's voxels, `halves` if None, and names beside them."""
    path = folder / "two_halves.nii.gz"
    affine = average_structures()[1].affine_ijk_to_ras
    nib.save(nib.Nifti1Image(halves() if ids is None else ids, affine), path)
    if names is None:
        names = "index\tname\n" + "".join(f"{n}\t{name}\n" for n, name in NAMES.items())
    if names:
        (folder / f"two_halves{suffix}").write_text(names)
    return path
