"""How much of a change of one structure alone arrives in its volume.

A network reads borders partly from what lies around them. Where a whole neighbourhood is smaller,
its volumes follow; where one structure is smaller between unchanged neighbours, part of the change
is lost. How much is lost belongs to the tool, and is measured here: heads are segmented, deformed
so that every structure gets another volume, and segmented again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fibromorph.datasets.cohort.acquisition import Visit, draw_visit, scan_grid, take_scan
from fibromorph.datasets.cohort.body import Body, Mould, mould_of, shape_body
from fibromorph.datasets.cohort.norms import INTRACRANIAL_ML
from fibromorph.errors import require_amount
from fibromorph.files import write_whole
from fibromorph.manifest import Bundle, LabelEntry, Manifest, MeasuredShare
from fibromorph.models.card import edit_bundle
from fibromorph.progress import Bar
from fibromorph.progress import bar as progress_bar
from fibromorph.scans import Scan, read_scan
from fibromorph.scans.read import require_distinct
from fibromorph.serving.beyond import BeyondVolumes, beyond_volumes
from fibromorph.serving.bundles import find_bundle
from fibromorph.serving.engine import Engine
from fibromorph.serving.extras import Extras
from fibromorph.serving.measuring.rescan import with_dark_air
from fibromorph.serving.measuring.thickness_share import (
    pairs_of,
    thinner_rows,
    update_thickness_shares,
)
from fibromorph.serving.pipeline import segment_scan
from fibromorph.serving.ribbon import has_ribbon
from fibromorph.serving.simulate import segmented_anatomy

CHANGE, LARGE_CHANGE = 0.15, 0.04
"""Of the volume, up or down: of a small structure, of one above `LARGE_ML`."""
LARGE_ML = 30.0
PATTERNS = 2
"""Draws of who grows and who shrinks, a head; each is taken with its opposite."""
SMALLEST_TRUE = 0.03
"""Log changes below it (there was no room for more) tell too little of a share."""
VOXEL_MM, NOISE = 1.0, 0.02
NAME = "responsiveness.tsv"
NAME_THICKNESS = "responsiveness_thickness.tsv"


def measure_responsiveness(
    scans: Sequence[Path],
    out: Path,
    *,
    model: str = "t1-open",
    device: str = "auto",
    threads: int = 0,
    seed: int = 1,
    update_bundle: bool = False,
) -> str:
    """Change heads, segment them, and compare; writes `responsiveness.tsv`.

    The share is the difference of the log soft volumes of a head and its opposite, over that of
    their true volumes: 1 is right, 0 is blind. `responsiveness_thickness.tsv` has likewise what
    arrives of a thinner cortex, where the bundle can measure that.

    Args:
        scans: heads; each is segmented by the bundle itself, and those labels are deformed with it.
        out: folder, made when it does not exist.
        model, device, threads: see `Engine`.
        seed: of the changes.
        update_bundle: write the shares into manifest and card.

    Returns:
        The shares as text.

    Raises:
        ConfigError: two scans of one name, or a negative seed.
        ScanError: a scan cannot be read or shows no brain.
    """
    require_distinct(scans)
    require_amount(seed, "--seed")
    engine = Engine(find_bundle(model), device, threads)
    out.mkdir(parents=True, exist_ok=True)
    table = _changed(scans, out / NAME, engine, seed)
    found = summarise(table)
    beyond = None
    if has_ribbon(engine.bundle):
        beyond = beyond_volumes(engine, device, Extras(thickness=True))
    thinner = {}
    if beyond is not None:
        thinner = summarise(_thinner(scans, out / NAME_THICKNESS, engine, beyond, seed))
    if update_bundle:
        update_responsiveness(engine.bundle, found)
        if beyond is not None:
            ribbon = beyond.ribbon.bundle.manifest.full_name
            update_thickness_shares(engine.bundle, thinner, ribbon)
    return responsiveness_text(found, thinner)


def summarise(table: pd.DataFrame) -> dict[str, MeasuredShare]:
    """Region -> mean share of left and right, and its standard deviation over heads and draws.

    Twins share both: a mirrored head gives the mirrored answer.
    """
    usable = table[table.true_log_change.abs() >= SMALLEST_TRUE]
    shares = usable.found_log_change / usable.true_log_change
    structures = usable.name.str.replace(r"^(Left|Right)-", "", regex=True)
    groups = {str(name): part.to_numpy(float) for name, part in shares.groupby(structures)}
    return {
        str(region): MeasuredShare(
            mean=round(float(groups[name].mean()), 3), sd=round(float(groups[name].std(ddof=1)), 3)
        )
        for region, name in zip(usable["name"], structures, strict=True)
        if len(groups[name]) > 1
    }


def responsiveness_text(
    found: Mapping[str, MeasuredShare], thinner: Mapping[str, MeasuredShare]
) -> str:
    """For a terminal: a line a region; those of thickness below those of volume, if there are."""
    lines = [f"{'region':<40} {'share':>5} {'sd':>5}", *map(_line, found.items())]
    if thinner:
        lines += ["", f"{'of a thinner cortex':<40}", *map(_line, thinner.items())]
    return "\n".join(lines)


def _line(of: tuple[str, MeasuredShare]) -> str:
    name, share = of
    return f"{name:<40} {share.mean:5.2f} {share.sd:5.2f}"


def update_responsiveness(bundle: Bundle, found: Mapping[str, MeasuredShare]) -> None:
    """Write the shares of volumes into a bundle's manifest and card."""

    def change(latest: Manifest) -> dict[str, object]:
        return {"labels": tuple(_with_share(e, found.get(e.name)) for e in latest.labels)}

    edit_bundle(bundle.folder, change)


