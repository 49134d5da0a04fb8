"""The brain as a solid."""

from __future__ import annotations

import numpy as np

from fibromorph.postprocessing.brain import brain_solid

CORTEX_ID, VENTRICLE_ID, CSF_ID = 3, 4, 24


def head() -> np.ndarray:
    """Cortex around a ventricle, sulci two and four voxels wide, fluid around all."""
    labels = np.zeros((30, 30, 30), np.uint8)
    labels[3:27, 3:27, 3:27] = CSF_ID
    labels[6:24, 6:24, 6:24] = CORTEX_ID
    labels[12:18, 12:18, 12:18] = VENTRICLE_ID
    labels[6:24, 8:10, 20:24] = CSF_ID
    labels[6:24, 14:18, 20:24] = CSF_ID
    return labels


def test_ventricles_are_inside_and_the_fluid_around_the_brain_is_not() -> None:
    labels, solid = head(), brain_solid(head())
    assert solid[labels == VENTRICLE_ID].all()
    assert solid[labels == CORTEX_ID].all()
    assert not solid[:6].any()
    assert not solid[24:].any()


def test_narrow_sulci_are_closed_and_wide_ones_are_not() -> None:
    solid = brain_solid(head())
    assert solid[8:22, 8:10, 20:23].all()
    assert not solid[8:22, 15:17, 22:24].any()
