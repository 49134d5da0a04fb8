"""From disturbed scans to what a bundle promises: the error of each volume, how far it holds."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fibromorph.manifest import (
    COARSE_MM,
    Bundle,
    LabelEntry,
    Manifest,
    ThicknessErrors,
    merged_thickness,
)
from fibromorph.models.card import edit_bundle
from fibromorph.postprocessing.volumes import Calibration

DEEP_GREY = ("Thalamus", "Caudate", "Putamen", "Pallidum")
MOVED = ("rotated", "shifted")
PREFIX = "reliability: "
WITHIN_SD = 2.0


@dataclass(frozen=True, eq=False)
class Errors:
    """Root mean square of the relative drift over scans and acquisitions.

    Attributes:
        regions: by region id.
        totals: of totals and of structures in parts, by name.
    """

    regions: dict[int, float]
    totals: dict[str, float]


@dataclass(frozen=True, eq=False)
class ThicknessDrift:
    """What disturbing scans has shown of the thickness of the cortex.

    Attributes:
        errors: by region, as a bundle keeps them.
        by_perturbation: mean absolute drift over regions and scans, by acquisition.
    """

    errors: ThicknessErrors
    by_perturbation: pd.Series[float]


@dataclass(frozen=True, eq=False)
class Reliability:
    """What disturbing scans has shown.

    Attributes:
        fine: errors over acquisitions with voxels of up to `COARSE_MM`.
        coarse: over the others.
        by_perturbation: mean absolute drift over regions and scans, by acquisition.
        poses: degrees between how the head was found to lie and how it was undisturbed, likewise.
        scores: the numbers that stand for all.
        thickness: None where it cannot be measured.
    """

    fine: Errors
    coarse: Errors
    by_perturbation: pd.Series[float]
    poses: pd.Series[float]
    scores: dict[str, float]
    thickness: ThicknessDrift | None = None


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


def measured_errors(table: pd.DataFrame) -> tuple[Errors, Errors]:
    """Errors on fine voxels, and on those longer than `COARSE_MM`: what was not seen is empty."""
    changed = _changed(table)
    coarse = changed.voxel_mm > COARSE_MM
    return _errors(changed[~coarse]), _errors(changed[coarse])


def _errors(rows: pd.DataFrame) -> Errors:
    squares = rows.assign(square=rows.drift**2)
    regions = np.sqrt(squares.dropna(subset=["region_id"]).groupby("region_id").square.mean())
    totals = np.sqrt(squares[squares.region_id.isna()].groupby("name").square.mean())
    return Errors(
        {int(i): float(sd) for i, sd in regions.items()},
        {str(name): float(sd) for name, sd in totals.items()},
    )


def _changed(table: pd.DataFrame) -> pd.DataFrame:
    changed = table[(table.kind == "acquisition") & (table.perturbation != "undisturbed")]
    return changed.dropna(subset=["drift"])


def coverage(table: pd.DataFrame, manifest: Manifest) -> float:
    """Share of region-scan pairs whose undisturbed volume lies within two `sd_ml`.

    The sd of each scan comes from the other scans, where there are others.
    """
    reference = _reference_confidence(manifest)
    everything = measured_errors(table)
    inside: list[bool] = []
    for scan in table.scan.unique():
        others = measured_errors(table[table.scan != scan])
        known = [
            theirs if theirs.regions else own
            for theirs, own in zip(others, everything, strict=True)
        ]
        own = acquisitions(table[table.scan == scan])
        coarse = own.voxel_mm > COARSE_MM
        for rows, errors in zip((own[~coarse], own[coarse]), known, strict=True):
            inside += _within(rows, Calibration(errors.regions, reference))
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
    poses = changed.pose_deg.groupby(changed.perturbation, sort=False).mean()
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
    return Reliability(*measured_errors(table), drift, poses, scores)


def _rank_correlation(scans: pd.DataFrame) -> float:
    """NaN where all scans have the same quality: nothing can be ranked by it."""
    if scans.quality.nunique() < 2:
        return float("nan")
    return float(scans.quality.corr(scans.dice_27, method="spearman"))


def update_reliability(bundle: Bundle, found: Reliability, picture: Path) -> Manifest:
    """Write error sds, scores and picture into a bundle."""
    drift = {f"drift, {name}": value for name, value in found.by_perturbation.items()}
    new = {
        f"{PREFIX}{name}": float(f"{value:.4g}")
        for name, value in (found.scores | drift).items()
        if np.isfinite(value)
    }
    measured = found.coarse.totals | found.fine.totals
    thickness = found.thickness.errors if found.thickness else None

    def change(latest: Manifest) -> dict[str, object]:
        kept = {k: v for k, v in latest.scores.items() if not k.startswith(PREFIX)}
        return {
            "labels": tuple(_with_errors(entry, found) for entry in latest.labels),
            "totals": _kept(latest.totals, measured) | _rounded(measured),
            "coarse_totals": _kept(latest.coarse_totals, measured) | _rounded(found.coarse.totals),
            "scores": {**kept, **new},
            "thickness": merged_thickness(latest.thickness, thickness),
        }

    if picture.resolve() != (bundle.folder / picture.name).resolve():
        shutil.copy(picture, bundle.folder / picture.name)
    return edit_bundle(bundle.folder, change)


def _with_errors(entry: LabelEntry, found: Reliability) -> LabelEntry:
    """Old errors go together: half of them would be those of other weights."""
    fine, coarse = found.fine.regions.get(entry.id), found.coarse.regions.get(entry.id)
    if fine is None and coarse is None:
        return entry
    # From coarse scans alone the error of fine ones is at most theirs.
    known = {"relative_sd": coarse if fine is None else fine, "coarse_sd": coarse}
    rounded = {name: None if sd is None else round(sd, 5) for name, sd in known.items()}
    return entry.model_copy(update=rounded)


def _kept(known: Mapping[str, float], measured: Mapping[str, float]) -> dict[str, float]:
    """Errors of what was not measured anew: without skulls, those of eTIV."""
    return {name: sd for name, sd in known.items() if name not in measured}


def _rounded(sds: Mapping[str, float]) -> dict[str, float]:
    return {name: round(sd, 5) for name, sd in sds.items()}


def _reference_confidence(manifest: Manifest) -> dict[int, float]:
    known = {entry.id: entry.reference_confidence for entry in manifest.labels}
    return {i: value for i, value in known.items() if value is not None}
