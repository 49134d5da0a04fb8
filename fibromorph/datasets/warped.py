"""Real labelled scans, warped on the training device, and given a head where theirs was removed.

`augment` does the same with TorchIO on the loader's CPUs; this is for a run without spare ones, and
for scans that are skull-stripped although whole heads will have to be segmented: skull, scalp and
neck of a label map are synthesised around the brain, and the fluid between.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor

from fibromorph.datasets.labelled import LabelledScan, make_sample
from fibromorph.datasets.labelmaps import LabelMap
from fibromorph.datasets.samples import Sample, mirrored_sides
from fibromorph.datasets.synthesis import (
    Draws,
    SynthesisSettings,
    apply_acquisition,
    apply_contrast,
    apply_lesions,
    draw_acquisition,
    draw_contrast,
    draw_lesions,
    draw_spatial,
    keep_mask,
)
from fibromorph.datasets.synthesis.acquisition import cut_mask
from fibromorph.datasets.synthesis.spatial import (
    Places,
    SpatialParams,
    places_of,
    read_linear,
    read_nearest,
)
from fibromorph.datasets.tissues import FLUID_ID, GENERATION_IDS, outside_brain
from fibromorph.grid import Shape3
from fibromorph.labels import FREESURFER, LabelTable
from fibromorph.lookups import lookup

FADE = 0.5
"""Where the brain's mask, interpolated, falls below this the head shows."""

FLUID_INDEX = GENERATION_IDS.index(FLUID_ID)
BRAIN_INDEX = GENERATION_IDS.index(FREESURFER.ids_of("Cerebral-White-Matter")[0])
"""Any structure of the brain will do where a skull is to be removed."""


@dataclass(frozen=True, eq=False)
class ScanOnDevice:
    """A labelled scan whose voxels lie on the training device.

    Attributes:
        scan: names, boxes, table.
        image: (i, j, k) float32, brain about 1, exactly 0 where the skull was removed.
        ids: (i, j, k) uint8.
    """

    scan: LabelledScan
    image: Tensor
    ids: Tensor

    @classmethod
    def of(cls, scan: LabelledScan, device: torch.device) -> ScanOnDevice:
        """Copy a scan to a device."""
        image, ids = torch.from_numpy(scan.image), torch.from_numpy(scan.ids)
        return cls(scan, image.to(device), ids.to(device))


@dataclass(frozen=True, eq=False)
class Head:
    """What to put around a brain: a label map, and its voxels on the training device."""

    source: LabelMap
    index: Tensor


def warp(
    on_device: ScanOnDevice,
    shape: Shape3,
    settings: SynthesisSettings,
    seed: int,
    head: Head | None = None,
) -> Sample:
    """One sample of a real scan; the same seed gives the same sample.

    Args:
        on_device: the scan.
        shape: of the sample.
        settings: how far it may stray; the contrast is the scan's own, and a skull is removed only
            where `head` has put one around it.
        seed: of this sample's own numbers, 0 or more.
        head: put around the brain where the scan is exactly zero; None = nothing.
    """
    scan = on_device.scan
    rng = Draws(seed, on_device.image.device)
    # Products in half precision would bend coordinates and kernels.
    with torch.autocast(on_device.image.device.type, enabled=False):
        spatial = draw_spatial(rng, settings, scan, shape)
        places = places_of(spatial, shape)
        image, ids = read_linear(on_device.image, places), read_nearest(on_device.ids, places)
        if head is not None:
            bare = read_linear((on_device.image > 0).float(), places) <= FADE
            around = _around(head, scan, places, spatial)
            contrast = apply_contrast(around, draw_contrast(rng, settings), rng)
            image = torch.where(bare, contrast, image)
            if scan.tells_fluid:
                ids = torch.where(bare & (ids == 0) & (around == FLUID_INDEX), FLUID_ID, ids)
        acquisition = draw_acquisition(rng, settings, shape)
        if head is None:
            keep = cut_mask(shape, acquisition, image.device)
        else:
            # Beside what is labelled, what the scan shows is fluid and membranes.
            inside = torch.where((ids > 0) & (ids != FLUID_ID), BRAIN_INDEX, FLUID_INDEX)
            keep = keep_mask(torch.where(bare, around, inside), acquisition)
        lesions = draw_lesions(rng, settings, shape)
        if lesions:
            image = apply_lesions(image, ids, _structure_names(scan.table), lesions)
        # A removed skull stays dark: noise is added where there was a picture.
        visible = keep & ((image > 0) if head is None else keep)
        image = apply_acquisition(image, acquisition, rng) * visible
    sample = make_sample(image, ids * keep, scan)
    if not spatial.flipped:
        return sample
    return replace(sample, sides=mirrored_sides(sample.sides))


@cache
def _structure_names(table: LabelTable) -> tuple[str, ...]:
    """Of every id below 256, '' of what the table does not have."""
    names = {label.id: s.name for s in table.structures for label in s.labels}
    return tuple(names.get(n, "") for n in range(256))


def _around(head: Head, scan: LabelledScan, places: Places, spatial: SpatialParams) -> Tensor:
    """Generation indices of the head where the brain's box, stretched to the scan's, puts them."""
    index = read_nearest(head.index, _in_head(places, scan, head.source, spatial))
    outside = lookup(outside_brain(), index.device, torch.bool)[index]
    # Where this head has brain and the scan has none, there is fluid.
    return torch.where(outside, index, FLUID_INDEX)


def _in_head(places: Places, scan: LabelledScan, head: LabelMap, spatial: SpatialParams) -> Places:
    """Voxels of the scan as voxels of the head: box of the brain onto box of the brain.

    A brain that is smaller than its skull has room for, here, has the larger head.
    """
    found = []
    for axis, place in enumerate(places):
        still = float(spatial.shrunk_about[axis])
        grown = (place - still) * spatial.shrunk_to + still
        start, stop = scan.brain_start[axis], scan.brain_stop[axis]
        first, last = head.brain_start[axis], head.brain_stop[axis]
        found.append((grown - start) * ((last - first) / (stop - start)) + first)
    return found[0], found[1], found[2]
