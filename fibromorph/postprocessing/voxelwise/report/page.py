"""The page of a voxelwise analysis: one self-contained HTML file that opens offline and prints."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import fibromorph
from fibromorph.postprocessing.pages import page_environment
from fibromorph.postprocessing.stats.report.wording import number, p_text, signed
from fibromorph.postprocessing.stats.results import to_tsv
from fibromorph.postprocessing.viewer import viewer_html, viewer_script
from fibromorph.postprocessing.voxelwise.report.methods import CITATIONS, methods_text
from fibromorph.postprocessing.voxelwise.report.picture import picture
from fibromorph.postprocessing.voxelwise.report.view import view_of
from fibromorph.postprocessing.voxelwise.results import Answer, VoxelResults

MOST_CLUSTERS = 25
VIEWER_HINT = (
    "A peak in the tables below leads to its place. All effects are shown: only what is said to"
    " survive is a finding."
)


@dataclass(frozen=True, eq=False)
class _Shown:
    """One question on the page."""

    answer: Answer
    picture: str
    clusters: list[dict[Hashable, Any]]
    peaks: list[dict[Hashable, Any]]


def render(results: VoxelResults) -> str:
    """The page as text."""
    view = view_of(results)
    environment = page_environment()
    environment.filters.update(num=number, signed=signed, p=p_text)
    return environment.get_template("voxels.html").render(
        r=results,
        vbm=results.design.vbm,
        levels=results.design.inference,
        version=fibromorph.__version__,
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        shown=[_shown(answer, results) for answer in results.answers],
        most=MOST_CLUSTERS,
        viewer=viewer_html(view, VIEWER_HINT),
        script=viewer_script(view),
        limits=_limits(results),
        methods=methods_text(results),
        citations=CITATIONS,
        downloads={"clusters.tsv": _uri(to_tsv(results.clusters))},
    )


def _shown(answer: Answer, results: VoxelResults) -> _Shown:
    return _Shown(
        answer=answer,
        picture=picture(answer, results.maps),
        clusters=answer.clusters.to_dict("records"),
        peaks=answer.peaks_below.to_dict("records"),
    )


def _limits(results: VoxelResults) -> list[str]:
    """What the summary has to say against its own results, the gravest first."""
    found = any(len(answer.clusters) for answer in results.answers)
    many = len(results.answers)
    sentences = (
        "Effects at peaks are too large: they are the largest of all voxels, chosen because they"
        " are (selection). Their intervals do not know that. For the size of an effect read the"
        " region's volume, or measure new people."
        if found
        else "That nothing survives does not show that nothing differs.",
        f"{many} questions were asked, each corrected over its voxels, not for the others: the"
        " more are asked, the likelier is one false finding."
        if many > 1
        else "",
        "Registration that differs between groups, such as around larger ventricles, may pass for a"
        f" difference of {results.design.vbm.matter}: look at the maps.",
        *results.notes,
        "For research only; no result here is a diagnosis or bears on one person's treatment.",
    )
    return [sentence for sentence in sentences if sentence]


def _uri(table: str) -> str:
    content = b64encode(table.encode()).decode("ascii")
    return f"data:text/tab-separated-values;base64,{content}"
