"""Borders that two protocols draw elsewhere."""

from __future__ import annotations

import torch
from torch import Tensor

from fibromorph.datasets.borders import unsure_borders
from fibromorph.datasets.labelmaps import LabelMap
from fibromorph.datasets.synthesis import SynthesisSettings, synthesise
from fibromorph.labels import FREESURFER, NEUROMORPHOMETRICS

WHITE, CORTEX, PUTAMEN, AMYGDALA = (
    NEUROMORPHOMETRICS.class_of_name(name)
    for name in ("Cerebral-White-Matter", "Cerebral-Cortex", "Putamen", "Amygdala")
)


def test_a_voxel_on_both_sides_of_a_redrawn_border_is_left_out() -> None:
    classes = torch.full((30, 5, 5), WHITE)
    classes[5:12], classes[20:] = PUTAMEN, CORTEX
    unsure = unsure_borders(classes, NEUROMORPHOMETRICS)
    assert unsure is not None
    # Both faces of the putamen; white matter against cortex is where FreeSurfer has it.
    assert unsure[:, 2, 2].nonzero().flatten().tolist() == [4, 5, 11, 12]


def test_of_the_amygdala_two() -> None:
    classes = torch.full((30, 30, 30), WHITE)
    classes[10:18, 10:18, 10:18] = AMYGDALA
    unsure = unsure_borders(classes, NEUROMORPHOMETRICS)
    assert unsure is not None
    assert int((~unsure & (classes == AMYGDALA)).sum()) == 4**3
    assert int((unsure & (classes == WHITE)).sum()) == 12**3 - 8**3


def test_freesurfers_own_labels_count_everywhere(head_map: LabelMap, head_index: Tensor) -> None:
    settings, shape = SynthesisSettings(), (64, 64, 64)
    assert synthesise(head_map, head_index, shape, settings, 1).unsure is None
    sample = synthesise(head_map, head_index, shape, settings, 1, table=NEUROMORPHOMETRICS)
    again = unsure_borders(sample.classes, NEUROMORPHOMETRICS)
    assert sample.unsure is not None
    assert again is not None
    assert torch.equal(sample.unsure, again)
    assert 0 < float(sample.unsure.float().mean()) < 0.2
    part = sample.box((8, 8, 8), (32, 32, 32))
    assert part.unsure is not None
    assert torch.equal(part.unsure, sample.unsure[8:40, 8:40, 8:40])
    assert unsure_borders(sample.classes, FREESURFER) is None
