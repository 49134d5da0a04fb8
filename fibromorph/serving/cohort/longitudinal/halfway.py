"""The space in the middle of a person's sessions, and their scans seen from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from fibromorph.grid import Affine, Grid, Shape3
from fibromorph.preprocess import BRAIN_BLOCK, Conformed, air_of, conform
from fibromorph.scans import Scan, resample
from fibromorph.serving.cohort.longitudinal.rigid import register
from fibromorph.serving.engine import Engine


def conform_jointly(scans: Sequence[Scan], engine: Engine) -> list[tuple[Scan, Conformed]]:
    """Conform the sessions of one person onto one lattice in the middle of them.

    Every scan is interpolated once, by a like amount: no session serves as the template.

    Args:
        scans: two or more of one person.
        engine: its locator finds the brains.

    Returns:
        Of every scan: the scan with its affine in the middle space, and what the network sees.

    Raises:
        ScanError: no brain in one of them.
    """
    manifest = engine.bundle.manifest
    own = [conform(s, manifest.network, manifest.locator, engine.locate) for s in scans]
    to_first = [np.eye(4), *(register(own[0], other) for other in own[1:])]
    to_middle = [np.linalg.inv(middle_of(to_first)) @ motion for motion in to_first]
    moved = [
        replace(scan, grid=_moved(scan.grid, motion))
        for scan, motion in zip(scans, to_middle, strict=True)
    ]
    centres = [motion @ [*c.grid.centre_ras, 1.0] for motion, c in zip(to_middle, own, strict=True)]
    lattice = _lattice(own, np.mean(centres, axis=0)[:3])
    return [
        (scan, _seen_on(lattice, scan, box, motion))
        for scan, box, motion in zip(moved, own, to_middle, strict=True)
    ]


def seen_from_middle(
    scan: Scan, siblings: Sequence[Scan], engine: Engine
) -> tuple[Scan, Conformed]:
    """One session conformed jointly with the others; whichever is asked for, the middle is one.

    Raises:
        ScanError: no brain in one of them.
    """
    scans = sorted((scan, *siblings), key=lambda s: str(s.source))
    return conform_jointly(scans, engine)[scans.index(scan)]


def middle_of(motions: Sequence[Affine]) -> Affine:
    """The mean of rigid motions: mean turn, mean shift; of two, the point half-way."""
    middle = np.eye(4)
    middle[:3, :3] = Rotation.from_matrix([m[:3, :3] for m in motions]).mean().as_matrix()
    middle[:3, 3] = np.mean([m[:3, 3] for m in motions], axis=0)
    return middle


def _moved(grid: Grid, motion: Affine) -> Grid:
    return Grid(grid.shape, motion @ grid.affine_ijk_to_ras)


def _seen_on(lattice: Grid, moved: Scan, own: Conformed, motion: Affine) -> Conformed:
    """A moved scan on the common lattice, with the brain that was found in its own box."""
    shares = _moved(own.grid.blocks(BRAIN_BLOCK), motion)
    brain = resample(own.brain, shares, lattice.blocks(BRAIN_BLOCK))
    intensities = resample(moved.data, moved.grid, lattice, fill=air_of(moved.data))
    return Conformed(intensities, brain, lattice, lattice, own.intracranial_ml)


def _lattice(own: Sequence[Conformed], centre_ras: np.ndarray) -> Grid:
    """RAS+ voxels of the network's spacing around a centre, as many as the largest box has."""
    lengths = np.max([c.grid.shape for c in own], axis=0)
    shape: Shape3 = (int(lengths[0]), int(lengths[1]), int(lengths[2]))
    spacing_mm = own[0].grid.spacing_mm[0]
    affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    affine[:3, 3] = centre_ras - spacing_mm * (lengths - 1) / 2
    return Grid(shape, affine)
