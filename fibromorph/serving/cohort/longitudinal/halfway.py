"""The space in the middle of a person's sessions, and their scans seen from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fibromorph.grid import Affine, Grid, Shape3
from fibromorph.located import BRAIN_BLOCK
from fibromorph.preprocess import SPLINE, Conformed, air_of, conform
from fibromorph.scans import Finding, Scan, resample
from fibromorph.serving.cohort.longitudinal.positions import groups_of, positions_of
from fibromorph.serving.cohort.longitudinal.rigid import (
    LEAST_LIKENESS,
    MOST_TURN_DEG,
    Head,
    Registration,
    head_of,
    register,
)
from fibromorph.serving.engine import Engine

NOT_ONE_HEAD = "sessions_differ"


@dataclass(frozen=True, eq=False)
class Seen:
    """One session as it is seen from the middle of those that show the same head.

    Attributes:
        scan: with its affine in the middle space, and with a finding more if any other session
            does not show this head.
        conformed: what the network sees of it.
        others: the scans that it was conformed with; none = `scan` and `conformed` are its own.
    """

    scan: Scan
    conformed: Conformed
    others: tuple[Scan, ...]


class Halfway:
    """Conforms the sessions of a person onto one lattice in the middle of them.

    Every scan is interpolated once, by a like amount: no session serves as the template, and no
    result depends on their order or names. Sessions that do not show one head are kept apart.

    Args:
        engine: its locator finds the brains.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # A worker computes the sessions of a person one after the other: their pairs stay the same.
        self._known: dict[tuple[str, str], Registration] = {}

    def conform_jointly(self, scans: Sequence[Scan]) -> list[Seen]:
        """Conform the sessions of one person.

        Args:
            scans: two or more of one person.

        Raises:
            ScanError: no brain in one of them.
        """
        manifest, locate = self._engine.bundle.manifest, self._engine.locate
        own = [conform(s, manifest.network, manifest.locator, locate) for s in scans]
        heads = [head_of(box) for box in own]
        # By content: sums and searches then end at the same last digit whatever the order was.
        order = sorted(range(len(scans)), key=lambda i: heads[i].key)
        found = self._registered([heads[i] for i in order])
        accepted = {pair: f.motion for pair, f in found.items() if f.is_one_head}
        seen: dict[int, Seen] = {}
        for group in groups_of(len(order), accepted):
            positions = positions_of(group, accepted)
            members = [order[i] for i in group]
            boxes = _seen_together(
                [scans[i] for i in members],
                [own[i] for i in members],
                [positions[i] for i in group],
            )
            refused = [f for pair, f in found.items() if len({*pair} & {*group}) == 1]
            finding = _not_one_head(refused, len(group), len(scans))
            for i, (scan, conformed) in zip(members, boxes, strict=True):
                others = tuple(scans[j] for j in members if j != i)
                noted = replace(scan, findings=(*scan.findings, *finding))
                seen[i] = Seen(noted, conformed, others)
        return [seen[i] for i in range(len(scans))]

    def _registered(self, heads: Sequence[Head]) -> dict[tuple[int, int], Registration]:
        """Every pair (i, j), i < j: motion that brings j onto i."""
        found = {}
        for j, moving in enumerate(heads):
            for i, fixed in enumerate(heads[:j]):
                known = self._known.get((fixed.key, moving.key))
                found[i, j] = register(fixed, moving) if known is None else known
        self._known = {(heads[i].key, heads[j].key): f for (i, j), f in found.items()}
        return found


def _not_one_head(
    refused: Sequence[Registration], together: int, sessions: int
) -> tuple[Finding, ...]:
    """What to say of a session if others show another head; the majority is only told.

    Args:
        refused: of pairs of one in its group and one outside.
        together: sessions in its group.
        sessions: of the person.
    """
    if not refused:
        return ()
    best = max(refused, key=lambda found: (found.turn_deg <= MOST_TURN_DEG, found.likeness))
    message = (
        f"{sessions - together} of this person's {sessions} sessions seem to show another head, or "
        f"the same one turned over (likeness {best.likeness:.2f} where re-scans have over "
        f"{LEAST_LIKENESS}, turn {best.turn_deg:.0f} degrees): conformed without them"
    )
    value = round(best.likeness, 3)
    if 2 * together > sessions:
        return (Finding(NOT_ONE_HEAD, "note", message, value),)
    return (Finding(NOT_ONE_HEAD, "warning", message, value),)


def _seen_together(
    scans: Sequence[Scan], own: Sequence[Conformed], positions: Sequence[Affine]
) -> list[tuple[Scan, Conformed]]:
    """Scans moved to their middle, and what the network sees of them there.

    Args:
        scans: of one head; a single one is left where it is.
        own: their boxes.
        positions: motions from mm about the middles of these, along their axes.
    """
    if len(scans) == 1:
        return [(scans[0], own[0])]
    motions = [position @ _into_box(box.grid) for position, box in zip(positions, own, strict=True)]
    moved = [
        replace(scan, grid=scan.grid.moved(motion))
        for scan, motion in zip(scans, motions, strict=True)
    ]
    lattice = _lattice(own)
    return [
        (scan, _seen_on(lattice, scan, box, motion))
        for scan, box, motion in zip(moved, own, motions, strict=True)
    ]


def _into_box(grid: Grid) -> Affine:
    """From RAS mm to mm about the middle of a lattice, along its axes."""
    motion = np.eye(4)
    motion[:3, :3] = grid.axes.T
    motion[:3, 3] = -grid.axes.T @ grid.centre_ras
    return motion


def _seen_on(lattice: Grid, moved: Scan, own: Conformed, motion: Affine) -> Conformed:
    """A moved scan on the common lattice, with the brain that was found in its own box."""
    shares = own.grid.blocks(BRAIN_BLOCK).moved(motion)
    brain = resample(own.brain, shares, lattice.blocks(BRAIN_BLOCK))
    intensities = resample(moved.data, moved.grid, lattice, order=SPLINE, fill=air_of(moved.data))
    return Conformed(intensities, brain, lattice, own.tilt_deg)


def _lattice(own: Sequence[Conformed]) -> Grid:
    """Voxels of the network's spacing around the middle, as many as the largest box has.

    The middle of heads that are upright is upright.
    """
    lengths = np.max([c.grid.shape for c in own], axis=0)
    shape: Shape3 = (int(lengths[0]), int(lengths[1]), int(lengths[2]))
    spacing_mm = own[0].grid.spacing_mm[0]
    affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    affine[:3, 3] = -spacing_mm * (lengths - 1) / 2
    return Grid(shape, affine)
