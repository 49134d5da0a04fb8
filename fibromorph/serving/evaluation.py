"""A bundle against reference labels of real scans: a table, a picture, and how repeatable it is."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from fibromorph.errors import ConfigError
from fibromorph.labels import FREESURFER, NOT_COMPARABLE, LabelTable, coarsened
from fibromorph.manifest import Bundle
from fibromorph.postprocessing.agreement import compare
from fibromorph.postprocessing.score_picture import write_score_picture
from fibromorph.postprocessing.volumes import write_whole
from fibromorph.scans import Scan, read_reference, read_scan
from fibromorph.serving.bundles import find_bundle
from fibromorph.serving.engine import Engine
from fibromorph.serving.pipeline import Segmented, segment_scan
from fibromorph.serving.rescan import apply_rescan, draw_rescan
from fibromorph.serving.scores import score_row, scores_text, summarise, tables, update_manifest

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
        repeats: simulated re-scans of each scan, for `repeat_sd`; 0 = none.
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
    folds: Sequence[str] = (),
    update_bundle: bool = False,
) -> str:
    """Score a bundle; writes `scores.tsv` (scan x structure), `structures.tsv`, `scores.png`.

    A bundle that has learnt from all labelled scans is scored by cross-validation: by bundles that
    were trained in the same way on some of them, each scan by one that has not seen it.

    A bundle that is finer than FreeSurfer's protocol is scored twice: in its own structures, where
    the reference has them, and in FreeSurfer's, so that the 27 structures can be compared.

    Args:
        request: which scans.
        out: folder, made when it does not exist.
        model, device, threads: see `Engine`.
        folds: bundles that answer in place of `model`; none = it answers itself.
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
    bundle = find_bundle(model)
    table = bundle.manifest.table
    bundles = _folds(folds, bundle) if folds else (bundle,)
    engine_of = cache(lambda n: Engine(bundles[n], device, threads))
    out.mkdir(parents=True, exist_ok=True)
    scores, volumes = [], []
    for scan_path, label_path in tqdm(pairs, unit="scan", disable=not sys.stderr.isatty()):
        scan = read_scan(scan_path)
        engine = engine_of(_first_without(scan, bundles))
        result = segment_scan(scan, engine)
        for view in views_of(table, request.protocol):
            scores += _scores_in(view, result, label_path, request.protocol)
        volumes += _volume_rows(scan.stem, 0, result)
        volumes += _repeat(scan, engine, request.repeats)
    per_scan, per_structure = tables(pd.DataFrame(scores), pd.DataFrame(volumes), table)
    write_whole(out / "scores.tsv", per_scan.to_csv(sep="\t", index=False, na_rep="n/a"))
    write_whole(out / "structures.tsv", per_structure.to_csv(sep="\t", index=False, na_rep="n/a"))
    own = per_scan[per_scan.protocol == table.protocol]
    write_score_picture(out / "scores.png", own if len(own) else per_scan, table)
    summary = summarise(per_scan)
    if update_bundle:
        source = request.folder.name
        if folds:
            source = f"{source}, cross-validated in {len(folds)} folds"
        update_manifest(bundle, per_structure, summary, source)
    return scores_text(per_structure, summary)


def views_of(table: LabelTable, protocol: str) -> tuple[LabelTable, ...]:
    """The tables in which a bundle's labels and references of a protocol can be compared."""
    if table.protocol == FREESURFER.protocol:
        return (table,)
    return (table, FREESURFER) if protocol == table.protocol else (FREESURFER,)


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


def _folds(names: Sequence[str], bundle: Bundle) -> tuple[Bundle, ...]:
    """The bundles of a cross-validation.

    Raises:
        ConfigError: one has other structures, or does not tell what it has learnt from.
    """
    folds = tuple(find_bundle(name) for name in names)
    for fold in folds:
        if fold.manifest.table != bundle.manifest.table:
            rule = f"folds must have the structures of {bundle.manifest.name}"
            raise ConfigError(rule, value=fold.manifest.protocol, subject=fold.folder)
        if not fold.manifest.training.data_sha256:
            rule = "a fold must name the hashes of what it has learnt from (training.data_sha256)"
            raise ConfigError(rule, subject=fold.folder)
    return folds


def _first_without(scan: Scan, bundles: Sequence[Bundle]) -> int:
    """The first bundle that has not learnt from a scan: a score would say nothing of the others.

    Raises:
        ConfigError: all have.
    """
    for number, bundle in enumerate(bundles):
        if scan.sha256 not in bundle.manifest.training.data_sha256.values():
            return number
    names = ", ".join(str(bundle.folder) for bundle in bundles)
    raise ConfigError(
        f"a scan that {bundles[0].manifest.name} has learnt from cannot score it",
        value=scan.source.name,
        subject=names,
    )


def _repeat(scan: Scan, engine: Engine, repeats: int) -> list[dict[str, object]]:
    rng = np.random.default_rng(SEED)
    rows = []
    for number in range(1, repeats + 1):
        again = segment_scan(apply_rescan(scan, draw_rescan(rng)), engine)
        rows += _volume_rows(scan.stem, number, again)
    return rows


def _scores_in(
    view: LabelTable, result: Segmented, label_path: Path, protocol: str
) -> list[dict[str, object]]:
    """One row for every structure of `view` that the reference has."""
    own = view.protocol == result.table.protocol
    labels = result.labels_on_scan_grid.astype(np.int32)
    labels = labels if own else coarsened(labels, result.table)
    reference = read_reference(label_path, result.scan, protocol, view)
    ids = [i for i in view.ids if i not in NOT_COMPARABLE[protocol]]
    soft = {row.region_id: row.soft_volume_ml for row in result.rows} if own else {}
    return [
        {"scan": result.scan.stem, "protocol": view.protocol, "name": view[a.label_id].name}
        | score_row(a, soft.get(a.label_id))
        for a in compare(labels, reference, result.scan.grid.spacing_mm, ids)
    ]


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
