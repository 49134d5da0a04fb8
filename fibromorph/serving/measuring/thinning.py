"""A head whose cortex is thinner, as a scanner would see it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fibromorph.labels import CORTEX, FREESURFER
from fibromorph.postprocessing.cortex import depths, outer_depth
from fibromorph.postprocessing.thickness import Ribbon

FLUID_PERCENTILE = 25
"""Of what is called fluid: much of it is fluid in part."""
MIDDLE = 1.0
"""Voxels from both surfaces, from where a voxel is grey matter alone."""
GREY_SIGMA = 3.0
"""Voxels over which its intensity is averaged."""

Image = NDArray[np.float32]


def thinned(
    image: Image, ribbon: Ribbon, thinner_mm: Image, spacing_mm: float, threads: int = 1
) -> Image:
    """The image with fluid in place of the outermost cortex.

    A voxel loses of its grey matter what lies in the layer that goes, and gains as much fluid: also
    one outside the cortex that holds a part of it. Where the banks of a sulcus touch, a gap opens.

    Args:
        image: (i, j, k) intensities.
        ribbon: what was drawn there.
        thinner_mm: (i, j, k) thickness of that layer at each voxel of the cortex; what is 0 stays.
        spacing_mm: of the voxels.
        threads: that may be used.
    """
    labels, confidence = ribbon.labels, ribbon.confidence
    cortex = np.isin(labels, FREESURFER.ids_of(CORTEX))
    depth, between = outer_depth(labels, confidence, threads)
    _, nearest = ndimage.distance_transform_edt(~cortex, return_indices=True)
    layer = thinner_mm[tuple(nearest)] / np.float32(spacing_mm)
    # Of a voxel from half a step above its centre to half a step below it.
    lost = (np.minimum(depth + 0.5, layer) - np.maximum(depth - 0.5, 0)).clip(0)
    # And of the opposite bank what lies in the same voxel.
    lost += np.where(between, np.minimum(0.5 - depth, layer).clip(0), 0)
    share = np.nan_to_num(lost).clip(0, 1)
    middle = np.minimum(*depths(labels, confidence, threads)) > MIDDLE
    wet = image[np.isin(labels, FREESURFER.ids_of("CSF"))]
    # What is stripped of all fluid has air there.
    fluid = np.float32(np.percentile(wet, FLUID_PERCENTILE) if len(wet) else 0)
    changed: Image = image + share * (fluid - _around(image, middle if middle.any() else cortex))
    return changed.clip(0)


def _around(image: Image, mask: NDArray[np.bool_]) -> Image:
    """Mean intensity of a mask's voxels near each voxel; far from them, that of all."""
    weight = ndimage.gaussian_filter(mask.astype(np.float32), GREY_SIGMA)
    summed = ndimage.gaussian_filter(np.where(mask, image, 0).astype(np.float32), GREY_SIGMA)
    few = 1e-3
    near: Image = (summed + few * float(image[mask].mean())) / (weight + few)
    return near
