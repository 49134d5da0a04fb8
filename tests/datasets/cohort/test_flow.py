from __future__ import annotations

import numpy as np

from fibromorph.datasets.cohort.body import Mould, draw_elastic
from fibromorph.datasets.cohort.flow import Lattice, at_nodes, flow, on_voxels


def test_the_way_back_undoes_the_way_there(mould: Mould) -> None:
    velocity = draw_elastic(np.random.default_rng(0), mould.lattice)
    there, back = flow(velocity, 4), flow(-velocity, 4)
    nodes = np.indices(mould.lattice.shape, dtype=np.float32)
    arrived = (nodes + there / 4).astype(np.float32)
    left_over = np.add(there, at_nodes(back, arrived))
    assert np.abs(there).max() > 2.0
    assert np.abs(left_over[:, 3:-3, 3:-3, 3:-3]).max() < 0.3


def test_a_flow_never_folds(mould: Mould) -> None:
    velocity = 3 * draw_elastic(np.random.default_rng(1), mould.lattice)
    moved = flow(velocity, 4)
    gradients = np.stack([np.stack(np.gradient(part, 4.0)) for part in moved])
    jacobian = np.moveaxis(gradients, (0, 1), (-2, -1)) + np.eye(3)
    assert np.linalg.det(jacobian).min() > 0


def test_fields_are_read_linearly_and_held_beyond_the_border() -> None:
    lattice = Lattice((9, 9, 9), 4)
    field = np.stack(3 * [np.indices(lattice.shape, dtype=np.float32)[0]])
    read = on_voxels(field, lattice, (-2, 0, 0), 1, (13, 2, 2))
    assert lattice.shape == (3, 3, 3)
    assert np.allclose(read[0, :, 0, 0], np.clip(np.arange(-2, 11) / 4, 0, 2))
