"""A head of nested ellipsoids with FreeSurfer ids, written as a label map or a labelled scan."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from fibromorph.labels import FREESURFER, NEUROMORPHOMETRICS_TO_FREESURFER

SHAPE = (72, 88, 72)
RAS = np.diag([1.0, 1.0, 1.0, 1.0])
LIA = np.array([[-1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])

# (left id, right id, centre, radii) in voxels from the middle: right, front, up; later ones on top.
_WHOLE = ((511, 511, 34, 42, 34), (515, 515, 32, 40, 32), (24, 24, 30, 38, 30), (3, 42, 27, 35, 27))
_PARTS = (
    (2, 41, (14, 0, 2), (11, 28, 19)),
    (4, 43, (5, 0, 8), (3, 12, 4)),
    (5, 44, (17, -6, -8), (2, 4, 2)),
    (11, 50, (9, 9, 7), (3, 6, 3)),
    (12, 51, (15, 6, 1), (3, 7, 4)),
    (13, 52, (10, 4, 0), (2, 4, 3)),
    (10, 49, (6, -5, 1), (4, 6, 4)),
    (17, 53, (14, -6, -10), (3, 7, 3)),
    (18, 54, (13, 4, -10), (3, 3, 3)),
    (26, 58, (6, 12, 0), (2, 2, 2)),
    (28, 60, (4, -4, -6), (3, 3, 3)),
    (8, 47, (9, -20, -15), (8, 9, 7)),
    (7, 46, (8, -18, -14), (4, 5, 3)),
    (14, 14, (0, -4, 2), (1, 5, 4)),
    (15, 15, (0, -14, -13), (2, 2, 3)),
    (16, 16, (0, -7, -17), (4, 4, 8)),
)


def head() -> NDArray[np.int16]:
    """(i, j, k) ids in RAS order; left is the half with the smaller i."""
    x, y, z = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in SHAPE), indexing="ij")
    ids = np.zeros(SHAPE, dtype=np.int16)
    for left, right, a, b, c in _WHOLE:
        inside = (x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2 <= 1
        ids[inside] = np.where(x < 0, left, right)[inside]
    for left, right, centre, radii in _PARTS:
        places = [np.abs(x) - centre[0], y - centre[1], z - centre[2]]
        inside = sum((p / r) ** 2 for p, r in zip(places, radii, strict=True)) <= 1
        ids[inside] = np.where(x < 0, left, right)[inside]
    return ids


def write_label_maps(folder: Path, count: int = 3) -> Path:
    """`count` heads, stored LIA as training sets often are."""
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(1, count + 1):
        save(head()[:, : SHAPE[1] - n + 1], folder / f"head_{n}.nii.gz", LIA)
    return folder


def write_labelled_scans(folder: Path, stems: tuple[str, ...]) -> Path:
    """Skull-stripped scans `STEM_SS` with labels `STEM_glm` in Neuromorphometrics ids.

    As in real sets of this protocol, fluid around the brain is in the image but not in the labels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ids = head()
    back = {target: source for source, target in NEUROMORPHOMETRICS_TO_FREESURFER.items()}
    labels = np.zeros_like(ids)
    for label_id in FREESURFER.ids:
        labels[ids == label_id] = 0 if label_id == 24 else back[label_id]
    for n, stem in enumerate(stems):
        save(intensities(ids, n) * 900, folder / f"{stem}_SS.nii.gz", LIA)
        save(labels, folder / f"{stem}_glm.nii.gz", LIA)
    return folder


def intensities(ids: NDArray[np.int16], seed: int = 0) -> NDArray[np.float32]:
    """What a T1 of the head shows, white matter about 1, skull removed."""
    tissue = {"grey": 0.65, "white": 1.0, "csf": 0.2}
    image = np.zeros(ids.shape, dtype=np.float32)
    for label in FREESURFER:
        image[ids == label.id] = tissue[label.tissue]
    noise = 0.03 * np.random.default_rng(seed).standard_normal(ids.shape)
    return np.asarray(np.where(image > 0, np.abs(image + noise), 0), dtype=np.float32)


def save(image: NDArray[np.generic], path: Path, affine: NDArray[np.float64]) -> Path:
    """Store a RAS image in the orientation of `affine`, the world's directions kept."""
    stored = nib.Nifti1Image(image, RAS)
    target = nib.orientations.io_orientation(affine)
    turn = nib.orientations.ornt_transform(nib.orientations.io_orientation(RAS), target)
    nib.save(stored.as_reoriented(turn), path)
    return path
