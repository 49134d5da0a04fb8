"""A bundle against reference labels of real scans: a table, a picture, and how repeatable it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from fibromorph.errors import ConfigError, LabelError, require_amount
from fibromorph.files import write_whole
from fibromorph.labels import FREESURFER, NOT_COMPARABLE, LabelTable, coarsened
from fibromorph.manifest import Bundle
from fibromorph.postprocessing.agreement import compare
from fibromorph.postprocessing.score_picture import write_score_picture
from fibromorph.progress import bar as progress_bar
from fibromorph.scans import Scan, read_reference, read_scan
from fibromorph.scans.pairs import LabelledPair, choose_scans, pair_of
from fibromorph.serving.beyond import BeyondVolumes, beyond_volumes
from fibromorph.serving.bundles import find_bundle
from fibromorph.serving.engine import Engine
from fibromorph.serving.extras import Extras
from fibromorph.serving.measuring.rescan import apply_rescan, draw_rescan, with_dark_air
from fibromorph.serving.measuring.scores import (
    score_row,
    scores_text,
    summarise,
    tables,
    thickness_errors,
    update_manifest,
)
from fibromorph.serving.pipeline import Segmented, segment_scan
from fibromorph.serving.ribbon import has_ribbon

SEED = 20120
RESERVED_SOURCES = ("", "reliability")
"""Data sets under whose name a bundle's scores could not be told from others."""


@dataclass(frozen=True)
class EvaluationRequest:
    """Which scans, and where their reference labels are.

    Attributes:
        folder: holds both.
        scan_glob: of the scans.
        scan_suffix, label_suffix: the first, at the end of a scan's path, is replaced by the
            second to find its labels; without it the path is the scan's name in tables.
        protocol: of the labels, see `labels.to_freesurfer`.
        repeats: simulated re-scans of each scan, for `repeat_sd`; 0 = none.
        limit: only so many scans.
        only, skip: stems of scans to take or to leave out, see `scans.pairs.choose_scans`.
    """

    folder: Path
    scan_glob: str
    scan_suffix: str
    label_suffix: str
    protocol: str
    repeats: int = 0
    limit: int | None = None
    only: Sequence[str] = ()
    skip: Sequence[str] = ()

    @property
    def source(self) -> str:
        """Name of the data set: its folder's."""
        return self.folder.resolve().name


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

    A bundle that has learnt from all labelled scans is scored by bundles that were trained in the
    same way on some of them, each scan by one that has not seen it: by cross-validation, or by one
    bundle on the scans that were kept from it.

    A bundle that is finer than FreeSurfer's protocol is scored twice: in its own structures, where
    the reference has them, and in FreeSurfer's, so that the 27 structures can be compared.

    Of the cortex's thickness, where the bundle can measure it, this shows how it repeats and how
    people differ in it, not how true it is.

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
    require_amount(request.repeats, "--repeats")
    if update_bundle and request.source in RESERVED_SOURCES:
        rule = "scores are kept under the folder's name, and this name has another meaning there"
        raise ConfigError(rule, value=request.source, subject=request.folder)
    if request.protocol not in NOT_COMPARABLE:
        known = " or ".join(NOT_COMPARABLE)
        raise ConfigError(f"must be {known}", value=request.protocol, subject="--protocol")
    pairs = find_pairs(request)
    bundle = find_bundle(model)
    table = bundle.manifest.table
    parts = _kept_back(request, pairs, bundle, folds) if folds else _alone(pairs, bundle)
    out.mkdir(parents=True, exist_ok=True)
    scores, volumes, thick = _answers(parts, request, device, threads)
    per_scan, per_structure = tables(scores, volumes, table)
    write_whole(out / "scores.tsv", per_scan.to_csv(sep="\t", index=False, na_rep="n/a"))
    write_whole(out / "structures.tsv", per_structure.to_csv(sep="\t", index=False, na_rep="n/a"))
    own = per_scan[per_scan.protocol == table.protocol]
    write_score_picture(out / "scores.png", own if len(own) else per_scan, table)
    summary = summarise(per_scan)
    if update_bundle:
        scored = (request.source, _way_of(parts) if folds else "")
        errors = thickness_errors(thick) if len(thick) else None
        update_manifest(bundle, per_structure, summary, scored, errors)
    return scores_text(per_structure, summary)


def views_of(table: LabelTable, protocol: str) -> tuple[LabelTable, ...]:
    """The tables in which a bundle's labels and references of a protocol can be compared."""
    if table.protocol == FREESURFER.protocol:
        return (table,)
    return (table, FREESURFER) if protocol == table.protocol else (FREESURFER,)


def find_pairs(request: EvaluationRequest) -> list[LabelledPair]:
    """Scans and their labels, sorted by name.

    Raises:
        ConfigError: no scan fits, one has no labels, or `only` or `skip` names none.
    """
    if request.limit is not None and request.limit < 1:
        raise ConfigError("must be 1 or more", value=request.limit, subject="--limit")
    suffixes = (request.scan_suffix, request.label_suffix)
    chosen = choose_scans(
        _scans_of(request), request.folder, suffixes[0], only=request.only, skip=request.skip
    )
    return [
        pair_of(stem, scan, request.folder, suffixes)
        for stem, scan in list(chosen.items())[: request.limit]
    ]


