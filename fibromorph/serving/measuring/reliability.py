"""How far a bundle's volumes move when only the acquisition changes, and whether it knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fibromorph.errors import ConfigError, ScanError, require_amount
from fibromorph.files import write_whole
from fibromorph.grid import Grid
from fibromorph.labels import FREESURFER, STRUCTURES_27, coarsened
from fibromorph.manifest import Bundle
from fibromorph.pose import apart_deg
from fibromorph.postprocessing.agreement import dices
from fibromorph.postprocessing.drift_picture import write_drift_picture
from fibromorph.progress import bar as progress_bar
from fibromorph.scans import Scan, read_reference, read_scan, restore_labels
from fibromorph.scans.read import require_distinct
from fibromorph.serving.beyond import BeyondVolumes, beyond_volumes
from fibromorph.serving.bundles import find_bundle
from fibromorph.serving.engine import Engine
from fibromorph.serving.extras import Extras
from fibromorph.serving.measuring.calibration import (
    Reliability,
    pooled_drift,
    summarise_reliability,
    update_reliability,
)
from fibromorph.serving.measuring.evaluation import has_learnt_from
from fibromorph.serving.measuring.perturbations import Perturbation, perturbations
from fibromorph.serving.measuring.rescan import with_dark_air
from fibromorph.serving.measuring.thickness_drift import thickness_rows, with_thickness
from fibromorph.serving.pipeline import Segmented, segment_scan
from fibromorph.serving.ribbon import has_ribbon

UNDISTURBED = "undisturbed"
PICTURE_NAME = "reliability.png"
Labels = NDArray[np.int32]


@dataclass(frozen=True)
class ScanWithTruth:
    """A scan, and its reference labels where there are any.

    Attributes:
        scan: file of the scan.
        labels: of its reference labels; None = its undisturbed segmentation serves as reference.
        protocol: of these labels.
    """

    scan: Path
    labels: Path | None = None
    protocol: str = "neuromorphometrics"


def measure_reliability(
    scans: Sequence[ScanWithTruth],
    out: Path,
    *,
    model: str = "t1-open",
    device: str = "auto",
    threads: int = 0,
    seed: int = 1,
    update_bundle: bool = False,
) -> str:
    """Disturb scans in every way of `perturbations`; writes `reliability.tsv` and `.png`.

    And `reliability_thickness.tsv`, where thickness can be measured with the bundle.

    Args:
        scans: each is segmented once undisturbed and once for every perturbation.
        out: folder, made when it does not exist.
        model, device, threads: see `Engine`.
        seed: of the perturbations.
        update_bundle: write the error sd of every structure, the summary and the picture into the
            bundle.

    Returns:
        The summary as text.

    Raises:
        ConfigError: two scans of one name, a negative seed, or labels of a scan that the bundle has
            learnt from.
        ScanError, LabelError: an undisturbed scan cannot be segmented, or its labels do not fit.
    """
    require_distinct([one.scan for one in scans])
    require_amount(seed, "--seed")
    engine = Engine(find_bundle(model), device, threads)
    _require_new_to(engine.bundle, scans)
    out.mkdir(parents=True, exist_ok=True)
    beyond = beyond_volumes(engine, device, Extras(thickness=has_ribbon(engine.bundle)))
    table, of_thickness = _disturb(scans, engine, beyond, seed)
    _write(out / "reliability.tsv", table)
    write_drift_picture(out / PICTURE_NAME, pooled_drift(table), engine.bundle.manifest.table)
    found = summarise_reliability(table, engine.bundle.manifest)
    if len(of_thickness):
        _write(out / "reliability_thickness.tsv", of_thickness)
        found = with_thickness(found, of_thickness)
    if update_bundle:
        update_reliability(engine.bundle, found, out / PICTURE_NAME)
    return "\n".join([*(_reference_line(one) for one in scans), "", reliability_text(found)])


def _disturb(
    scans: Sequence[ScanWithTruth], engine: Engine, beyond: BeyondVolumes | None, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of volumes, see `_rows`, and of thickness, see `thickness_rows`."""
    rows: list[dict[str, object]] = []
    thick: list[dict[str, object]] = []
    with progress_bar(len(scans) * (1 + len(perturbations())), "scans") as bar:
        for order, one in enumerate(scans):
            base = segment_scan(with_dark_air(read_scan(one.scan)), engine, beyond=beyond)
            truth = _truth(one, base)
            rows += _rows(UNDISTURBED, "acquisition", base, base, truth, base.scan.grid)
            bar.update()
            for number, perturbation in enumerate(perturbations()):
                rng = np.random.default_rng([seed, order, number])
                disturbed = perturbation.change(base, rng)
                try:
                    result = segment_scan(disturbed.scan, engine, beyond=beyond)
                except ScanError as error:
                    rows.append(_refused(perturbation, base, error))
                else:
                    of = (perturbation.name, perturbation.kind, base, result)
                    rows += _rows(*of, truth, disturbed.lattice)
                    thick += thickness_rows(*of)
                bar.update()
    return pd.DataFrame(rows), pd.DataFrame(thick)


