"""Tissue contrast that agrees with the labels, for templates that were averaged until blurred."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from fibromorph.datasets.cohort.anatomy import Anatomy
from fibromorph.datasets.cohort.targets import structure_of
from fibromorph.datasets.tissues import T1_RANGES

BLUR_MM = 0.6


def with_tissue_contrast(anatomy: Anatomy, share: float) -> Anatomy:
    """Blend the picture with one in which every structure has its typical T1 intensity.

    An average of many heads shows a border as wide as people differ, and labels can be anywhere in
    it. Blended, the labels are true of the picture, and what is left of the template is texture.

    Args:
        anatomy: white matter = 1.
        share: of the made picture, 0 to 1.
    """
    levels = np.zeros(256, np.float32)
    for label_id in anatomy.ids:
        low, high = T1_RANGES[structure_of(label_id)]
        levels[label_id] = (low + high) / 2
    made = ndimage.gaussian_filter(levels[anatomy.labels], BLUR_MM)
    inside = ndimage.gaussian_filter((anatomy.labels > 0).astype(np.float32), BLUR_MM)
    weight = np.float32(share) * inside
    # `made` has faded towards the border as `inside` has: their ratio is a tissue's level.
    level = made / np.maximum(inside, np.float32(1e-3))
    image = (1 - weight) * anatomy.intensities + weight * level
    return replace(anatomy, intensities=image.astype(np.float32))
