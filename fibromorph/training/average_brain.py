"""How the average brain came about that tells how heads lie (`fibromorph.pose`).

`python -m fibromorph.training.average_brain LABEL_MAPS OUT.npy` gives the one that ships to within
1 of 255 at 99 % of its points (an earlier form of these lines made it, from the same label maps).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fibromorph.datasets.labelmaps import find_label_maps, load_label_map
from fibromorph.datasets.tissues import FLUID, target_classes
from fibromorph.grid import Grid, shape3
from fibromorph.labels import FREESURFER
from fibromorph.pose import Image, Points, laid_over, points_of, sampled, smoothed

SHAPE = (24, 28, 24)
BLOCK = 4
"""Voxels of 1 mm along each side of those that the locator sees."""

ROUNDS = 4
"""From the second on poses change by less than a degree."""


def average_brain(brains: list[tuple[Image, Grid]]) -> Points:
    """Lay brains over each other and average them; `SHAPE` shares, 0 to 1, alike left and right.

    The first average takes all as they lie, so that the last lies about as they do in the mean.

    Args:
        brains: shares of brain, 0 to 1, and where their voxels lie.
    """
    seen = [(*smoothed(brain, grid), grid) for brain, grid in brains]
    turns = [np.eye(3) for _ in brains]
    points = points_of(SHAPE)
    for _ in tqdm(range(ROUNDS), unit="round"):
        laid = [
            sampled(smooth, grid, points @ turn.T + centre)
            for (smooth, centre, grid), turn in zip(seen, turns, strict=True)
        ]
        mean = np.mean(laid, axis=0).reshape(SHAPE)
        average: Points = (mean + mean[::-1]) / 2
        turns = [laid_over(brain, grid, average).axes for brain, grid in brains]
    return average


def brain_of(path: Path) -> tuple[Image, Grid]:
    """The brain of a label map as the locator would see it.

    Raises:
        LabelError: see `load_label_map`.
    """
    index = load_label_map(path).index
    shape = shape3(np.array(index.shape) // BLOCK * BLOCK)
    classes = np.array(target_classes())[index[: shape[0], : shape[1], : shape[2]]]
    brain = ((classes > 0) & (classes != FREESURFER.class_of_name(FLUID))).astype(np.float32)
    i, j, k = (n // BLOCK for n in shape)
    shares = brain.reshape(i, BLOCK, j, BLOCK, k, BLOCK).mean(axis=(1, 3, 5))
    return shares, Grid(shape, np.eye(4)).blocks(BLOCK)


def main(folder: Path, out: Path) -> None:
    average = average_brain([brain_of(path) for path in find_label_maps(folder)])
    np.save(out, np.rint(average.clip(0, 1) * 255).astype(np.uint8))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
