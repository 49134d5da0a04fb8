"""From disturbed scans to what a bundle promises: the error of each volume, how far it holds."""

from __future__ import annotations

import shutil
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fibromorph.manifest import Bundle, Manifest, read_manifest, write_manifest
from fibromorph.models.card import write_card
from fibromorph.postprocessing.volumes import Calibration

DEEP_GREY = ("Thalamus", "Caudate", "Putamen", "Pallidum")
MOVED = ("rotated", "shifted")
PREFIX = "reliability: "
WITHIN_SD = 2.0


@dataclass(frozen=True, eq=False)
class Reliability:
    """What disturbing scans has shown.

    Attributes:
        relative_sd: region id -> root mean square of the relative drift over acquisitions.
        totals_sd: the same of totals and of structures in parts, by name.
        by_perturbation: mean absolute drift over regions and scans, by acquisition.
        scores: the numbers that stand for all.
    """

    relative_sd: dict[int, float]
    totals_sd: dict[str, float]
    by_perturbation: pd.Series[float]
    scores: dict[str, float]


def acquisitions(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of regions whose volumes should be what they were; the undisturbed scan left out."""
    return _changed(table).dropna(subset=["region_id"])


def pooled_drift(table: pd.DataFrame) -> pd.DataFrame:
    """Mean signed drift over scans: a row a region id, a column an acquisition."""
    changed = acquisitions(table)
    order = list(dict.fromkeys(changed.perturbation))
    pivot = changed.pivot_table(
        index="region_id", columns="perturbation", values="drift", aggfunc="mean", sort=False
    )
    return pivot[order]


def root_mean_square(table: pd.DataFrame) -> dict[int, float]:
    """Region id -> root mean square of the relative drift over scans and acquisitions."""
    found = _root_mean_square(acquisitions(table), "region_id")
    return {int(i): value for i, value in found.items()}  # type: ignore[call-overload]


def root_mean_square_of_totals(table: pd.DataFrame) -> dict[str, float]:
    """The same of what is a sum of regions, by name."""
    changed = _changed(table)
    found = _root_mean_square(changed[changed.region_id.isna()], "name")
    return {str(name): value for name, value in found.items()}


def _changed(table: pd.DataFrame) -> pd.DataFrame:
    changed = table[(table.kind == "acquisition") & (table.perturbation != "undisturbed")]
    return changed.dropna(subset=["drift"])


def _root_mean_square(rows: pd.DataFrame, key: str) -> dict[Hashable, float]:
    squares = rows.assign(square=rows.drift**2).groupby(key).square.mean()
    return {i: float(np.sqrt(value)) for i, value in squares.items()}


def coverage(table: pd.DataFrame, manifest: Manifest) -> float:
    """Share of region-scan pairs whose undisturbed volume lies within two `sd_ml`.

    The sd of each scan comes from the other scans, where there are others.
    """
    inside: list[bool] = []
    for scan in table.scan.unique():
        others = table[table.scan != scan]
        calibration = Calibration(
            root_mean_square(others if len(others) else table), _reference_confidence(manifest)
        )
        inside += _within(acquisitions(table[table.scan == scan]), calibration)
    return float(np.mean(inside))


def _within(rows: pd.DataFrame, calibration: Calibration) -> list[bool]:
    columns = ("region_id", "soft_volume_ml", "undisturbed_ml", "confidence")
    found = []
    for region, soft, undisturbed, confidence in zip(*(rows[c] for c in columns), strict=True):
        sd = calibration.sd_ml(int(region), float(soft), float(confidence))
        if sd is not None:
            found.append(abs(float(soft) - float(undisturbed)) <= WITHIN_SD * sd)
    return found


def summarise_reliability(table: pd.DataFrame, manifest: Manifest) -> Reliability:
    """Everything that is kept of a study of perturbations.

    Args:
        table: one row a scan, perturbation and region, see `reliability.tsv`.
        manifest: of the bundle.
    """
    changed = acquisitions(table)
    drift = changed.drift.abs().groupby(changed.perturbation, sort=False).mean()
    moved = changed[changed.perturbation.str.startswith(MOVED)]
    deep = moved[moved.name.str.endswith(DEEP_GREY)]
    scans = table.drop_duplicates(["scan", "perturbation"])
    wrecked, changed_scans = (scans[scans.kind == kind] for kind in ("wrecked", "acquisition"))
    scored = scans.dropna(subset=["dice_27", "quality"])
    scores = {
        "scans": float(table.scan.nunique()),
        "mean absolute drift": float(changed.drift.abs().mean()),
        "deep grey, moved: mean absolute drift": float(deep.drift.abs().mean()),
        "deep grey, moved: largest mean drift": float(
            deep.drift.abs().groupby([deep.name, deep.perturbation]).mean().max()
        ),
        "within two sd": coverage(table, manifest),
        "quality against Dice: rank correlation": _rank_correlation(scored),
        "quality against Dice, wrecked left out: rank correlation": _rank_correlation(
            scored[scored.kind == "acquisition"]
        ),
        "acquisitions not called good": float((changed_scans.verdict != "good").mean()),
        "wrecked scans": float(len(wrecked)),
        "wrecked scans that passed": float((wrecked.verdict == "good").sum()),
    }
    return Reliability(root_mean_square(table), root_mean_square_of_totals(table), drift, scores)


def _rank_correlation(scans: pd.DataFrame) -> float:
    """NaN where all scans have the same quality: nothing can be ranked by it."""
    if scans.quality.nunique() < 2:
        return float("nan")
    return float(scans.quality.corr(scans.dice_27, method="spearman"))


def update_reliability(bundle: Bundle, found: Reliability, picture: Path) -> Manifest:
    """Write error sds, scores and picture into a bundle."""
    latest = read_manifest(bundle.folder)
    entries = tuple(
        entry.model_copy(update={"relative_sd": round(found.relative_sd[entry.id], 5)})
        if entry.id in found.relative_sd
        else entry
        for entry in latest.labels
    )
    kept = {k: v for k, v in latest.scores.items() if not k.startswith(PREFIX)}
    drift = {f"drift, {name}": value for name, value in found.by_perturbation.items()}
    new = {
        f"{PREFIX}{name}": float(f"{value:.4g}")
        for name, value in (found.scores | drift).items()
        if np.isfinite(value)
    }
    manifest = latest.model_copy(
        update={
            "labels": entries,
            "totals": {name: round(sd, 5) for name, sd in found.totals_sd.items()},
            "scores": {**kept, **new},
        }
    )
    shutil.copy(picture, bundle.folder / picture.name)
    write_manifest(bundle.folder, manifest)
    write_card(bundle.folder, manifest)
    return manifest


def _reference_confidence(manifest: Manifest) -> dict[int, float]:
    known = {entry.id: entry.reference_confidence for entry in manifest.labels}
    return {i: value for i, value in known.items() if value is not None}
