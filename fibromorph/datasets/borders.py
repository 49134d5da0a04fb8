"""Where a reference of another protocol cannot teach: borders that the two draw elsewhere."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fibromorph.labels import LabelTable
from fibromorph.lookups import lookup


def unsure_borders(classes: Tensor, table: LabelTable) -> Tensor | None:
    """Voxels of 1 mm, labelled by FreeSurfer's protocol, that `table` may call something else.

    Structures that both protocols have keep their inside; their borders are taught by scans whose
    labels are of the protocol itself. Taught both, a network draws a border in between, and its
    volumes are biased towards the other protocol.

    Args:
        classes: (i, j, k) int64 classes of `table`.
        table: see `LabelTable.redrawn`.

    Returns:
        (i, j, k) bool: on both sides of the borders of redrawn structures, as far from a voxel of
        another class as they may be off; None where the table redraws none.
    """
    widths = table.border_widths()
    found = None
    for width in sorted(set(widths) - {0}):
        codes = tuple(float(c) if w == width else 0.0 for c, w in enumerate(widths))
        image = lookup(codes, classes.device, torch.float32)[classes]
        near = (_largest(image, width) != image) | (-_largest(-image, width) != image)
        found = near if found is None else found | near
    return found


def _largest(image: Tensor, reach: int) -> Tensor:
    """The largest value of the cube around each voxel, an axis at a time."""
    pooled = image[None, None]
    for axis in range(3):
        size, padding = [1, 1, 1], [0, 0, 0]
        size[axis], padding[axis] = 2 * reach + 1, reach
        pooled = F.max_pool3d(pooled, size, stride=1, padding=padding)
    return pooled[0, 0]
