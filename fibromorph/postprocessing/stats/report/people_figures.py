"""Figures in which every person is a dot: groups by region, scores against volumes, visits."""

from __future__ import annotations

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fibromorph.postprocessing.names import plain_name
from fibromorph.postprocessing.stats.change_design import ChangeData
from fibromorph.postprocessing.stats.contract import score_title
from fibromorph.postprocessing.stats.linear import Bools, Floats, fit, independent
from fibromorph.postprocessing.stats.model import GroupModel
from fibromorph.postprocessing.stats.report.figures import (
    CONTROLS,
    INK,
    PATIENTS,
    STYLE,
    points,
    to_svg,
)
from fibromorph.postprocessing.stats.results import Results

COLUMNS = 4
PANEL = (2.4, 2.25)


def groups_figure(results: Results, regions: list[str]) -> Markup:
    """Adjusted volumes of every person in the regions given, patients beside controls."""
    with rc_context(STYLE):
        figure, panels = _grid(len(regions))
        for axes, region in zip(panels, regions, strict=True):
            _strip(axes, results.model, region)
        return to_svg(figure, "Adjusted volumes of every person by group")


def scores_figure(results: Results, questions: list[tuple[str, str]]) -> Markup:
    """Adjusted volumes against scores for (region, score) pairs, every person a dot."""
    with rc_context(STYLE):
        figure, panels = _grid(len(questions))
        for axes, (region, score) in zip(panels, questions, strict=True):
            _scatter(axes, results, region, score)
        return to_svg(figure, "Adjusted volumes against scores, every person a dot")


def visits_figure(data: ChangeData, regions: list[str]) -> Markup:
    """Every person's volumes over the sessions, in % of the person's baseline."""
    with rc_context(STYLE):
        figure, panels = _grid(len(regions))
        for axes, region in zip(panels, regions, strict=True):
            _visits(axes, data, region)
        return to_svg(figure, "Change of every person over the sessions")


def adjusted(model: GroupModel, region: str) -> Floats:
    """(n,) volumes at average covariates; NaN = missing."""
    volume = model.volumes[region].to_numpy(float)
    known = ~np.isnan(volume)
    fitted = fit(independent(model.matrix[known]), volume[known, None])
    out = np.full(len(volume), np.nan)
    out[known] = fitted.residuals[:, 0] + fitted.beta[0, 0]
    out[known] += model.patients[known] * fitted.beta[-1, 0]
    return out


def _grid(count: int) -> tuple[Figure, list[Axes]]:
    rows = -(-count // COLUMNS)
    figure = Figure(figsize=(COLUMNS * PANEL[0], rows * PANEL[1]), layout="constrained")
    panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel().tolist()
    for unused in panels[count:]:
        unused.set_visible(False)
    return figure, panels[:count]


def _strip(axes: Axes, model: GroupModel, region: str) -> None:
    values, rng = adjusted(model, region), np.random.default_rng(0)
    for x, members, colour in ((0, ~model.patients, CONTROLS), (1, model.patients, PATIENTS)):
        own = values[members & ~np.isnan(values)]
        points(axes, x + rng.uniform(-0.16, 0.16, len(own)), own, colour, count=len(values))
        error = 1.96 * own.std(ddof=1) / np.sqrt(len(own))
        axes.errorbar(x + 0.3, own.mean(), error, fmt="o", color=INK, markersize=4, linewidth=1.2)
    axes.set_xticks([0, 1], ["controls", "patients"])
    axes.set_xlim(-0.4, 1.6)
    axes.set_title(plain_name(region), fontsize=9)
    axes.set_ylabel("ml, adjusted", fontsize=8)


def _scatter(axes: Axes, results: Results, region: str, score: str) -> None:
    model, scope = results.model, next(s for s in results.scopes if s.name == score)
    x, y = results.study.scores[score].to_numpy(float), adjusted(model, region)
    shown = ((~model.patients, CONTROLS, "controls"), (model.patients, PATIENTS, "patients"))
    for members, colour, group in shown:
        rows = members & ~np.isnan(x) & ~np.isnan(y)
        points(axes, x[rows], y[rows], colour, count=len(x))
        if group in scope.groups and rows.sum() > 2:
            _trend(axes, x, y, rows, colour)
    axes.set_title(plain_name(region), fontsize=9)
    axes.set_xlabel(score_title(score), fontsize=8)
    axes.set_ylabel("ml, adjusted", fontsize=8)


def _trend(axes: Axes, x: Floats, y: Floats, rows: Bools, colour: str) -> None:
    slope, start = np.polyfit(x[rows], y[rows], 1)
    ends = np.array([x[rows].min(), x[rows].max()])
    axes.plot(ends, start + slope * ends, color=colour, linewidth=1.4)


def _visits(axes: Axes, data: ChangeData, region: str) -> None:
    sessions = [data.baseline, *data.follow_up]
    values = np.column_stack([data.values_at(region, s) for s in sessions])
    percent = 100 * (values / values[:, :1] - 1)
    treated = data.treated_people()
    for members, colour in ((~treated, CONTROLS), (treated, PATIENTS)):
        for person in percent[members]:
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
    axes.set_title(plain_name(region), fontsize=9)
    axes.set_ylabel("% of own baseline", fontsize=8)
