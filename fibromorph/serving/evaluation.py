"""A bundle against reference labels of real scans: a table, a picture, and how repeatable it is."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import nibabel as nib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from fibromorph.errors import ConfigError, LabelError
from fibromorph.labels import NOT_COMPARABLE, STRUCTURES_27, LabelTable, to_freesurfer
from fibromorph.manifest import Bundle, Manifest, write_manifest
from fibromorph.models.card import write_card
from fibromorph.postprocessing.agreement import Agreement, compare
from fibromorph.postprocessing.score_picture import write_score_picture
from fibromorph.postprocessing.volumes import write_whole
from fibromorph.scans import Scan, read_scan
from fibromorph.serving.bundles import find_bundle
from fibromorph.serving.engine import Engine
from fibromorph.serving.pipeline import Segmented, segment_scan
from fibromorph.serving.rescan import apply_rescan, draw_rescan

SEED = 20120


@dataclass(frozen=True)
class EvaluationRequest:
    """Which scans, and where their reference labels are.

    Attributes:
        folder: holds both.
        scan_glob: of the scans.
        scan_suffix, label_suffix: the first, at the end of a scan's name, is replaced by the
            second to find its labels.
        protocol: of the labels, see `labels.to_freesurfer`.
        repeats: simulated re-scans of each scan, for `relative_sd`; 0 = none.
        limit: only so many scans.
    """

    folder: Path
    scan_glob: str
    scan_suffix: str
    label_suffix: str
    protocol: str
    repeats: int = 0
    limit: int | None = None


def evaluate(
    request: EvaluationRequest,
    out: Path,
    *,
    model: str = "t1-open",
    device: str = "auto",
    threads: int = 0,
    update_bundle: bool = False,
) -> str:
    """Score a bundle; writes `scores.tsv` (scan x structure), `structures.tsv`, `scores.png`.

    Args:
        request: which scans.
        out: folder, made when it does not exist.
        model, device, threads: see `Engine`.
        update_bundle: write scores, repeatability and confidence into its manifest and card.

    Returns:
        The scores as text.

    Raises:
        ConfigError, LabelError, ScanError: no scans, no labels, or labels that do not fit.
    """
    if request.protocol not in NOT_COMPARABLE:
        known = " or ".join(NOT_COMPARABLE)
        raise ConfigError(f"must be {known}", value=request.protocol, subject="--protocol")
    pairs = find_pairs(request)
    engine = Engine(find_bundle(model), device, threads)
    out.mkdir(parents=True, exist_ok=True)
    left_out = NOT_COMPARABLE[request.protocol]
    comparable = [i for i in engine.bundle.manifest.table.ids if i not in left_out]
    scores, volumes = [], []
    for scan_path, label_path in tqdm(pairs, unit="scan", disable=not sys.stderr.isatty()):
        scan = read_scan(scan_path)
        result = segment_scan(scan, engine)
        reference = read_reference(label_path, scan, request.protocol)
        found = compare(result.labels_on_scan_grid, reference, scan.grid.spacing_mm, comparable)
        scores += [_score_row(scan.stem, a, result) for a in found]
        volumes += _volume_rows(scan.stem, 0, result)
        volumes += _repeat(scan, engine, request.repeats)
    table = engine.bundle.manifest.table
    per_scan, per_structure = _tables(pd.DataFrame(scores), pd.DataFrame(volumes), table)
    write_whole(out / "scores.tsv", per_scan.to_csv(sep="\t", index=False, na_rep="n/a"))
    write_whole(out / "structures.tsv", per_structure.to_csv(sep="\t", index=False, na_rep="n/a"))
    write_score_picture(out / "scores.png", per_scan, table)
    summary = summarise(per_scan)
    if update_bundle:
        update_manifest(engine.bundle, per_structure, summary, request)
    return _text(per_structure, summary)


def find_pairs(request: EvaluationRequest) -> list[tuple[Path, Path]]:
    """Scans and their labels, sorted by name.

    Raises:
        ConfigError: no scan fits, or one has no labels.
    """
    scans = sorted(request.folder.glob(request.scan_glob))[: request.limit]
    if not scans:
        raise ConfigError("no scan fits", value=request.scan_glob, subject=request.folder)
    pairs = []
    for scan in scans:
        labels = scan.with_name(scan.name.removesuffix(request.scan_suffix) + request.label_suffix)
        if labels == scan or not labels.is_file():
            raise ConfigError("every scan must have labels", value=labels.name, subject=scan)
        pairs.append((scan, labels))
    return pairs


def read_reference(path: Path, scan: Scan, protocol: str) -> NDArray[np.int32]:
    """Reference labels in FreeSurfer ids, on the scan's voxels.

    Raises:
        LabelError: another grid than the scan's, or ids that the protocol does not have.
    """
    image = nib.load(path)
    if image.shape[:3] != scan.grid.shape or not np.allclose(
        image.affine, scan.grid.affine_ijk_to_ras, atol=1e-2
    ):
        raise LabelError("labels must lie on the scan's grid", value=image.shape, subject=path)
    ids = np.rint(np.asanyarray(image.dataobj)).astype(np.int32).reshape(scan.grid.shape)
    return to_freesurfer(ids, protocol, str(path))


def summarise(per_scan: pd.DataFrame) -> dict[str, float]:
    """The numbers that stand for all: means over the 27 structures, over scans."""
    core = per_scan[per_scan.region_id.isin(STRUCTURES_27)]
    by_structure = core.groupby("region_id")
    return {
        "scans": float(per_scan.scan.nunique()),
        "dice_27": float(by_structure.dice.mean().mean()),
        "dice_27_lowest_structure": float(by_structure.dice.mean().min()),
        "hd95_mm_27": float(by_structure.hd95_mm.mean().mean()),
        "assd_mm_27": float(by_structure.assd_mm.mean().mean()),
        "absolute_volume_error_27": float(by_structure.volume_error.mean().abs().mean()),
    }


def update_manifest(
    bundle: Bundle,
    per_structure: pd.DataFrame,
    summary: Mapping[str, float],
    request: EvaluationRequest,
) -> Manifest:
    """Write what was measured into the bundle's manifest and card."""
    known = per_structure.set_index("region_id").to_dict("index")
    entries = []
    for entry in bundle.manifest.labels:
        row = known.get(entry.id, {})
        measured: dict[str, float] = {
            key: round(float(row[key]), 5)
            for key in ("dice", "volume_error", "relative_sd", "reference_confidence")
            if key in row and np.isfinite(row[key])
        }
        entries.append(entry.model_copy(update=measured))
    scores = {
        f"{request.folder.name}: {key}": float(f"{value:.5g}") for key, value in summary.items()
    }
    others = {
        key: value
        for key, value in bundle.manifest.scores.items()
        if not key.startswith(f"{request.folder.name}: ")
    }
    manifest = bundle.manifest.model_copy(
        update={"labels": tuple(entries), "scores": {**others, **scores}}
    )
    write_manifest(bundle.folder, manifest)
    write_card(bundle.folder, manifest)
    return manifest