def _scans_of(request: EvaluationRequest) -> list[Path]:
    """All scans of the data set, chosen or not."""
    try:
        scans = sorted(request.folder.glob(request.scan_glob))
    except (ValueError, NotImplementedError) as error:
        rule = f"must be a pattern of files inside {request.folder}, not an absolute path ({error})"
        raise ConfigError(rule, value=request.scan_glob, subject="--scans") from None
    if not scans:
        raise ConfigError("no scan fits", value=request.scan_glob, subject=request.folder)
    return scans


@dataclass(frozen=True)
class _Part:
    """The scans, each with its labels, that one bundle answers."""

    bundle: Bundle
    pairs: Sequence[LabelledPair]


def _alone(pairs: Sequence[LabelledPair], bundle: Bundle) -> list[_Part]:
    """All of them, by the bundle itself.

    Raises:
        ConfigError: it has learnt from one: its score would say nothing.
    """
    for pair in pairs:
        if has_learnt_from(pair.scan, bundle):
            name = bundle.manifest.name
            rule = f"a scan that {name} has learnt from cannot score it: leave it out with --skip"
            raise ConfigError(rule, value=pair.stem, subject=bundle.folder)
    return [_Part(bundle, pairs)]


def _kept_back(
    request: EvaluationRequest, pairs: Sequence[LabelledPair], bundle: Bundle, names: Sequence[str]
) -> list[_Part]:
    """Each scan by the first fold that has not learnt from it.

    Raises:
        ConfigError: a fold has other structures, has learnt from no scan of the data set (or does
            not say so), or answers none; or all folds have learnt from a scan.
    """
    folds = [find_bundle(name) for name in names]
    known = [{*fold.manifest.training.data_sha256.values()} for fold in folds]
    sha256 = {scan: read_scan(scan).sha256 for scan in _scans_of(request)}
    answers: list[list[LabelledPair]] = [[] for _ in folds]
    for pair in pairs:
        seen = [sha256[pair.scan] in scans for scans in known]
        if all(seen):
            rule = "a scan that all folds have learnt from cannot score them"
            raise ConfigError(rule, value=pair.stem, subject="--folds")
        answers[seen.index(False)].append(pair)
    for fold, own, scans in zip(folds, answers, known, strict=True):
        if fold.manifest.table != bundle.manifest.table:
            rule = f"a fold must have the structures of {bundle.manifest.name}"
            raise ConfigError(rule, value=fold.manifest.protocol, subject=fold.folder)
        learnt = sum(one in scans for one in sha256.values())
        if not own or not learnt:
            rule = "by training.data_sha256 a fold must have learnt from some of the scans, not all"
            found = f"learnt from {learnt} of {len(sha256)}, answers {len(own)}"
            raise ConfigError(rule, value=found, subject=fold.folder)
    return [_Part(fold, own) for fold, own in zip(folds, answers, strict=True)]


def _way_of(parts: Sequence[_Part]) -> str:
    """How scans were kept from the bundles that answered them."""
    if len(parts) > 1:
        return f"cross-validated in {len(parts)} folds"
    return f"{len(parts[0].pairs)} kept from a bundle trained alike"


def _answers(
    parts: Sequence[_Part], request: EvaluationRequest, device: str, threads: int
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Scores of every scan and structure; volumes, and thickness, of every scan and re-scan."""
    scores, volumes, thick = [], [], []
    count = sum(len(part.pairs) for part in parts)
    with progress_bar(count, "scans") as bar:
        for part in parts:
            engine = Engine(part.bundle, device, threads)
            extras = Extras(thickness=has_ribbon(part.bundle))
            beyond = beyond_volumes(engine, device, extras)
            for pair in part.pairs:
                # Folders of a data set often hold files of one name each.
                scan = replace(read_scan(pair.scan), stem=pair.stem)
                result = segment_scan(scan, engine, beyond=beyond)
                views = views_of(part.bundle.manifest.table, request.protocol)
                found = [_scores_in(v, result, pair.labels, request.protocol) for v in views]
                if not any(found):
                    rule = "reference labels must hold a structure of the bundle"
                    raise LabelError(rule, subject=pair.labels)
                scores += [row for rows in found for row in rows]
                again = _repeated(scan, engine, beyond, request.repeats)
                for number, one in enumerate(chain([result], again)):
                    volumes += _volume_rows(scan.stem, number, one)
                    thick += _thickness_rows(scan.stem, number, one)
                bar.update()
    return pd.DataFrame(scores), pd.DataFrame(volumes), pd.DataFrame(thick)


def has_learnt_from(scan: Path, bundle: Bundle) -> bool:
    """True where the bundle says that this very scan was in its training."""
    known = bundle.manifest.training.data_sha256
    return bool(known) and read_scan(scan).sha256 in known.values()


def _repeated(
    scan: Scan, engine: Engine, beyond: BeyondVolumes | None, repeats: int
) -> Iterator[Segmented]:
    """Simulated second scans of the same head."""
    rng = np.random.default_rng(SEED)
    scan = with_dark_air(scan)
    for _ in range(repeats):
        yield segment_scan(apply_rescan(scan, draw_rescan(rng)), engine, beyond=beyond)


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
        for a in compare(labels, reference, result.scan.grid, ids)
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


def _thickness_rows(stem: str, repeat: int, result: Segmented) -> list[dict[str, object]]:
    if result.cortex is None:
        return []
    common = {"scan": stem, "repeat": repeat, "ribbon": result.cortex.ribbon}
    return [
        {**common, "name": row.name, "thickness_mm": row.thickness_mm} for row in result.cortex.rows
    ]
