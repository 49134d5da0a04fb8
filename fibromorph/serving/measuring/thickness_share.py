"""How much of a thinner cortex arrives in its measured thickness."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fibromorph.labels import CORTEX, Label, LabelTable
from fibromorph.manifest import Bundle, Manifest, MeasuredShare, ThicknessErrors, merged_thickness
from fibromorph.models.card import edit_bundle
from fibromorph.postprocessing.thickness import Ribbon, claimed_regions
from fibromorph.scans import Scan
from fibromorph.serving.beyond import BeyondVolumes
from fibromorph.serving.engine import Engine
from fibromorph.serving.measuring.thinning import thinned
from fibromorph.serving.pipeline import Segmented, segment_scan
from fibromorph.serving.ribbon import draw_ribbon
from fibromorph.serving.thickness import Cortex

THINNER_MM = 0.2
"""Of 0.1 and of 0.4 mm about the same share arrives (`make bench-thickness`)."""


@dataclass(frozen=True, eq=False)
class _Head:
    """A scan and what its cortex was found to be.

    Attributes:
        base: the undisturbed scan, segmented.
        ribbon: both surfaces.
        region: (i, j, k) the region of each voxel of the cortex, 0 elsewhere and in tables without
            regions of the cortex.
        before: thickness in mm by the name of a row.
    """

    base: Segmented
    ribbon: Ribbon
    region: NDArray[np.int32]
    before: Mapping[str, float]


@dataclass(frozen=True)
class _Thinner:
    """Where a head's cortex is thinner.

    Attributes:
        regions: ids of these regions; None = everywhere.
        names: the rows of which that is true throughout.
    """

    regions: frozenset[int] | None
    names: frozenset[str]

    def layer(self, region: NDArray[np.int32]) -> NDArray[np.float32]:
        """What is lost at each voxel of the cortex, in mm."""
        there = True if self.regions is None else np.isin(region, [*self.regions])
        return np.where(there, THINNER_MM, np.zeros(region.shape)).astype(np.float32)


def pairs_of(table: LabelTable, patterns: int) -> int:
    """How many pairs of heads `thinner_rows` compares."""
    return 1 + (patterns if _cortical(table) else 0)


def thinner_rows(
    scan: Scan,
    engine: Engine,
    beyond: BeyondVolumes,
    rng: np.random.Generator,
    patterns: int,
    done: Callable[[], object] = lambda: None,
) -> list[dict[str, object]]:
    """True and found changes between heads that differ in the thickness of their cortex alone.

    Of the regions of the cortex half are thinner in one head, at random, and the other half in the
    other; hemispheres, and their mean, are thinner everywhere in one.

    Args:
        scan: with dark air, see `with_dark_air`.
        engine: of the regions.
        beyond: that measures thickness.
        rng: of the patterns.
        patterns: of regions.
        done: called when a head is measured, `pairs_of` times two.

    Returns:
        A row a region and pair: scan, region_id, name, true_log_change, found_log_change.
    """
    head = _head(scan, engine, beyond)
    assert head.base.cortex is not None
    ids = {row.name: row.region_id for row in head.base.cortex.rows if row.thickness_mm}
    rows: list[dict[str, object]] = []
    for pair in _pairs(head, rng, patterns):
        found = []
        for one in pair:
            found.append(_found(head, one, engine, beyond))
            done()
        names = pair[0].names | pair[1].names
        for name in (n for n in ids if n in names and all(n in one for one in found)):
            true = [head.before[name] - THINNER_MM * (name in one.names) for one in pair]
            row: dict[str, object] = {
                "scan": scan.stem,
                "region_id": ids[name],
                "name": name,
                "true_log_change": float(np.log(true[0] / true[1])),
                "found_log_change": float(np.log(found[0][name] / found[1][name])),
            }
            rows.append(row)
    return rows


def update_thickness_shares(
    bundle: Bundle, found: Mapping[str, MeasuredShare], ribbon: str
) -> None:
    """Write the shares into a bundle's manifest and card.

    Args:
        bundle: to update.
        found: by the name of a row.
        ribbon: name and version of the bundle that draws both surfaces.
    """

    def change(latest: Manifest) -> dict[str, object]:
        errors = ThicknessErrors(ribbon=ribbon, responsiveness=dict(found))
        return {"thickness": merged_thickness(latest.thickness, errors)}

    edit_bundle(bundle.folder, change)


def _head(scan: Scan, engine: Engine, beyond: BeyondVolumes) -> _Head:
    base = segment_scan(scan, engine, beyond=beyond)
    assert base.cortex is not None
    ribbon = draw_ribbon(beyond.ribbon, base.conformed).ribbon
    measured = base.cortex.thickness > 0
    region = np.zeros(measured.shape, np.int32)
    regions = _cortical(base.table)
    if regions:
        region[measured] = claimed_regions(base.labels, measured, ribbon, regions)
    return _Head(base, ribbon, region, _by_name(base.cortex))


def _cortical(table: LabelTable) -> list[Label]:
    return [label for label in table if label.parent == CORTEX]


def _by_name(cortex: Cortex) -> dict[str, float]:
    return {row.name: row.thickness_mm for row in cortex.rows if row.thickness_mm is not None}


def _pairs(
    head: _Head, rng: np.random.Generator, patterns: int
) -> Iterator[tuple[_Thinner, _Thinner]]:
    """See `thinner_rows`."""
    regions = _cortical(head.base.table)
    for _ in range(patterns if regions else 0):
        order = rng.permutation(len(regions))
        half = len(order) // 2
        yield _these(regions, order[:half]), _these(regions, order[half:])
    wholes = head.before.keys() - {region.name for region in regions}
    yield _Thinner(None, frozenset(wholes)), _Thinner(frozenset(), frozenset())


def _these(regions: list[Label], chosen: NDArray[np.intp]) -> _Thinner:
    some = [regions[number] for number in chosen]
    return _Thinner(frozenset(r.id for r in some), frozenset(r.name for r in some))


def _found(
    head: _Head, thinner: _Thinner, engine: Engine, beyond: BeyondVolumes
) -> Mapping[str, float]:
    """Thickness in mm by the name of a row, measured anew."""
    conformed = head.base.conformed
    image = thinned(
        conformed.intensities,
        head.ribbon,
        thinner.layer(head.region),
        conformed.grid.spacing_mm[0],
        engine.threads,
    )
    scan = replace(head.base.scan, data=image, grid=conformed.grid)
    cortex = segment_scan(scan, engine, beyond=beyond).cortex
    assert cortex is not None
    return _by_name(cortex)
