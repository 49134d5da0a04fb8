"""Which series of a mixed DICOM folder is the T1.

Free text of the header (series description, protocol) is only searched for known words: it can
hold a name, so it never reaches a finding.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fibromorph.errors import ScanError
from fibromorph.scans.dicom_slices import Slice
from fibromorph.scans.scan import Finding, JsonValue, ReadLimits

# (words, points): the first group that is found counts on its own, groups add up.
T1_WORDS = ("t1", "mprage", "memprage", "mp2rage", "spgr", "fspgr", "bravo", "tfl", "vibe", "tfe")
OTHER_WORDS = (
    *("t2", "flair", "pd", "dwi", "dti", "diff", "adc", "tracew", "bold", "fmri", "rest", "swi"),
    *("asl", "pasl", "pcasl", "perf", "perfusion", "cbf", "relcbf", "tof", "mra", "angio", "field"),
    *("fieldmap", "b0", "phase", "mip", "inv1", "inv2", "dir", "space", "fse", "tse", "epi"),
)
REFUSED_WORDS = ("loc", "localizer", "localiser", "scout", "survey", "aahead", "mosaic")
CONTRAST_WORDS = ("gd", "gad", "post", "contrast", "km", "ce")
WORD_FIELDS = ("SeriesDescription", "ProtocolName", "SequenceName")


@dataclass(frozen=True)
class Candidate:
    """A series with the evidence for and against it.

    Attributes:
        slices: sorted along the normal.
        contrast: points that say T1 (positive) or another contrast (negative).
        quality: points for a fine, complete, three-dimensional acquisition.
        reasons: what gave points, in words.
        refused: why it cannot be used at all, or ''.
    """

    slices: tuple[Slice, ...]
    contrast: float
    quality: float
    reasons: tuple[str, ...]
    refused: str

    @property
    def score(self) -> float:
        return self.contrast + self.quality


def choose_t1(
    groups: Sequence[Sequence[Slice]], limits: ReadLimits, subject: Path
) -> tuple[Candidate, Finding]:
    """The series that is most likely the T1, and the finding that says which and why.

    Raises:
        ScanError: none can be used, or all that can speak against being a T1.
    """
    candidates = [_judge(group, limits) for group in groups]
    usable = [c for c in candidates if not c.refused and c.contrast >= 0]
    if not usable:
        rule = "a DICOM folder or zip must hold a T1-weighted series of one volume"
        value = "; ".join(_describe(c) for c in candidates[:8]) or "no image slices"
        raise ScanError(rule, value=value, subject=subject)
    best = max(usable, key=lambda c: (c.score, len(c.slices), -_number(c)))
    reasons: dict[str, JsonValue] = {
        "chosen": _describe(best),
        "others": [_describe(c) for c in candidates if c is not best],
    }
    ties = [c for c in usable if c is not best and c.score > best.score - 1]
    message = f"The T1 was taken from {_describe(best)}."
    if ties:
        message += f" {len(ties)} other series look almost as likely."
    return best, Finding("dicom_series", "warning" if ties else "note", message, reasons)


def _judge(group: Sequence[Slice], limits: ReadLimits) -> Candidate:
    header = group[0].header
    words = _words(header)
    evidence = [*_word_evidence(words), *_timing_evidence(header)]
    quality = _quality_evidence(group, header, words)
    return Candidate(
        tuple(group),
        sum(points for points, _ in evidence),
        sum(points for points, _ in quality),
        tuple(reason for _, reason in (*evidence, *quality) if reason),
        _refusal(group, header, words, limits),
    )


def _words(header: Any) -> set[str]:
    text = " ".join(str(header.get(f) or "") for f in WORD_FIELDS).lower()
    parts = re.findall(r"[a-z]+[0-9]?[a-z]*|[0-9]+", text)
    # 'mocoMEMPRAGE' and 't1w' hold a word that stands on its own elsewhere.
    inner = {w for w in (*T1_WORDS, "flair", "localizer", "scout") if len(w) > 3 and w in text}
    return {*parts, *inner, *(p.rstrip("w") for p in parts if p.startswith(("t1", "t2")))}


def _image_type(header: Any) -> set[str]:
    return {str(t).upper() for t in np.atleast_1d(header.get("ImageType") or [])}


def _refusal(group: Sequence[Slice], header: Any, words: set[str], limits: ReadLimits) -> str:
    modality = str(header.get("Modality") or "MR")
    kinds = _image_type(header)
    if modality != "MR":
        return f"modality {modality[:4]}"
    if int(header.get("SamplesPerPixel") or 1) != 1:
        return "colour"
    if found := sorted(words & set(REFUSED_WORDS)):
        return f"'{found[0]}'"
    if found := sorted(
        kinds & {"LOCALIZER", "MOSAIC", "PERFUSION", "DIFFUSION", "ADC", "PHASE MAP"}
    ):
        return f"image type {found[0]}"
    if len(group) < limits.min_slices:
        return f"only {len(group)} slices"
    return ""


def _word_evidence(words: set[str]) -> list[tuple[float, str]]:
    evidence: list[tuple[float, str]] = []
    if found := sorted(words & set(T1_WORDS)):
        evidence.append((4.0, f"'{found[0]}'"))
    if found := sorted(words & set(OTHER_WORDS)):
        evidence.append((-6.0, f"'{found[0]}'"))
    return evidence


def _timing_evidence(header: Any) -> list[tuple[float, str]]:
    tr, te, ti = (_float(header, f"{n}Time") for n in ("Repetition", "Echo", "Inversion"))
    evidence: list[tuple[float, str]] = []
    if te is not None and te > 30:
        evidence.append((-5.0, f"TE {te:g} ms"))
    elif te is not None and te < 15 and tr is not None:
        prepared = "IR" in str(header.get("ScanningSequence") or "") or ti is not None
        t1_like = tr < 60 or (prepared and tr > 1000) or 300 < tr < 1000
        evidence.append((3.0 if t1_like else 0.0, f"TR {tr:g} TE {te:g} ms"))
    if "EP" in str(header.get("ScanningSequence") or ""):
        evidence.append((-5.0, "echo-planar"))
    return evidence


def _quality_evidence(
    group: Sequence[Slice], header: Any, words: set[str]
) -> list[tuple[float, str]]:
    kinds = _image_type(header)
    coarsest = max(*group[0].pixel_spacing_mm, _step_mm(group))
    kind = str(header.get("MRAcquisitionType") or "")
    evidence = [
        # Of a header nothing but what is expected is told: it may hold anything.
        ({"3D": 2.0, "2D": -1.0}.get(kind, 0.0), kind if kind in ("2D", "3D") else ""),
        (2.0 if coarsest <= 1.25 else 1.0 if coarsest <= 2 else -2.0 if coarsest > 4 else 0.0, ""),
        (1.0 if len(group) >= 100 else 0.0, ""),
        (1.0 if "ORIGINAL" in kinds else 0.0, ""),
        (-3.0 if kinds & {"P", "PHASE", "PROJECTION IMAGE", "MIP"} else 0.0, ""),
        (0.5 if kinds & {"NORM", "MEAN", "UNI"} else 0.0, ""),
    ]
    if header.get("ContrastBolusAgent") or words & set(CONTRAST_WORDS):
        evidence.append((-2.0, "contrast agent"))
    return evidence


def _step_mm(group: Sequence[Slice]) -> float:
    along = np.array([s.along_mm for s in group])
    steps = np.diff(along)
    steps = steps[steps > 1e-3]
    return float(np.median(steps)) if steps.size else 0.0


def _float(header: Any, name: str) -> float | None:
    try:
        return float(header.get(name))
    except (TypeError, ValueError):
        return None


def _number(candidate: Candidate) -> int:
    return int(candidate.slices[0].header.get("SeriesNumber") or 0)


def _describe(candidate: Candidate) -> str:
    first = candidate.slices[0]
    row_mm, column_mm = first.pixel_spacing_mm
    size = f"{row_mm:.2f}x{column_mm:.2f}x{_step_mm(candidate.slices):.2f} mm"
    verdict = candidate.refused or f"score {candidate.score:g}"
    reasons = ", ".join(candidate.reasons)
    parts = [f"{len(candidate.slices)} slices", size, reasons, verdict]
    return f"series {_number(candidate)}: " + ", ".join(p for p in parts if p)
