"""Rigid motions for the tests of this folder."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from fibromorph.grid import Affine


def motion(turn_deg: tuple[float, ...], shift_mm: tuple[float, ...]) -> Affine:
    """A turn about x, then y, then z, then a shift."""
    out = np.eye(4)
    out[:3, :3] = Rotation.from_euler("xyz", turn_deg, degrees=True).as_matrix()
    out[:3, 3] = shift_mm
    return out


def error_mm(found: Affine, expected: Affine) -> float:
    """How far the corners of a brain are from where they should be."""
    corners = np.array([[x, y, z, 1.0] for x in (-40, 40) for y in (-40, 40) for z in (-40, 40)])
    return float(np.abs((corners @ (found - expected).T)[:, :3]).max())
