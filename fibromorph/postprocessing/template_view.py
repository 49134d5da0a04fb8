"""Results in MNI coordinates, over nilearn's MNI152 template in every slice."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Literal

import numpy as np
from nibabel.spatialimages import SpatialImage
from numpy.typing import NDArray

from fibromorph.grid import Grid, shape3
from fibromorph.postprocessing.viewer import Layer, View, head_jpeg

SPACING_MM = 2


def on_template(image: SpatialImage, how: Literal["linear", "nearest"]) -> NDArray[np.float32]:
    """(i, j, k) of an image in MNI coordinates, on the voxels that `template_view` shows."""
    from nilearn.image import resample_to_img

    moved = resample_to_img(
        image, _template(), interpolation=how, force_resample=True, copy_header=True
    )
    return np.asarray(moved.dataobj, np.float32)


def template_view(layers: Sequence[Layer]) -> View:
    """The template with layers on its voxels, see `on_template`."""
    template = _template()
    head = np.asarray(template.dataobj, np.float32)  # from 0 to 1
    grid = Grid(shape3(head.shape), template.affine)
    return View(head_jpeg(head, 0.0, 1.0), grid, tuple(layers))


@cache
def _template() -> SpatialImage:
    from nilearn.datasets import load_mni152_template

    return load_mni152_template(resolution=SPACING_MM)
