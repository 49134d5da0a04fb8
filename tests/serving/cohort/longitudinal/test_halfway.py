from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fibromorph.grid import Grid
from fibromorph.scans import Scan, resample
from fibromorph.serving.bundles import find_bundle
from fibromorph.serving.cohort.longitudinal import rigid
from fibromorph.serving.cohort.longitudinal.halfway import NOT_ONE_HEAD, Halfway, Seen
from fibromorph.serving.engine import Engine
from tests.serving.cohort.longitudinal.motions import motion
from tests.serving.cohort.study import SHAPE, SPACING_MM, folded_head

TURNS = ((0.0, 0.0, 0.0), (-3.0, 2.0, 4.0), (5.0, -1.0, -6.0), (2.0, 6.0, 1.0))


@pytest.fixture(scope="module")
def engine(bundle: Path) -> Engine:
    return Engine(find_bundle(str(bundle)), "cpu", 1)


@pytest.fixture(autouse=True)
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds instead of minutes; how well motions are found is the registration's own test."""
    monkeypatch.setattr(rigid, "SPACINGS_MM", (8.0,))


def visit(person: int, number: int) -> Scan:
    """A scan of a person in a position, and with noise, of its own."""
    affine = np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0])
    affine[:3, 3] = -SPACING_MM * (np.array(SHAPE) - 1) / 2
    grid = Grid(SHAPE, affine)
    move = motion(TURNS[number], (number, -2.0 * number, 1.5))
    image = resample(folded_head(person, number), Grid(SHAPE, move @ affine), grid)
    return Scan(image, grid, f"{number}", Path(f"{person}-{number}"), "NIfTI-1", "", ())


def codes(seen: Seen) -> list[tuple[str, str]]:
    return [(finding.code, finding.severity) for finding in seen.scan.findings]


def test_order_and_names_change_no_bit(engine: Engine) -> None:
    scans = [visit(1, number) for number in range(3)]
    expected = Halfway(engine).conform_jointly(scans)
    for order in ((2, 1, 0), (1, 2, 0)):
        renamed = [replace(scans[i], source=Path(f"{place}")) for place, i in enumerate(order)]
        for i, seen in zip(order, Halfway(engine).conform_jointly(renamed), strict=True):
            assert np.array_equal(seen.conformed.intensities, expected[i].conformed.intensities)
            assert np.array_equal(seen.conformed.brain, expected[i].conformed.brain)
            affine = expected[i].scan.grid.affine_ijk_to_ras
            assert np.array_equal(seen.scan.grid.affine_ijk_to_ras, affine)
            assert len(seen.others) == 2
            assert codes(seen) == []


def test_sessions_lie_on_each_other(engine: Engine) -> None:
    scans = [visit(1, number) for number in range(3)]
    boxes = [seen.conformed.intensities for seen in Halfway(engine).conform_jointly(scans)]
    for box in boxes[1:]:
        assert np.corrcoef(box.ravel(), boxes[0].ravel())[0, 1] > 0.98


def test_of_two_heads_each_is_left_where_it_is_and_both_are_told(engine: Engine) -> None:
    scans = [visit(1, 0), visit(2, 1)]
    for scan, seen in zip(scans, Halfway(engine).conform_jointly(scans), strict=True):
        assert seen.others == ()
        assert seen.scan.grid is scan.grid
        assert codes(seen) == [(NOT_ONE_HEAD, "warning")]
        assert "1 of this person's 2 sessions" in seen.scan.findings[0].message


def test_one_stranger_among_three_keeps_no_one_from_meeting(engine: Engine) -> None:
    first, stranger, second = visit(1, 0), visit(2, 1), visit(1, 2)
    halfway = Halfway(engine)
    one, odd, other = halfway.conform_jointly([first, stranger, second])
    assert (one.others, odd.others, other.others) == ((second,), (), (first,))
    assert codes(one) == codes(other) == [(NOT_ONE_HEAD, "note")]
    assert codes(odd) == [(NOT_ONE_HEAD, "warning")]
    alone = halfway.conform_jointly([first, second])
    assert np.array_equal(alone[0].conformed.intensities, one.conformed.intensities)
