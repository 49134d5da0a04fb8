"""A cortex that is made thinner is thinner by as much."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from fibromorph.postprocessing.thickness import Ribbon
from fibromorph.serving.measuring.thinning import thinned
from tests.postprocessing.test_cortex import CORTEX, WHITE, drawn, gyri, shell

INTENSITY = {WHITE: 100.0, CORTEX: 60.0, 24: 20.0}
Head = Callable[..., NDArray[np.uint8]]


def with_fluid(head: Head) -> Head:
    return lambda at: np.where(head(at) == 0, 24, head(at)).astype("u1")


def image_of(head: Head, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """As a scanner without noise would see it: every voxel has the mean of what is in it."""
    fine = 4
    axes = [(np.arange(n * fine) + 0.5) / fine - n / 2 for n in shape]
    ids = head(np.stack(np.meshgrid(*axes, indexing="ij")))
    values = np.select([ids == i for i in INTENSITY], [*INTENSITY.values()])
    i, j, k = shape
    blocks = values.reshape(i, fine, j, fine, k, fine)
    return np.asarray(blocks.mean((1, 3, 5)), np.float32)


@pytest.mark.parametrize("thinner_mm", [0.1, 0.2, 0.4])
def test_a_thinner_shell_looks_like_a_thinner_shell(thinner_mm: float) -> None:
    shape = (56, 56, 56)
    before, after = (with_fluid(shell(t)) for t in (2.5, 2.5 - thinner_mm))
    image = image_of(before, shape)
    layer = np.full(shape, thinner_mm, np.float32)
    found = thinned(image, Ribbon(*drawn(shape, before)), layer, 1.0)
    wanted = image_of(after, shape)
    lost, should = (image.sum() - one.sum() for one in (found, wanted))
    assert lost == pytest.approx(should, rel=0.05)
    # Voxel by voxel: a surface at an angle to the voxels cuts corners off.
    assert np.abs(found - wanted).max() < 7
    assert np.abs(found - wanted).mean() < 0.5 * np.abs(image - wanted).mean()


def test_between_two_banks_a_gap_opens() -> None:
    shape = (48, 48, 40)
    banks = with_fluid(gyri(20.0, 2.5, 0.0))
    image = image_of(banks, shape)
    found = thinned(image, Ribbon(*drawn(shape, banks)), np.full(shape, 0.3, np.float32), 1.0)
    walls = (slice(8, -8), slice(8, -8), slice(18, 30))
    # Blades of 3 mm with 2.5 mm on either side: one millimetre of 8 is a bank's surface, twice.
    assert (image - found)[walls].mean() == pytest.approx(2 * 0.3 * 40 / 8, rel=0.1)


def test_what_is_to_stay_stays() -> None:
    shape = (56, 56, 56)
    head = with_fluid(shell(2.5))
    image = image_of(head, shape)
    layer = np.zeros(shape, np.float32)
    layer[:28] = 0.3
    found = thinned(image, Ribbon(*drawn(shape, head)), layer, 1.0)
    assert (found[30:] == image[30:]).all()
    assert (found[:26] < image[:26]).any()
