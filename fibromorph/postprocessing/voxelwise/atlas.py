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
from fibromorph.postprocessing.voxelwise.maps import GreyMaps

PROTOCOL = "neuromorphometrics"
NEAR_MM = 6.0
OUTSIDE = "outside of the regions"


def regions_of(maps: GreyMaps) -> NDArray[np.str_]:
    """(V,) the grey region that each voxel's centre lies in, or the nearest within 6 mm.

    Smoothed maps reach beyond grey matter: what lies in the white matter beside a region is named
    after it.
    """
    labels, affine = _template()
    tissues = {label.id: label.tissue for label in TABLES[PROTOCOL]}
    names = {label.id: label.name for label in TABLES[PROTOCOL]}
    grey = np.isin(labels, [number for number, tissue in tissues.items() if tissue == "grey"])
    spacing = voxel_sizes(affine)
    distance, nearest = distance_transform_edt(~grey, sampling=spacing, return_indices=True)
    voxels = np.argwhere(maps.mask)
    mm = apply_affine(maps.affine, voxels)
    places = np.rint(apply_affine(np.linalg.inv(affine), mm)).astype(int)
    inside = tuple(np.clip(places, 0, np.array(labels.shape) - 1).T)
    found = labels[tuple(axis[inside] for axis in nearest)]
    named = np.array([names[int(number)] for number in found])
    return np.where(distance[inside] <= NEAR_MM, named, OUTSIDE)


def _template() -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    package = files("fibromorph.postprocessing.stats.report")
    with as_file(package / TEMPLATES[PROTOCOL]) as path:
        image = nibabel.load(path)
        return np.asarray(image.dataobj).astype(np.int32), np.asarray(image.affine)
