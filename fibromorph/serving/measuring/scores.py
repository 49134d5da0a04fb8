"""What an evaluation adds up to: scores by scan and structure, and what a bundle keeps of them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import asdict
from typing import cast

import numpy as np
import pandas as pd

from fibromorph.labels import CORTICAL_REGIONS, FREESURFER, STRUCTURES_27, LabelTable
from fibromorph.manifest import (
    Bundle,
    LabelEntry,
    Manifest,
    ThicknessErrors,
    merged_thickness,
)
from fibromorph.models.card import edit_bundle
from fibromorph.postprocessing.agreement import Agreement

FIRST_CORTICAL_ID = min(CORTICAL_REGIONS)
DETECTABLE_SDS = 1.96 * 2**0.5
"""Standard deviations of one measurement by which two of them differ in 5 % of pairs."""
MEASURED = ("dice", "volume_error", "repeat_sd", "reference_confidence", "people_sd")
"""Columns of `tables` that a bundle keeps."""
FEWEST_PEOPLE = 10
"""From fewer scans no spread between people is told."""


def score_row(agreement: Agreement, soft_volume_ml: float | None) -> dict[str, object]:
    """One structure of one scan; the volume's error is the soft volume's where that is known."""
    hard = agreement.volume_error
    soft = None if soft_volume_ml is None else soft_volume_ml / agreement.reference_ml - 1
    measured = asdict(agreement)
    return {
        "region_id": measured.pop("label_id"),
        **measured,
        "soft_volume_ml": soft_volume_ml,
        "hard_volume_error": hard,
        "volume_error": hard if soft is None else soft,
    }


def update_manifest(
    bundle: Bundle,
    per_structure: pd.DataFrame,
    summary: Mapping[str, float],
    scored: tuple[str, str],
    thickness: ThicknessErrors | None = None,
) -> Manifest:
    """Write what was measured into the bundle's manifest and card.

    Args:
        bundle: to update.
        per_structure: from `tables`.
        summary: from `summarise`.
        scored: name of the set of scans, whose earlier scores are replaced, and how they were
            scored, '' = by the bundle alone.
        thickness: from `thickness_errors`; None = it was not measured.
    """
    source, way = scored
    known = per_structure.set_index("region_id").to_dict("index")
    title = f"{source}, {way}" if way else source
    scores = {
        f"{title}: {key}": float(f"{value:.5g}")
        for key, value in summary.items()
        if np.isfinite(value)
    }

    def change(latest: Manifest) -> dict[str, object]:
        own = (f"{source}: ", f"{source}, ")
        others = {key: value for key, value in latest.scores.items() if not key.startswith(own)}
        entries = tuple(_measured(entry, known.get(entry.id, {})) for entry in latest.labels)
        return {
            "labels": entries,
            "scores": {**others, **scores},
            "thickness": merged_thickness(latest.thickness, thickness),
        }

    return edit_bundle(bundle.folder, change)


def _measured(entry: LabelEntry, row: Mapping[Hashable, float]) -> LabelEntry:
    """What a bundle says of a structure, with what was measured of it now."""
    measured = {
        key: round(float(row[key]), 5) for key in MEASURED if key in row and np.isfinite(row[key])
    }
    if "repeat_sd" in measured:
        least = DETECTABLE_SDS * measured["repeat_sd"]
        measured["minimal_detectable_change"] = round(least, 5)
    return entry.model_copy(update=measured)


def summarise(per_scan: pd.DataFrame) -> dict[str, float]:
    """The numbers that stand for all: means over structures of means over scans.

    `absolute_volume_error` is of every scan's |error|, `volume_bias` of every structure's |mean|.

    The 27 structures are FreeSurfer's; a finer bundle adds all of its own regions, and those of the
    cortex among them.
    """
    coarse = per_scan[per_scan.protocol == FREESURFER.protocol]
    core = coarse[coarse.region_id.isin(STRUCTURES_27)].groupby("region_id")
    absolute = coarse.assign(error=coarse.hard_volume_error.abs()).groupby("region_id").error.mean()
    out = {
        "scans": float(per_scan.scan.nunique()),
        "dice_27": float(core.dice.mean().mean()),
        "dice_27_lowest_structure": float(core.dice.mean().min()),
        # They have no distance: without their number the means below would hide them.
        "missed_27": float(coarse[coarse.region_id.isin(STRUCTURES_27)].hd95_mm.isna().sum()),
        "hd95_mm_27": float(core.hd95_mm.mean().mean()),
        "assd_mm_27": float(core.assd_mm.mean().mean()),
        # Of counted volumes: sums of posteriors are not known in another protocol's structures.
        "absolute_volume_error_27": float(absolute[absolute.index.isin(STRUCTURES_27)].mean()),
        "volume_bias_27": float(core.hard_volume_error.mean().abs().mean()),
    }
    fine = per_scan[per_scan.protocol != FREESURFER.protocol]
    if len(fine):
        means = fine.groupby("region_id").dice.mean()
        out["regions"] = float(len(means))
        out["dice_regions"] = float(means.mean())
        out["dice_cortical_regions"] = float(means[means.index >= FIRST_CORTICAL_ID].mean())
    return out


def tables(
    scores: pd.DataFrame, volumes: pd.DataFrame, table: LabelTable
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scan x structure as it came, and one row a structure of the bundle.

    Args:
        scores: of `score_row`, with scan, protocol and name.
        volumes: scan, repeat, region_id, soft_volume_ml, confidence.
        table: the bundle's.
    """
    columns = ["dice", "hd95_mm", "assd_mm", "volume_error", "hard_volume_error"]
    own = scores[scores.protocol == table.protocol]
    means = own.groupby("region_id")[columns].mean()
    first = volumes[volumes.repeat == 0].groupby("region_id").confidence.median()
    means = means.reindex(list(table.ids))
    means["reference_confidence"] = first
    means["repeat_sd"] = repeat_sd(volumes, "region_id", "soft_volume_ml")
    means["people_sd"] = people_sd(volumes[volumes.repeat == 0], table)
    means.insert(0, "name", [table[i].name for i in means.index])
    return scores, means.reset_index()


