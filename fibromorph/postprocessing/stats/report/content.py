"""What goes where on the page, as plain values for the template."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from fibromorph.postprocessing.stats.report import people_figures as people
from fibromorph.postprocessing.stats.report.brain import PaintedBrain
from fibromorph.postprocessing.stats.report.curve import specification_curve
from fibromorph.postprocessing.stats.report.forest import change_forest, groups_forest
from fibromorph.postprocessing.stats.report.people_map import people_map
from fibromorph.postprocessing.stats.report.score_change_figure import score_change_figure
from fibromorph.postprocessing.stats.results import Results, to_tsv

STRIPS, SCATTERS, CURVES, SPAGHETTI = 8, 8, 3, 4


@dataclass(frozen=True)
class Figures:
    """SVG figures, None where there is nothing to draw; how many people `visits` is of."""

    forest: Markup
    strips: Markup
    people: Markup | None
    scatter: Markup | None
    curve: Markup
    change: tuple[Markup, ...]
    visits: Markup | None
    visitors: int
    score_change: Markup | None
    brain: PaintedBrain


def draw_figures(results: Results, brain: PaintedBrain) -> Figures:
    """All figures of the page."""
    nearest = [str(r) for r in results.groups["p"].sort_values().index]
    change = results.change
    data = results.followed
    questions = _questions(results)
    return Figures(
        forest=groups_forest(results.groups),
        strips=people.groups_figure(results, nearest[:STRIPS]),
        people=people_map(results),
        scatter=people.scores_figure(results, questions) if questions else None,
        curve=specification_curve(
            results.sensitivity, nearest[:CURVES], results.design.inference.alpha
        ),
        change=()
        if change is None
        else tuple(change_forest(change, s) for s in change["session"].unique()),
        visits=None
        if data is None or change is None
        else people.visits_figure(data, _most_changed(change)),
        visitors=0 if data is None else len(data.people),
        score_change=score_change_figure(results),
        brain=brain,
    )


def primary_associations(results: Results) -> pd.DataFrame:
    """The associations by the design's first method, strongest evidence first."""
    table = results.associations
    if table.empty:
        return table
    first = results.design.correlations.methods[0]
    return table[table["method"] == first].sort_values(["p_fwe", "p"])


def score_changes(results: Results) -> list[dict[Hashable, Any]]:
    """Change in scores against change in regions: the primary rows, with `ranks`, the same by ranks
    (None where these are primary or not asked for), and `arms`, the rows of either arm or group."""
    found = results.score_change
    if found is None or found.primary.empty:
        return []
    question = ["region", "score", "session"]
    by_group = found.table.set_index(["method", "group", *question]).sort_index()
    ranked, rows = "spearman" in found.table["method"].tolist(), found.primary.to_dict("records")
    for row in rows:
        key = tuple(row[column] for column in question)
        ranks = by_group.loc[("spearman", row["group"], *key)] if ranked else None
        row["ranks"] = None if row["method"] == "spearman" else ranks
        same = (found.table[question] == list(key)).all(axis=1)
        arms = found.table[same & (found.table["method"] == row["method"])]
        row["arms"] = arms[arms["group"] != row["group"]].to_dict("records")
    return rows


def downloads(results: Results) -> Mapping[str, str]:
    """File name -> data URI."""
    return {
        name: "data:text/tab-separated-values;base64,"
        + b64encode(to_tsv(table).encode()).decode("ascii")
        for name, table in results.tables().items()
    }


def _questions(results: Results) -> list[tuple[str, str]]:
    """(region, score) with the smallest p in patients, at most three a score."""
    table = primary_associations(results)
    if table.empty:
        return []
    table = table[table["group"] == "patients"]
    top = table.groupby("score", sort=False).head(3).head(SCATTERS)
    return [(str(r), str(s)) for r, s in zip(top["region"], top["score"], strict=True)]


def _most_changed(change: pd.DataFrame) -> list[str]:
    order = change.sort_values("p_bootstrap")["region"]
    return [str(r) for r in dict.fromkeys(order)][:SPAGHETTI]