def _repeat(scan: Scan, engine: Engine, repeats: int) -> list[dict[str, object]]:
    rng = np.random.default_rng(SEED)
    rows = []
    for number in range(1, repeats + 1):
        again = segment_scan(apply_rescan(scan, draw_rescan(rng)), engine)
        rows += _volume_rows(scan.stem, number, again)
    return rows


def _score_row(stem: str, agreement: Agreement, result: Segmented) -> dict[str, object]:
    row = next(r for r in result.rows if r.region_id == agreement.label_id)
    soft = row.soft_volume_ml
    error = None if soft is None else soft / agreement.reference_ml - 1
    return {
        "scan": stem,
        "region_id": agreement.label_id,
        "name": row.name,
        **{k: v for k, v in asdict(agreement).items() if k != "label_id"},
        "soft_volume_ml": soft,
        "hard_volume_error": agreement.volume_error,
        "volume_error": error,
    }


def _volume_rows(stem: str, repeat: int, result: Segmented) -> list[dict[str, object]]:
    return [
        {
            "scan": stem,
            "repeat": repeat,
            "region_id": row.region_id,
            "soft_volume_ml": row.soft_volume_ml,
            "confidence": row.confidence,
        }
        for row in result.rows
        if not row.is_total
    ]


def _tables(
    scores: pd.DataFrame, volumes: pd.DataFrame, table: LabelTable
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scan x structure, and one row a structure of the bundle."""
    columns = ["dice", "hd95_mm", "assd_mm", "volume_error", "hard_volume_error"]
    means = scores.groupby("region_id")[columns].mean()
    first = volumes[volumes.repeat == 0].groupby("region_id").confidence.median()
    means = means.reindex(list(table.ids))
    means["reference_confidence"] = first
    means["relative_sd"] = relative_sd(volumes)
    means.insert(0, "name", [table[i].name for i in means.index])
    return scores, means.reset_index()


def relative_sd(volumes: pd.DataFrame) -> pd.Series[float]:
    """Within-scan standard deviation of the soft volume over its mean, pooled over scans.

    The root of the mean over scans of (variance / mean^2); NaN without repeats.
    """
    known = volumes.dropna(subset=["soft_volume_ml"])
    groups = known.groupby(["region_id", "scan"]).soft_volume_ml
    squared = groups.var(ddof=1) / groups.mean() ** 2
    return cast("pd.Series[float]", np.sqrt(squared.groupby("region_id").mean()))


def _text(per_structure: pd.DataFrame, summary: Mapping[str, float]) -> str:
    shown = per_structure.dropna(subset=["dice"]).round(3)
    lines = [f"{key:<26} {value:.4g}" for key, value in summary.items()]
    return shown.to_string(index=False) + "\n\n" + "\n".join(lines)