def _with_share(entry: LabelEntry, found: MeasuredShare | None) -> LabelEntry:
    if found is None:
        return entry
    known = {"responsiveness": found.mean, "responsiveness_sd": found.sd}
    return entry.model_copy(update=known)


def _changed(scans: Sequence[Path], path: Path, engine: Engine, seed: int) -> pd.DataFrame:
    """True and found changes of volumes, written to `path`."""
    rows: list[dict[str, object]] = []
    with progress_bar(2 * PATTERNS * len(scans), "heads") as bar:
        for number, scan in enumerate(scans):
            mould = mould_of(segmented_anatomy(with_dark_air(read_scan(scan)), engine))
            for pattern in range(PATTERNS):
                rng = np.random.default_rng([seed, number, pattern])
                rows += _pair(mould, engine, rng, bar)
    return _written(path, rows)


def _thinner(
    scans: Sequence[Path], path: Path, engine: Engine, beyond: BeyondVolumes, seed: int
) -> pd.DataFrame:
    """True and found changes of thickness, written to `path`."""
    rows: list[dict[str, object]] = []
    table = engine.bundle.manifest.table
    with progress_bar(2 * pairs_of(table, PATTERNS) * len(scans), "heads") as bar:
        for number, scan in enumerate(scans):
            rng = np.random.default_rng([seed, number])
            head = with_dark_air(read_scan(scan))
            rows += thinner_rows(head, engine, beyond, rng, PATTERNS, bar.update)
    return _written(path, rows)


def _written(path: Path, rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    write_whole(path, table.to_csv(sep="\t", index=False, na_rep="n/a"))
    return table


def opposites(mould: Mould, rng: np.random.Generator) -> tuple[Body, Body]:
    """A head whose structures grow and shrink at random, and its opposite."""
    signs = {i: float(rng.choice((-1.0, 1.0))) for i in mould.growth.ids}
    still = np.zeros((3, *mould.lattice.shape), np.float32)
    more, less = (
        {
            i: ml * np.exp(direction * signs.get(i, 0.0) * _log_change(ml))
            for i, ml in mould.reference_ml.items()
        }
        for direction in (1.0, -1.0)
    )
    size = INTRACRANIAL_ML["F"]
    return shape_body(mould, still, more, size), shape_body(mould, still, less, size)


def taken(mould: Mould, body: Body, visit: Visit) -> Scan:
    """A scan of a head."""
    grid = scan_grid(mould, body, visit)
    image = np.asarray(take_scan(mould, body, visit, grid), np.float32)
    name = mould.anatomy.name
    return Scan(image, grid, name, Path(name), "NIfTI-1", "", ())


def _pair(
    mould: Mould, engine: Engine, rng: np.random.Generator, bar: Bar
) -> list[dict[str, object]]:
    """True and found changes between a head and its opposite, in one and the same position."""
    more, less = opposites(mould, rng)
    visit = draw_visit(rng, VOXEL_MM, NOISE)
    found = []
    for body in (more, less):
        found.append(_soft_ml(taken(mould, body, visit), engine))
        bar.update()
    return [
        {
            "scan": mould.anatomy.name,
            "region_id": i,
            "name": mould.anatomy.table[i].name,
            "true_log_change": float(np.log(more.volumes_ml[i] / less.volumes_ml[i])),
            "found_log_change": float(np.log(found[0][i] / found[1][i])),
        }
        for i in mould.growth.ids
        if found[0].get(i, 0.0) > 0 and found[1].get(i, 0.0) > 0
    ]


def _log_change(ml: float) -> float:
    return float(np.log1p(LARGE_CHANGE if ml > LARGE_ML else CHANGE))


def _soft_ml(scan: Scan, engine: Engine) -> dict[int, float]:
    rows = segment_scan(scan, engine).rows
    return {r.region_id: r.soft_volume_ml or 0.0 for r in rows if r.region_id is not None}
