"""Change in a score against change in a region, every person a dot."""

from __future__ import annotations

from textwrap import fill

import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes

from fibromorph.postprocessing.stats.designs.contract import score_in_prose
from fibromorph.postprocessing.stats.models.linear import Floats, fit
from fibromorph.postprocessing.stats.report.figures import (
    CONTROLS,
    INK,
    PATIENTS,
    SOFT,
    STYLE,
    people_shown,
    points,
    to_svg,
)
from fibromorph.postprocessing.stats.report.people_figures import AXIS_LETTERS, grid
from fibromorph.postprocessing.stats.results import Results
from fibromorph.postprocessing.stats.scores.change import Followed, FollowedRegion, questions

PANELS, PANELS_A_SCORE = 8, 4


def score_change_figure(results: Results) -> Markup | None:
    """The regions with the smallest family-wise p, four a score at most; None without any."""
    found, data = results.score_change, results.followed
    if found is None or data is None or found.primary.empty:
        return None
    asked, _ = questions(results.whole, data)
    followed = {(one.name, one.session, one.group): one for one in asked}
    nearest = found.primary.groupby(["score", "session"], sort=False).head(PANELS_A_SCORE)
    nearest = nearest.head(PANELS)
    with rc_context(STYLE):
        figure, panels = grid([str(region) for region in nearest["region"]])
        for axes, (_, row) in zip(panels, nearest.iterrows(), strict=True):
            one = followed[row["score"], row["session"], row["group"]]
            _panel(axes, one, one.at(str(row["region"])))
        many = results.study.measure.many
        return to_svg(figure, f"Change in scores against change in {many}, every person a dot")


def _panel(axes: Axes, one: Followed, part: FollowedRegion) -> None:
    volume = _adjusted(part)
    shown = people_shown(len(volume))
    first = np.ones(len(volume), dtype=bool) if part.compared is None else part.compared
    axes.axhline(0, color=SOFT, linewidth=0.6)
    axes.axvline(0, color=SOFT, linewidth=0.6)
    for members, colour in ((~first, CONTROLS), (first, PATIENTS)):
        points(axes, part.score[members & shown], volume[members & shown], colour)
    _trend(axes, part.score, volume)
    axes.set_xlabel(
        fill(f"change in {score_in_prose(one.name)}, {one.session}", AXIS_LETTERS), fontsize=8
    )
    axes.set_ylabel(f"change, {one.data.measure.unit}, adjusted", fontsize=8)


def _adjusted(part: FollowedRegion) -> Floats:
    """(m,) change at average covariates."""
    x = part.score - part.score.mean()
    fitted = fit(np.column_stack([np.ones(len(x)), part.covariates, x]), part.change[:, None])
    return np.asarray(fitted.residuals[:, 0] + fitted.beta[0, 0] + fitted.beta[-1, 0] * x)


def _trend(axes: Axes, x: Floats, y: Floats) -> None:
    slope, start = np.polyfit(x, y, 1)
    ends = np.array([x.min(), x.max()])
    axes.plot(ends, start + slope * ends, color=INK, linewidth=1.2)
