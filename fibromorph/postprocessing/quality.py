"""Can this segmentation be trusted: scores, image measures, and flags that say why not.

The overall score is the product of six factors between 0 and 1, each of which a reader can check:
confidence, size, contrast, completeness, symmetry, field of view.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fibromorph.labels import LabelTable, Structure
from fibromorph.postprocessing.contrast import (
    CJV_RAMP,
    DARK_LIMITS,
    MOTTLE_RAMP,
    contrast_factor,
    image_measures,
    is_t1_weighted,
    ramp,
)
from fibromorph.postprocessing.names import plain_name
from fibromorph.postprocessing.volumes import Calibration, VolumeRow

__all__ = [
    "Flag",
    "Quality",
    "Severity",
    "Verdict",
    "asymmetric_structures",
    "cut_area_mm2",
    "image_measures",
    "is_t1_weighted",
    "missing_structures",
    "score",
    "with_warnings",
]

Severity = Literal["note", "check", "bad"]
Verdict = Literal["good", "check", "bad"]

BRAIN_ML = (700.0, 2100.0)
NOT_A_BRAIN_ML = (300.0, 3000.0)
# Of the confidence on the bundle's reference scans: score 0, bad below, score 1 (check below).
CONFIDENCE_RAMP = (0.55, 0.92)
LOW_CONFIDENCE = 0.75
MISSING_ML = 0.02
CUT_MM2 = (25, 2500)
# Largest plausible |left - right| / mean of left and right. Large structures differ little;
# ventricles, and structures of under a millilitre, differ a lot in healthy people.
ASYMMETRY_LIMIT: Mapping[str, float] = {
    "Cerebral-White-Matter": 0.10,
    "Cerebral-Cortex": 0.10,
    "Cerebellum-Cortex": 0.12,
    "Cerebellum-White-Matter": 0.20,
    "Lateral-Ventricle": 1.0,
    "Inf-Lat-Vent": 1.4,
    "Amygdala": 0.40,
    "Accumbens-area": 0.60,
}
ASYMMETRY_LIMIT_OTHERS = 0.25
# In manual labels of 15 healthy people 15 of 49 regions of the cortex exceed 0.25 on average, and
# 4 pairs in 735 exceed 1.
ASYMMETRY_LIMIT_PARTS = 1.0
# Many protocols end their field of view in these.
MAY_BE_CUT = ("Brain-Stem", "CSF")


@dataclass(frozen=True)
class Flag:
    """One reason to look: a stable code, how grave it is, a sentence, and the number behind it."""

    code: str
    severity: Severity
    message: str
    value: float


@dataclass(frozen=True)
class Quality:
    """What `score` found.

    Attributes:
        overall: 0 to 1, the product of `factors`.
        verdict: 'bad' below 0.3 or with a bad flag; 'check' below 0.7 or with a check flag.
        factors: name -> 0 to 1.
        structures: label id -> 0 to 1; 0 = missing.
        measures: image measures (snr_white, snr_grey, cnr, cjv, median_white, ...); one that the
            image does not allow is left out.
        flags: gravest first.
    """

    overall: float
    verdict: Verdict
    factors: Mapping[str, float]
    structures: Mapping[int, float]
    measures: Mapping[str, float]
    flags: tuple[Flag, ...]


def score(
    measures: Mapping[str, float],
    labels: NDArray[np.uint8],
    confidence: NDArray[np.float32],
    rows: Sequence[VolumeRow],
    table: LabelTable,
    *,
    calibration: Calibration,
    on_scan_grid: tuple[NDArray[np.integer], Sequence[float]] | None = None,
) -> Quality:
    """Score a segmentation.

    Args:
        measures: `image_measures` of the conformed intensities.
        labels: (i, j, k) ids on the conformed voxels.
        confidence: (i, j, k) winning posterior, 0 to 1.
        rows: what `volumes.measure` returned.
        table: the structures.
        calibration: the bundle's; confidence is judged against its reference.
        on_scan_grid: ids on the scan's own voxels, whose border is the true field of view, and the
            spacing of those; where it is left out, `labels` on voxels of 1 mm serve.
    """
    relative = _relative_confidence(labels, confidence, calibration)
    outermost, spacing_mm = on_scan_grid or (labels, (1.0, 1.0, 1.0))
    cut = cut_area_mm2(outermost, spacing_mm, table)
    missing, crooked = missing_structures(rows, calibration), asymmetric_structures(rows, table)
    brain_ml = next((r.volume_ml or 0.0 for r in rows if r.name == "Total-Brain"), 0.0)
    factors = {
        "confidence": ramp(relative, *CONFIDENCE_RAMP),
        "size": min(ramp(brain_ml, 300.0, BRAIN_ML[0]), ramp(brain_ml, 3000.0, BRAIN_ML[1])),
        "contrast": contrast_factor(measures),
        "completeness": max(0.0, 1.0 - 0.1 * len(missing)),
        "symmetry": max(0.0, 1.0 - 0.1 * len(crooked)),
        "field_of_view": ramp(cut, CUT_MM2[1], CUT_MM2[0]),
    }
    flags = (
        *_scan_flags(relative, brain_ml, cut, measures),
        *_structure_flags(missing, crooked),
        *_unsure_flags(rows, calibration),
    )
    ordered = _ordered(flags)
    overall = prod(factors.values())
    structures = _structure_scores(rows, missing, crooked, calibration)
    return Quality(overall, _verdict(overall, ordered), factors, structures, measures, ordered)


def with_warnings(quality: Quality, warnings: Iterable[tuple[str, str]]) -> Quality:
    """The same with what a scan's header warns of as flags: its verdict is then 'check' at best.

    Args:
        quality: from `score`.
        warnings: code and sentence of each.
    """
    flags = (Flag(code, "check", message, 1.0) for code, message in warnings)
    ordered = _ordered((*quality.flags, *flags))
    return replace(quality, flags=ordered, verdict=_verdict(quality.overall, ordered))


def cut_area_mm2(
    labels: NDArray[np.integer], spacing_mm: Sequence[float], table: LabelTable
) -> float:
    """Area in which labels meet the border of the image, brain stem and outer CSF not counted.

    An area, so that the same cut weighs as much in a finer scan.

    Args:
        labels: (i, j, k) ids.
        spacing_mm: of the voxels along their axes.
        table: the structures.
    """
    exempt = [i for name in MAY_BE_CUT for i in table.ids_of(name)]
    total = 0.0
    for axis in range(3):
        ends = np.take(labels, [0, -1], axis=axis)
        voxels = int(np.count_nonzero(ends)) - int(np.isin(ends, exempt).sum())
        total += voxels * prod(spacing_mm) / spacing_mm[axis]
    return total


def missing_structures(
    rows: Iterable[VolumeRow], calibration: Calibration
) -> tuple[VolumeRow, ...]:
    """The regions that came out empty, but for those that the bundle never finds.

    Of what it has found on the scans that it was evaluated with, it knows how sure it was.
    """
    ever_found = calibration.reference_confidence
    return tuple(
        r
        for r in rows
        if not r.is_total and r.volume_ml is not None and r.volume_ml < MISSING_ML
        if not ever_found or r.region_id in ever_found
    )


def asymmetric_structures(
    rows: Iterable[VolumeRow], table: LabelTable
) -> tuple[tuple[Structure, float], ...]:
    """Structures with both sides present and (left - right) / mean beyond `ASYMMETRY_LIMIT`."""
    volume = {r.region_id: r.volume_ml or 0.0 for r in rows if not r.is_total}
    found = []
    for structure in table.structures:
        left, right = volume.get(structure.left_id, 0.0), volume.get(structure.right_id, 0.0)
        index = 2.0 * (left - right) / max(left + right, 1e-9)
        usual = ASYMMETRY_LIMIT_PARTS if structure.parent else ASYMMETRY_LIMIT_OTHERS
        limit = ASYMMETRY_LIMIT.get(structure.name, usual)
        if structure.lateralised and min(left, right) >= MISSING_ML and abs(index) > limit:
            found.append((structure, index))
    return tuple(found)


def _scan_flags(
    relative: float, brain_ml: float, cut: float, measures: Mapping[str, float]
) -> Iterable[Flag]:
    if not NOT_A_BRAIN_ML[0] <= brain_ml <= NOT_A_BRAIN_ML[1]:
        yield Flag("not_a_brain", "bad", f"{brain_ml:.0f} ml is not a human brain", brain_ml)
    elif not BRAIN_ML[0] <= brain_ml <= BRAIN_ML[1]:
        low, high = BRAIN_ML
        text = f"brain volume {brain_ml:.0f} ml is outside {low:.0f} to {high:.0f} ml"
        yield Flag("brain_volume", "check", text, brain_ml)
    if relative < CONFIDENCE_RAMP[1]:
        severity: Severity = "bad" if relative < LOW_CONFIDENCE else "check"
        text = f"the model is less sure than it should be ({relative:.0%} of its usual confidence)"
        yield Flag("low_confidence", severity, text, relative)
    if cut > CUT_MM2[0]:
        text = f"the field of view cuts the brain ({cut / 100:.1f} cm2 of it lie on the border)"
        yield Flag("field_of_view", "check", text, cut)
    yield from _contrast_flags(measures)


def _contrast_flags(measures: Mapping[str, float]) -> Iterable[Flag]:
    if not measures:
        yield Flag("no_tissue", "bad", "no cortex or no white matter was found", 0.0)
        return
    ratio = measures["median_grey"] / (measures["median_white"] or 1e-12)
    if is_t1_weighted(measures) is False:
        text = "not T1-weighted contrast: white matter > grey matter > CSF does not hold"
        yield Flag("not_t1w", "check", text, ratio)
    cjv = measures["cjv"]
    if cjv >= CJV_RAMP[0]:
        text = f"grey and white matter cannot be told apart (CJV {cjv:.1f})"
        yield Flag("no_contrast", "bad", text, cjv)
    elif cjv > CJV_RAMP[1]:
        yield Flag("low_contrast", "check", f"noisy or uneven image (CJV {cjv:.2f})", cjv)
    mottle = measures.get("mottle_white", 0.0)
    if mottle > MOTTLE_RAMP[1]:
        grave: Severity = "bad" if mottle >= MOTTLE_RAMP[0] else "check"
        text = f"white matter is mottled, as after motion ({mottle:.0%} of the contrast with grey)"
        yield Flag("motion", grave, text, mottle)
    dark = measures.get("dark_white_percent", 0.0)
    if dark > DARK_LIMITS[0]:
        looked_at: Severity = "check" if dark >= DARK_LIMITS[1] else "note"
        text = (
            f"dark spots in the white matter ({dark:.1f} % of it), as lesions are: they may be"
            " taken for grey matter, and volumes beside them move"
        )
        yield Flag("dark_white_matter", looked_at, text, dark)


def _structure_flags(
    missing: Iterable[VolumeRow], crooked: Iterable[tuple[Structure, float]]
) -> Iterable[Flag]:
    for row in missing:
        text = f"{plain_name(row.name)} was not found"
        yield Flag("missing", "check", text, row.volume_ml or 0.0)
    for structure, index in crooked:
        side, name = "left" if index > 0 else "right", plain_name(structure.name)
        text = f"{name}: {side} larger by {abs(index):.0%} of the mean of both sides"
        yield Flag("asymmetry", "check", text, index)


def _unsure_flags(rows: Iterable[VolumeRow], calibration: Calibration) -> Iterable[Flag]:
    """One flag for all structures in doubt: a line each would bury the graver ones."""
    unsure = {
        plain_name(row.name): row.confidence
        for row in rows
        if row.region_id is not None
        and row.volume_ml is not None
        and row.confidence is not None
        and row.confidence < LOW_CONFIDENCE * calibration.expected_confidence(row.region_id)
    }
    if unsure:
        text = ", ".join(f"{name} ({confidence:.2f})" for name, confidence in unsure.items())
        lowest = min(unsure.values())
        yield Flag("low_confidence_structure", "note", f"low confidence in: {text}", lowest)


def _relative_confidence(
    labels: NDArray[np.uint8], confidence: NDArray[np.float32], calibration: Calibration
) -> float:
    """Mean confidence in all labels over what the reference would have in the same labels."""
    counts = np.bincount(labels.ravel(), minlength=1)
    ids = np.flatnonzero(counts[1:]) + 1
    if ids.size == 0:
        return 0.0
    expected = sum(counts[i] * calibration.expected_confidence(int(i)) for i in ids)
    return float(confidence[labels > 0].sum(dtype=np.float64) / expected)


def _structure_scores(
    rows: Iterable[VolumeRow],
    missing: Sequence[VolumeRow],
    crooked: Iterable[tuple[Structure, float]],
    calibration: Calibration,
) -> dict[int, float]:
    """Relative confidence on the scan's ramp; halved by implausible asymmetry; 0 if missing."""
    halved = {i for structure, _ in crooked for i in (structure.left_id, structure.right_id)}
    scores = {}
    for row in rows:
        if row.region_id is not None:
            relative = (row.confidence or 0.0) / calibration.expected_confidence(row.region_id)
            known = 0.0 if row in missing else ramp(relative, *CONFIDENCE_RAMP)
            scores[row.region_id] = known * (0.5 if row.region_id in halved else 1.0)
    return scores


def _ordered(flags: Iterable[Flag]) -> tuple[Flag, ...]:
    return tuple(sorted(flags, key=lambda f: ("bad", "check", "note").index(f.severity)))


def _verdict(overall: float, flags: Iterable[Flag]) -> Verdict:
    found = {flag.severity for flag in flags}
    if overall < 0.3 or "bad" in found:
        return "bad"
    return "check" if overall < 0.7 or "check" in found else "good"
