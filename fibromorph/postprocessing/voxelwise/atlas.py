"""Names of places in MNI152: regions of the template that fibromorph carries."""

from __future__ import annotations

from importlib.resources import as_file, files

import nibabel
import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from fibromorph.labels import TABLES
from fibromorph.postprocessing.stats.report.brain import TEMPLATES
from fibromorph.postprocessing.voxelwise.maps import TissueMaps

PROTOCOL = "neuromorphometrics"
NEAR_MM = 6.0
OUTSIDE = "outside of the regions"
WHITE = "Cerebral-White-Matter"


def regions_of(maps: TissueMaps, tissue: str = "grey") -> NDArray[np.str_]:
    """(V,) the region of a tissue that each voxel's centre lies in, or the nearest within 6 mm.

    Smoothed maps reach beyond their tissue: what lies in the white matter beside a grey region is
    named after it. White matter of the cerebrum has no regions: it is named with the grey one that
    is nearest, within 6 mm.
    """
    named = _nearest(maps, tissue)
    if tissue == "grey":
        return named
    beside = _nearest(maps, "grey")
    told = np.char.endswith(named, WHITE) & (beside != OUTSIDE)
    return np.where(told, np.char.add(np.char.add(named, " near "), beside), named)


def _nearest(maps: TissueMaps, tissue: str) -> NDArray[np.str_]:
    image = template_labels()
    labels, affine = np.asarray(image.dataobj), image.affine
    tissues = {label.id: label.tissue for label in TABLES[PROTOCOL]}
    names = {label.id: label.name for label in TABLES[PROTOCOL]}
    members = np.isin(labels, [number for number, own in tissues.items() if own == tissue])
    spacing = voxel_sizes(affine)
    distance, nearest = distance_transform_edt(~members, sampling=spacing, return_indices=True)
    voxels = np.argwhere(maps.mask)
    mm = apply_affine(maps.affine, voxels)
    places = np.rint(apply_affine(np.linalg.inv(affine), mm)).astype(int)
    inside = tuple(np.clip(places, 0, np.array(labels.shape) - 1).T)
    found = labels[tuple(axis[inside] for axis in nearest)]
    named = np.array([names[int(number)] for number in found])
    return np.where(distance[inside] <= NEAR_MM, named, OUTSIDE)


def template_labels() -> nibabel.Nifti1Image:
    """Ids of `PROTOCOL` in the template, int32."""
    package = files("fibromorph.postprocessing.stats.report")
    with as_file(package / TEMPLATES[PROTOCOL]) as path:
        image = nibabel.load(path)
        return nibabel.Nifti1Image(np.asarray(image.dataobj).astype(np.int32), image.affine)
