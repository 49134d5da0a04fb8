"""Synthesis of T1-weighted training scans from label maps, on the training device.

Draw, then apply: `draw_*` turns random numbers (`Draws`) into frozen parameters, `apply_*` is a
pure function of image and parameters, so that any sample can be made again from its parameters.
The generative model (deform, Gaussian per tissue, blur, bias, noise) follows Billot et al. 2023,
"SynthSeg", Medical Image Analysis 86:102789, with intensities ordered as in a T1 by default.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fibromorph.datasets import tissues
from fibromorph.datasets.borders import unsure_borders
from fibromorph.datasets.labelmaps import LabelMap
from fibromorph.datasets.samples import Sample, mirrored_sides
from fibromorph.datasets.synthesis.acquisition import (
    AcquisitionParams,
    apply_acquisition,
    draw_acquisition,
    keep_mask,
)
from fibromorph.datasets.synthesis.contrast import ContrastParams, apply_contrast, draw_contrast
from fibromorph.datasets.synthesis.deep import DeepParams, apply_deep, draw_deep
from fibromorph.datasets.synthesis.lesions import LesionParams, apply_lesions, draw_lesions
from fibromorph.datasets.synthesis.random import Draws
from fibromorph.datasets.synthesis.settings import SynthesisSettings
from fibromorph.datasets.synthesis.spatial import SpatialParams, apply_spatial, draw_spatial
from fibromorph.grid import Shape3
from fibromorph.labels import FREESURFER, LabelTable
from fibromorph.lookups import lookup
from fibromorph.preprocess import normalise

__all__ = [
    "AcquisitionParams",
    "ContrastParams",
    "DeepParams",
    "Draws",
    "LesionParams",
    "Sample",
    "SpatialParams",
    "SynthesisSettings",
    "apply_acquisition",
    "apply_contrast",
    "apply_deep",
    "apply_lesions",
    "apply_spatial",
    "draw_acquisition",
    "draw_contrast",
    "draw_deep",
    "draw_lesions",
    "draw_spatial",
    "keep_mask",
    "synthesise",
]


def synthesise(
    source: LabelMap,
    index: Tensor,
    shape: Shape3,
    settings: SynthesisSettings,
    seed: int,
    spacing_mm: float = 1.0,
    table: LabelTable = FREESURFER,
) -> Sample:
    """Make one sample on the device where `index` lies; the same seed gives the same sample.

    Args:
        source: names and box of the label map.
        index: its voxels as a tensor on the training device.
        shape: of the sample.
        settings: see `SynthesisSettings`.
        seed: of this sample's own numbers, 0 or more.
        spacing_mm: of the sample's voxels.
        table: whose classes the sample has; what it distinguishes beyond FreeSurfer is grouped,
            borders that it draws elsewhere are left out (`unsure_borders`).
    """
    rng = Draws(seed, index.device)
    # Products in half precision would bend coordinates and kernels.
    with torch.autocast(index.device.type, enabled=False):
        spatial = draw_spatial(rng, settings, source, shape, spacing_mm)
        anatomy = apply_spatial(index, spatial, shape)
        image = apply_contrast(anatomy, draw_contrast(rng, settings), rng)
        acquisition = draw_acquisition(rng, settings, shape, spatial.matrix)
        keep = keep_mask(anatomy, acquisition)
        names = tissues.structure_names()
        if deep := draw_deep(rng, settings, shape):
            image = apply_deep(image, anatomy, names, deep)
        if lesions := draw_lesions(rng, settings, shape):
            image = apply_lesions(image, anatomy, names, lesions)
        image = apply_acquisition(image, acquisition, rng) * keep
        anatomy = anatomy * keep
    classes = lookup(tissues.target_classes(table), index.device)[anatomy]
    sides = lookup(tissues.target_sides(), index.device)[anatomy]
    if spatial.flipped:
        sides = mirrored_sides(sides)
    groups = table.coarse_classes()
    told_apart = groups == tuple(range(len(groups)))
    unsure = unsure_borders(classes, table)
    return Sample(normalise(image), classes, sides, () if told_apart else groups, unsure)