def _write(path: Path, table: pd.DataFrame) -> None:
    write_whole(path, table.to_csv(sep="\t", index=False, na_rep="n/a"))


def reliability_text(found: Reliability) -> str:
    """For a terminal: mean drift by perturbation, and the numbers that stand for all."""
    shown = {"volume, %": 100 * found.by_perturbation}
    if found.thickness:
        shown["thickness, %"] = 100 * found.thickness.by_perturbation
    shown["pose, deg"] = found.poses
    drift = pd.DataFrame(shown).reindex(found.by_perturbation.index).round(2).to_string()
    scores = "\n".join(f"{name:<44} {value:.4g}" for name, value in found.scores.items())
    return f"mean difference of regions, and of how heads were found to lie\n{drift}\n\n{scores}"


def _require_new_to(bundle: Bundle, scans: Sequence[ScanWithTruth]) -> None:
    """Refuse labels that the bundle knows: agreement with them says nothing of other heads."""
    for one in scans:
        if one.labels is not None and has_learnt_from(one.scan, bundle):
            rule = f"a scan that {bundle.manifest.name} has learnt from cannot score it"
            raise ConfigError(rule, value=one.scan.name, subject="--labels")


def _reference_line(one: ScanWithTruth) -> str:
    reference = "its own undisturbed segmentation" if one.labels is None else one.labels.name
    return f"{one.scan.name}: Dice against {reference}"


def _truth(one: ScanWithTruth, base: Segmented) -> Labels:
    """Reference labels on the scan's voxels, in FreeSurfer's structures."""
    if one.labels is None:
        return coarsened(base.labels_on_scan_grid, base.table)
    return read_reference(one.labels, base.scan, one.protocol, FREESURFER)


def _refused(perturbation: Perturbation, base: Segmented, error: ScanError) -> dict[str, object]:
    known = {"scan": base.scan.stem, "perturbation": perturbation.name, "kind": perturbation.kind}
    return {**known, "verdict": "refused", "reason": error.rule}


def _rows(
    name: str, kind: str, base: Segmented, result: Segmented, truth: Labels, lattice: Grid
) -> list[dict[str, object]]:
    """One row a region; Dice of the 27 shared structures is the scan's, on every row.

    Args:
        name, kind: of the perturbation.
        base: the undisturbed scan, segmented.
        result: the disturbed one.
        truth: ids on the voxels of `base`.
        lattice: where the voxels of the disturbed scan lie in the undisturbed head.
    """
    before = {row.name: row.soft_volume_ml for row in base.rows}
    seen = _network_lattice(result, lattice)
    common = {
        "scan": base.scan.stem,
        "perturbation": name,
        "kind": kind,
        "voxel_mm": max(result.scan.grid.spacing_mm),
        "pose_deg": apart_deg(seen.axes, base.conformed.grid.axes),
        "dice_27": _mean_dice(_in_head_of(base.scan, result, seen), base, truth),
        "quality": result.quality.overall,
        **{f"quality_{factor}": value for factor, value in result.quality.factors.items()},
        "verdict": result.quality.verdict,
        "reason": "",
    }
    return [
        {
            **common,
            "region_id": row.region_id,
            "name": row.name,
            "undisturbed_ml": known,
            "soft_volume_ml": row.soft_volume_ml,
            "confidence": row.confidence,
            "drift": row.soft_volume_ml / known - 1,
        }
        for row in result.rows
        if row.soft_volume_ml is not None
        if (known := before[row.name] or 0.0) > 0
    ]


def _network_lattice(result: Segmented, lattice: Grid) -> Grid:
    """Where the network's voxels of a disturbed scan lie in the undisturbed head."""
    moved = lattice.affine_ijk_to_ras @ result.scan.grid.affine_ras_to_ijk
    return result.conformed.grid.moved(moved)


def _in_head_of(scan: Scan, result: Segmented, seen: Grid) -> NDArray[np.uint8]:
    """Labels of a disturbed scan on the voxels of the undisturbed one.

    The reference stays where it was drawn: on voxels half a step beside its own, it would itself
    move by up to half a voxel.
    """
    return restore_labels(result.labels, seen, scan.grid, result.confidence)


def _mean_dice(labels: NDArray[np.uint8], base: Segmented, truth: Labels) -> float:
    coarse = coarsened(labels, base.table)
    found = dices(coarse, truth, STRUCTURES_27)
    return float(np.mean(found)) if found else 0.0
