"""`quality.html`: the whole cohort's quality on one page that opens offline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup

import fibromorph
from fibromorph.files import write_whole
from fibromorph.postprocessing.names import listed, plain_name
from fibromorph.postprocessing.pages import page_environment
from fibromorph.serving.cohort.failures import FailedScan
from fibromorph.serving.cohort.group.gather import Cohort, Values
from fibromorph.serving.cohort.group.outliers import (
    FEWEST,
    LIMIT,
    Outlier,
    modified_z,
    robust_z,
)
from fibromorph.serving.cohort.group.plots import Dot, strip

MOST_SCANS = 300
MEASURES = {
    "overall": ("Quality", "product of all factors, 1 is best"),
    "snr_white": ("SNR, white matter", "higher is better"),
    "snr_grey": ("SNR, grey matter", "higher is better"),
    "cnr": ("Contrast to noise", "higher is better"),
    "cjv": ("CJV", "lower is better: noise and shading"),
    "mottle_white": ("Mottle, white matter", "lower is better: motion"),
    "dark_white_percent": ("Dark spots, white matter", "% of it: lesions"),
    "tilt_deg": ("Tilt of the head", "degrees it was turned to be upright"),
}
WORST_FIRST = ("bad", "check", "good")


@dataclass(frozen=True, eq=False)
class PageContent:
    """All that the page shows.

    Attributes:
        cohort: one scan a session.
        outliers: see `find_outliers`.
        excluded: (participant, session).
        failures: scans without a result.
        unmeasured: subjects of BIDS_DIR without a measured scan.
    """

    cohort: Cohort
    outliers: tuple[Outlier, ...]
    excluded: frozenset[tuple[str, str]]
    failures: tuple[FailedScan, ...]
    unmeasured: tuple[str, ...]


@dataclass(frozen=True)
class _Strip:
    name: str
    detail: str
    middle: str
    spread: str
    unusual: int
    plot: Markup


@dataclass(frozen=True)
class _Row:
    """A scan to look at."""

    name: str
    link: str
    verdict: str
    overall: float
    excluded: bool
    unusual: tuple[str, ...]
    flags: tuple[str, ...]


def write_page(path: Path, content: PageContent) -> None:
    """Write the page, moved into place when complete."""
    environment = page_environment("fibromorph.serving.cohort")
    cohort, rows = content.cohort, list(_rows(content))
    verdicts = Counter(quality.verdict for quality in cohort.quality)
    text = environment.get_template("quality.html").render(
        c=content,
        unmeasured=listed(content.unmeasured),
        subjects=len({task.subject for task in cohort.tasks}),
        verdicts=[(verdict, verdicts[verdict]) for verdict in reversed(WORST_FIRST)],
        measures=list(_measures(cohort)),
        regions=list(_regions(content)),
        corrected=sum(map(bool, cohort.corrected)),
        rows=rows[:MOST_SCANS],
        more=max(len(rows) - MOST_SCANS, 0),
        limit=LIMIT,
        too_few=len(cohort) < FEWEST,
        fewest=FEWEST,
        version=fibromorph.__version__,
    )
    write_whole(path, text)


def _rows(content: PageContent) -> Iterator[_Row]:
    """Scans that are not good or stand out, the worst first."""
    cohort = content.cohort
    unusual: dict[int, list[str]] = {}
    for outlier in content.outliers:
        text = f"{plain_name(outlier.region)} {outlier.volume_ml:.2f} ml (z {outlier.z:+.1f})"
        unusual.setdefault(outlier.row, []).append(text)
    order = sorted(
        range(len(cohort)),
        key=lambda i: (
            WORST_FIRST.index(cohort.quality[i].verdict),
            -len(unusual.get(i, [])),
            cohort.quality[i].overall,
        ),
    )
    for i in order:
        task, quality = cohort.tasks[i], cohort.quality[i]
        if quality.verdict != "good" or i in unusual:
            yield _Row(
                _name(cohort, i),
                _link(cohort, i),
                quality.verdict,
                quality.overall,
                task.ids[:2] in content.excluded,
                tuple(unusual.get(i, [])),
                quality.flags,
            )


def _measures(cohort: Cohort) -> Iterator[_Strip]:
    for key, (name, detail) in MEASURES.items():
        values = np.array(
            [q.overall if key == "overall" else q.measures.get(key, np.nan) for q in cohort.quality]
        )
        if np.isfinite(values).any():
            yield _strip(cohort, name, detail, values, robust_z(values[:, None])[:, 0], "")


def _regions(content: PageContent) -> Iterator[_Strip]:
    cohort, z = content.cohort, modified_z(content.cohort)
    for column, region in enumerate(cohort.regions):
        values = cohort.soft_ml[:, column]
        if np.isfinite(values).any():
            yield _strip(cohort, plain_name(region), "", values, z[:, column], " ml")


def _strip(cohort: Cohort, name: str, detail: str, values: Values, z: Values, unit: str) -> _Strip:
    enough = len(cohort) >= FEWEST
    far = np.flatnonzero(np.abs(np.nan_to_num(z)) > LIMIT) if enough else np.array([], int)
    ordered = far[np.argsort(-np.abs(z[far]))]
    dots = [
        Dot(
            float(z[i]),
            f"{_name(cohort, i)}: {_three_digits(values[i])}{unit}, z {z[i]:+.1f}",
            _link(cohort, i),
            cohort.quality[i].verdict == "bad",
        )
        for i in ordered
    ]
    low, middle, high = np.nanpercentile(values, (25, 50, 75))
    spread = f"{_three_digits(low)} to {_three_digits(high)}"
    # In robust standard deviations of three scans, one of them is always far off.
    plot = strip(z, dots, (-LIMIT, LIMIT)) if enough else Markup("")
    return _Strip(name, detail, _three_digits(middle) + unit, spread, len(far), plot)


def _name(cohort: Cohort, row: int) -> str:
    return cohort.tasks[row].stem.replace("_", " ")


def _link(cohort: Cohort, row: int) -> str:
    return cohort.tasks[row].files["report"].as_posix()


def _three_digits(value: float) -> str:
    if not np.isfinite(value):
        return "n/a"
    return f"{value:.{2 if abs(value) < 10 else 1 if abs(value) < 100 else 0}f}"
