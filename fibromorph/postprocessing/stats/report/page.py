"""The page: one self-contained HTML file that opens offline and prints."""

from __future__ import annotations

import math
from collections.abc import Hashable
from datetime import UTC, datetime

import pandas as pd

import fibromorph
from fibromorph.postprocessing.names import NAMED, plain_name
from fibromorph.postprocessing.pages import page_environment
from fibromorph.postprocessing.stats.change.conclusions import UNCHANGED
from fibromorph.postprocessing.stats.change.follow_up import BY_CHANCE, UNKNOWN
from fibromorph.postprocessing.stats.designs.contract import score_in_prose, score_title
from fibromorph.postprocessing.stats.people.study import baseline_of
from fibromorph.postprocessing.stats.report.brain import PaintedBrain
from fibromorph.postprocessing.stats.report.content import (
    downloads,
    draw_figures,
    primary_associations,
    score_changes,
)
from fibromorph.postprocessing.stats.report.figures import MANY_POINTS
from fibromorph.postprocessing.stats.report.limits import limits
from fibromorph.postprocessing.stats.report.methods import methods_text
from fibromorph.postprocessing.stats.report.people_map import MOST_PEOPLE, MOST_REGIONS
from fibromorph.postprocessing.stats.report.wording import number, p_text, signed
from fibromorph.postprocessing.stats.results import Results
from fibromorph.postprocessing.viewer import viewer_html, viewer_script

ASSOCIATIONS_SHOWN = 40
VIEWER_HINT = "A region's name in the table below leads to it."


def render(results: Results, brain: PaintedBrain) -> str:
    """The page as text."""
    environment = page_environment()
    environment.filters.update(
        plain=plain_name,
        num=number,
        signed=signed,
        score=score_title,
        score_in_prose=score_in_prose,
        p=p_text,
        is_p=_is_p,
        bf=_bayes,
    )
    environment.tests.update(
        unchanged=lambda text: str(text).startswith(UNCHANGED),
        match_slope=lambda text: str(text).startswith("p_slope_"),
    )
    methods, citations = methods_text(results)
    files, results = downloads(results), results.renamed(results.study.measure.bare)
    groups = results.groups.reset_index().sort_values("p")
    associations = primary_associations(results)
    scores = results.score_change
    change = results.change
    return environment.get_template("stats.html").render(
        r=results,
        m=results.study.measure,
        version=fibromorph.__version__,
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        groups=groups.to_dict("records"),
        asymmetry=_asymmetry(results),
        most_people=MOST_PEOPLE,
        most_regions=MOST_REGIONS,
        outside=_outside(results.deviations),
        otherwise={n: t.reset_index().to_dict("records") for n, t in results.otherwise.items()},
        associations=associations.to_dict("records"),
        most_associations=ASSOCIATIONS_SHOWN,
        named=NAMED,
        most_dots=MANY_POINTS,
        baseline=baseline_of(results.whole),
        change=[] if change is None else change.to_dict("records"),
        verdicts=[] if change is None else _verdicts(change, groups),
        regions_of_change=0 if change is None else change["region"].nunique(),
        assumptions=results.assumptions.reset_index().to_dict("records"),
        individuals=_individuals(results),
        score_changes=score_changes(results),
        responders=scores.responders.to_dict("records") if scores else [],
        figures=draw_figures(results, brain),
        viewer=viewer_html(brain.view, VIEWER_HINT),
        script=viewer_script(brain.view),
        places=brain.ids,
        downloads=files,
        limits=limits(results),
        methods=methods,
        citations=citations,
    )


def _asymmetry(results: Results) -> list[dict[Hashable, object]]:
    """Rows of pairs, strongest evidence first."""
    table = results.asymmetry
    return [] if table is None else table.reset_index().sort_values("p").to_dict("records")


def _outside(table: pd.DataFrame) -> dict[str, float]:
    """How many regions of people lie outside of 19 in 20 controls; empty where nothing is known."""
    table = table[table["n_regions"] > 0].assign(n=lambda t: t["n_low"] + t["n_high"])
    groups = {str(name): part for name, part in table.groupby("group")}
    if set(groups) != {"patients", "controls"}:
        return {}
    shares = {name: part["n"].sum() / part["n_regions"].sum() for name, part in groups.items()}
    most = int(groups["controls"]["n"].max())
    beyond = int((groups["patients"]["n"] > most).sum())
    return {**shares, "most": most, "beyond": beyond, "of": len(groups["patients"])}


def _verdicts(change: pd.DataFrame, groups: pd.DataFrame) -> list[dict[str, object]]:
    """Rows of the last session of regions that differed at baseline, strongest evidence first."""
    last = change[change["session"] == change["session"].iloc[-1]]
    order = {region: rank for rank, region in enumerate(groups["region"])}
    asked = last[last["verdict"].notna()]
    return list(asked.sort_values("region", key=lambda names: names.map(order)).to_dict("records"))


def _individuals(results: Results) -> list[dict[str, object]]:
    """How many people changed by more than their scans' error, by region and session."""
    table = results.individuals
    if table is None or table["mdc"].isna().all():
        return []
    rows: list[dict[str, object]] = []
    for (region, session), part in table.groupby(["region", "session"], sort=False):
        treated, others = part[part["treated"]], part[~part["treated"]]
        rows.append(
            {
                "region": region,
                "session": session,
                "mdc": float(part["mdc"].median()),
                "treated": _counts(treated["verdict"].tolist()),
                "others": _counts(others["verdict"].tolist()),
            }
        )
    return rows


def _counts(verdicts: list[str]) -> str:
    known = len(verdicts) - verdicts.count(UNKNOWN)
    if not known:
        return ""
    up, down = verdicts.count("increase"), verdicts.count("decrease")
    return f"{up} up, {down} down of {known}; {known * BY_CHANCE:.1f} by chance"


def _is_p(value: object) -> str:
    """In a sentence: p = 0.012, p < 0.001."""
    text = p_text(value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def _bayes(value: object) -> str:
    if not isinstance(value, int | float) or math.isnan(value):
        return "n/a"
    return f"{value:.2g}" if value < 100 else f"{value:.0f}" if value < 1e4 else "> 10 000"
