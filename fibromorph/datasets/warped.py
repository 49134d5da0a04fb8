"""Real labelled scans, warped on the training device, and given a head where theirs was removed.

`augment` does the same with TorchIO on the loader's CPUs; this is for a run without spare ones, and
for scans that are skull-stripped although whole heads will have to be segmented: skull, scalp and
neck of a label map are synthesised around the brain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

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
    draw_acquisition,
    draw_contrast,
    draw_spatial,
)
from fibromorph.datasets.synthesis.acquisition import cut_mask
from fibromorph.datasets.synthesis.spatial import Places, places_of, read_linear, read_nearest
from fibromorph.datasets.tissues import FLUID_ID, GENERATION_IDS, outside_brain
from fibromorph.grid import Shape3
from fibromorph.lookups import lookup

FADE = 0.5
"""Where the brain's mask, interpolated, falls below this the head shows."""


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
        settings: how far it may stray; contrast and skull removal are those of the scan.
        seed: of this sample's own numbers, 0 or more.
        head: put around the brain where the scan is exactly zero; None = nothing.
    """
    scan = on_device.scan
    rng = Draws(seed, on_device.image.device)
    # Products in half precision would bend coordinates and kernels.
    with torch.autocast(on_device.image.device.type, enabled=False):
        spatial = draw_spatial(rng, settings, scan, shape)
        places = places_of(spatial, shape)
        image = read_linear(on_device.image, places)
        if head is not None:
            kept = read_linear((on_device.image > 0).float(), places)
            image = torch.where(kept > FADE, image, _around(head, scan, places, rng, settings))
        acquisition = draw_acquisition(rng, settings, shape)
        keep = cut_mask(shape, acquisition, image.device)
        # A removed skull stays dark: noise is added where there was a picture.
        visible = keep & ((image > 0) if head is None else keep)
        image = apply_acquisition(image, acquisition, rng) * visible
    sample = make_sample(image, read_nearest(on_device.ids, places) * keep, scan)
    if not spatial.flipped:
        return sample
    return replace(sample, sides=mirrored_sides(sample.sides))


def _around(
    head: Head,
    scan: LabelledScan,
    places: Places,
    rng: Draws,
    settings: SynthesisSettings,
) -> Tensor:
    """The head's tissues where the brain's box, stretched to the scan's, puts them."""
    index = read_nearest(head.index, _in_head(places, scan, head.source))
    outside = lookup(outside_brain(), index.device, torch.bool)[index]
    # Where this head has brain and the scan has none, there is fluid.
    index = torch.where(outside, index, GENERATION_IDS.index(FLUID_ID))
    return apply_contrast(index, draw_contrast(rng, settings), rng)


def _in_head(places: Places, scan: LabelledScan, head: LabelMap) -> Places:
    """Voxels of the scan as voxels of the head: box of the brain onto box of the brain."""
    found = []
    for axis, place in enumerate(places):
        start, stop = scan.brain_start[axis], scan.brain_stop[axis]
        first, last = head.brain_start[axis], head.brain_stop[axis]
        found.append((place - start) * ((last - first) / (stop - start)) + first)
    return found[0], found[1], found[2]