def repeat_sd(measured: pd.DataFrame, region: str, value: str) -> pd.Series[float]:
    """Within-scan standard deviation of a region's value over its mean, pooled over scans.

    The root of the mean over scans of (variance / mean^2); NaN without repeats.

    Args:
        measured: a row a scan, repeat and region.
        region, value: columns.
    """
    known = measured.dropna(subset=[region, value])
    groups = known.groupby([region, "scan"], sort=False)[value]
    squared = groups.var(ddof=1) / groups.mean() ** 2
    return cast("pd.Series[float]", np.sqrt(squared.groupby(region, sort=False).mean()))


def thickness_errors(thick: pd.DataFrame) -> ThicknessErrors:
    """How thickness repeats, and how people differ in it; empty where there are too few scans.

    Args:
        thick: scan, repeat, ribbon, name, thickness_mm.
    """
    first = thick[thick.repeat == 0].dropna(subset=["thickness_mm"])
    logs = np.log(first.thickness_mm).groupby(first["name"], sort=False)
    people = logs.std()[logs.count() >= FEWEST_PEOPLE]
    return ThicknessErrors(
        ribbon=str(thick.ribbon.iloc[0]),
        repeat_sd=_by_name(repeat_sd(thick, "name", "thickness_mm")),
        people_sd=_by_name(people),
    )


def _by_name(sds: pd.Series[float]) -> dict[str, float]:
    return {str(name): round(float(sd), 5) for name, sd in sds.dropna().items()}


def people_sd(volumes: pd.DataFrame, table: LabelTable) -> pd.Series[float]:
    """Standard deviation of log soft volumes between scans, the log brain volume regressed out.

    Args:
        volumes: scan, region_id, soft_volume_ml.
        table: the bundle's.

    Returns:
        By region id; those that a scan lacks are left out, and all of them where there are fewer
        than `FEWEST_PEOPLE` scans.
    """
    by_scan = volumes.pivot_table(index="scan", columns="region_id", values="soft_volume_ml")
    if len(by_scan) < FEWEST_PEOPLE:
        return pd.Series(dtype=float)
    tissue = [label.id for label in table if label.tissue in ("grey", "white")]
    brain = by_scan.loc[:, by_scan.columns.isin(tissue)].sum(axis=1)
    everywhere = by_scan.loc[:, (by_scan > 0).all()]
    logs = np.log(everywhere.to_numpy())
    known = np.column_stack([np.ones(len(brain)), np.log(brain)])
    left = logs - known @ np.linalg.lstsq(known, logs, rcond=None)[0]
    variance = (left**2).sum(axis=0) / (len(left) - known.shape[1])
    return pd.Series(np.sqrt(variance), index=everywhere.columns)


def scores_text(per_structure: pd.DataFrame, summary: Mapping[str, float]) -> str:
    """The table and the summary, for a terminal."""
    shown = per_structure.dropna(subset=["dice"]).round(3)
    lines = [f"{key:<26} {value:.4g}" for key, value in summary.items()]
    return shown.to_string(index=False) + "\n\n" + "\n".join(lines)
