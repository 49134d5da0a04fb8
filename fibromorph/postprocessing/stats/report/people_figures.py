"""Figures in which every person is a dot: groups by region, scores against regions, visits."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import fill

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from fibromorph.postprocessing.stats.change.data import ChangeData
from fibromorph.postprocessing.stats.designs.contract import score_title
from fibromorph.postprocessing.stats.groups.assumptions import INFLUENTIAL
from fibromorph.postprocessing.stats.groups.model import GroupModel
from fibromorph.postprocessing.stats.models.linear import Bools, Floats, fit, independent
from fibromorph.postprocessing.stats.report.figures import (
    CONTROLS,
    INK,
    PATIENTS,
    STYLE,
    panel_titles,
    people_shown,
    points,
    to_svg,
)
from fibromorph.postprocessing.stats.results import Results

COLUMNS = 4
PANEL = (2.4, 2.25)
AXIS_LETTERS = 32


@dataclass(frozen=True, eq=False)
class Adjusted:
    """A region's volumes at average covariates, ml, or its thickness, mm.

    Attributes:
        people: (n,) NaN = missing.
        means: of controls, of patients.
        reach: half the widths of the means' intervals.
    """

    people: Floats
    means: tuple[float, float]
    reach: tuple[float, float]


def groups_figure(results: Results, regions: list[str]) -> Markup:
    """Adjusted volumes of every person in the regions given, patients beside controls."""
    with rc_context(STYLE):
        figure, panels = grid(regions)
        for axes, region in zip(panels, regions, strict=True):
            _strip(axes, results, region)
        return to_svg(figure, f"Adjusted {results.study.measure.many} of every person by group")


def scores_figure(results: Results, questions: list[tuple[str, str]]) -> Markup:
    """Adjusted volumes against scores for (region, score) pairs, every person a dot."""
    with rc_context(STYLE):
        figure, panels = grid([region for region, _ in questions])
        for axes, (region, score) in zip(panels, questions, strict=True):
            _scatter(axes, results, region, score)
        many = results.study.measure.many
        return to_svg(figure, f"Adjusted {many} against scores, every person a dot")


def visits_figure(data: ChangeData, regions: list[str]) -> Markup:
    """Every person's volumes over the sessions, in % of the person's baseline."""
    with rc_context(STYLE):
        figure, panels = grid(regions)
        for axes, region in zip(panels, regions, strict=True):
            _visits(axes, data, region)
        return to_svg(figure, "Change of every person over the sessions")


def adjusted(model: GroupModel, region: str, confidence: float) -> Adjusted:
    """Volumes as the model of the group comparison adjusts them.

    The means' errors are that model's, HC3: those of the adjusted volumes alone would leave out
    what the covariates cost.
    """
    volume = model.volumes[region].to_numpy(float)
    known = ~np.isnan(volume)
    fitted = fit(independent(model.matrix[known]), volume[known, None])
    controls, difference = float(fitted.beta[0, 0]), float(fitted.beta[-1, 0])
    people = np.full(len(volume), np.nan)
    people[known] = fitted.residuals[:, 0] + controls + model.patients[known] * difference
    variance, shared, of_difference = (
        float(fitted.hc3_covariance(first, second)[0])
        for first, second in ((0, 0), (0, -1), (-1, -1))
    )
    errors = np.sqrt([variance, variance + 2 * shared + of_difference])
    reach = errors * stats.t.ppf(0.5 + confidence / 2, fitted.df)
    return Adjusted(people, (controls, controls + difference), (float(reach[0]), float(reach[1])))


def grid(regions: list[str]) -> tuple[Figure, list[Axes]]:
    """A panel a region, under its name; long names make the figure higher, not the panels lower."""
    rows = [regions[first : first + COLUMNS] for first in range(0, len(regions), COLUMNS)]
    above = [panel_titles(row) for row in rows]
    height = len(rows) * PANEL[1] + sum(more for _, more in above)
    figure = Figure(figsize=(COLUMNS * PANEL[0], height), layout="constrained")
    panels = figure.subplots(len(rows), COLUMNS, squeeze=False).ravel().tolist()
    titles = [title for row, _ in above for title in row]
    for axes, title in zip(panels, titles, strict=False):
        axes.set_title(title, fontsize=9)
    for unused in panels[len(titles) :]:
        unused.set_visible(False)
    return figure, panels[: len(titles)]


def _strip(axes: Axes, results: Results, region: str) -> None:
    model, rng = results.model, np.random.default_rng(0)
    values = adjusted(model, region, results.design.inference.confidence)
    shown = people_shown(len(values.people)) & ~np.isnan(values.people)
    for x, members, colour in ((0, ~model.patients, CONTROLS), (1, model.patients, PATIENTS)):
        own = values.people[members & shown]
        points(axes, x + rng.uniform(-0.16, 0.16, len(own)), own, colour)
        axes.errorbar(
            x + 0.3,
            values.means[x],
            values.reach[x],
            fmt="o",
            color=INK,
            markersize=4,
            linewidth=1.2,
        )
    axes.set_xticks([0, 1], ["controls", "patients"])
    axes.set_xlim(-0.4, 1.6)
    axes.set_ylabel(f"{results.study.measure.unit}, adjusted", fontsize=8)


def _scatter(axes: Axes, results: Results, region: str, score: str) -> None:
    model, scope = results.model, next(s for s in results.scopes if s.name == score)
    x = results.study.scores[score].to_numpy(float)
    y = adjusted(model, region, results.design.inference.confidence).people
    drawn = people_shown(len(x))
    parts = ((~model.patients, CONTROLS, "controls"), (model.patients, PATIENTS, "patients"))
    for members, colour, group in parts:
        # Whoever is not analysed (healthy controls have no illness of 0 years) is not drawn.
        analysed = not {group, "both"}.isdisjoint(scope.groups)
        rows = members & ~np.isnan(x) & ~np.isnan(y) & analysed
        points(axes, x[rows & drawn], y[rows & drawn], colour)
        if group in scope.groups and rows.sum() > 2:
            _trend(axes, x, y, rows, colour)
        _ring(axes, x, y, rows & _influential(results, region, score, group))
    axes.set_xlabel(fill(score_title(score), AXIS_LETTERS), fontsize=8)
    axes.set_ylabel(f"{results.study.measure.unit}, adjusted", fontsize=8)


def _influential(results: Results, region: str, score: str, group: str) -> Bools:
    """(n,) the person on whom a slope rests most, where that is more than 4/n by Cook's distance;
    one or nobody."""
    table = results.associations
    asked = {"region": region, "score": score, "group": group}
    asked["method"] = results.design.correlations.methods[0]
    row = table[np.logical_and.reduce([table[c] == value for c, value in asked.items()])]
    much = row[row["cooks_distance"] > INFLUENTIAL / row["n"]]
    return np.isin(results.study.participants, much["influential"].tolist())


def _ring(axes: Axes, x: Floats, y: Floats, rows: Bools) -> None:
    axes.plot(x[rows], y[rows], "o", color=INK, markersize=9, fillstyle="none", markeredgewidth=0.9)


def _trend(axes: Axes, x: Floats, y: Floats, rows: Bools, colour: str) -> None:
    slope, start = np.polyfit(x[rows], y[rows], 1)
    ends = np.array([x[rows].min(), x[rows].max()])
    axes.plot(ends, start + slope * ends, color=colour, linewidth=1.4)


def _visits(axes: Axes, data: ChangeData, region: str) -> None:
    sessions = [data.baseline, *data.follow_up]
    values = np.column_stack([data.values_at(region, s) for s in sessions])
    percent = 100 * (values / values[:, :1] - 1)
    treated, shown = data.treated_people(), people_shown(len(percent))
    for members, colour in ((~treated, CONTROLS), (treated, PATIENTS)):
        for person in percent[members & shown]:
            seen = ~np.isnan(person)
            if seen.sum() > 1:
                axes.plot(
                    np.flatnonzero(seen), person[seen], color=colour, alpha=0.35, linewidth=0.8
                )
        if members.any():
            mean = pd.DataFrame(percent[members]).mean().to_numpy()
            axes.plot(range(len(sessions)), mean, "o-", color=colour, linewidth=2, markersize=4)
    axes.axhline(0, color=INK, linewidth=0.5)
    axes.set_xticks(range(len(sessions)), [s or "baseline" for s in sessions], fontsize=8)
    axes.set_ylabel("% of own baseline", fontsize=8)
