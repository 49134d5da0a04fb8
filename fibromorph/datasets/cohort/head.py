"""A head around a brain that has none, so that its intracranial volume can be estimated."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fibromorph.datasets.cohort.anatomy import Anatomy

PADDING_MM = 26
CLOSING_MM = 8.0
CSF = 24


@dataclass(frozen=True)
class Layer:
    """A shell around the brain: outer distance in mm, intensity (white matter = 1), its spread."""

    outer_mm: float
    level: float
    texture: float


LAYERS = (
    Layer(1.5, 0.22, 0.02),  # fluid under the dura
    Layer(3.5, 0.06, 0.02),  # inner table
    Layer(5.5, 0.50, 0.12),  # marrow
    Layer(7.5, 0.06, 0.02),  # outer table
    Layer(12.0, 0.62, 0.15),  # muscle and connective tissue
    Layer(16.0, 1.10, 0.12),  # fat and skin
)


def with_head(anatomy: Anatomy, rng: np.random.Generator) -> Anatomy:
    """Wrap a skull-stripped brain in fluid, skull and scalp.

    What lies inside the skull and had no label becomes CSF (24), so that the labels fill the
    intracranial volume. Thickness and texture vary smoothly over the head.

    Args:
        anatomy: empty outside the brain.
        rng: draws thickness and texture.
    """
    image = np.pad(anatomy.intensities, PADDING_MM)
    labels = np.pad(anatomy.labels, PADDING_MM)
    distance = _distance_mm((labels > 0) | (image > 0.1))
    distance *= 1 + 0.12 * _smooth_noise(rng, labels.shape, 25.0)
    inside_skull = distance <= LAYERS[0].outer_mm
    labels = np.where(inside_skull & (labels == 0), CSF, labels).astype(np.uint8)
    empty = (image <= 0.1) & (distance <= LAYERS[-1].outer_mm)
    shells = _shells(distance, _smooth_noise(rng, labels.shape, 1.5))
    i, j, k = (-PADDING_MM,) * 3
    a, b, c = labels.shape
    image = np.where(empty, shells, image).astype(np.float32)
    return replace(
        anatomy,
        name=f"{anatomy.name} with head",
        intensities=image,
        labels=labels,
        grid=anatomy.grid.box((i, j, k), (a, b, c)),
    )


def _distance_mm(brain: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Distance from the brain once its sulci are closed; 0 inside, slightly smoothed."""
    # Closing as two distance maps: ball-shaped, and much faster than a large structuring element.
    grown = ndimage.distance_transform_edt(~brain) <= CLOSING_MM
    closed = ndimage.distance_transform_edt(grown) > CLOSING_MM
    distance = ndimage.distance_transform_edt(~(closed | brain))
    return np.asarray(ndimage.gaussian_filter(distance.astype(np.float32), 1.0))


def _shells(distance: NDArray[np.float32], texture: NDArray[np.float32]) -> NDArray[np.float32]:
    limits = [layer.outer_mm for layer in LAYERS]
    which = np.digitize(distance, limits, right=True)
    levels = np.array([*(layer.level for layer in LAYERS), 0.0], np.float32)
    spreads = np.array([*(layer.texture for layer in LAYERS), 0.0], np.float32)
    shells = levels[which] + spreads[which] * texture
    return np.asarray(ndimage.gaussian_filter(shells, 0.5))


def _smooth_noise(
    rng: np.random.Generator, shape: tuple[int, ...], sigma_mm: float
) -> NDArray[np.float32]:
    """Zero mean, unit variance, correlated over `sigma_mm` voxels of 1 mm."""
    step = max(1, round(sigma_mm / 2))
    coarse = [-(-n // step) + 1 for n in shape]
    noise = ndimage.gaussian_filter(rng.standard_normal(coarse, dtype=np.float32), sigma_mm / step)
    zoomed = ndimage.zoom(noise, step, order=1)[tuple(slice(n) for n in shape)]
    return np.asarray((zoomed - zoomed.mean()) / zoomed.std())
