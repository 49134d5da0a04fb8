"""Forest plots: every region's effect with its interval and what could have been found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fibromorph.postprocessing.names import plain_name
from fibromorph.postprocessing.stats.change.conclusions import CHANGED
from fibromorph.postprocessing.stats.report.figures import (
    FOUND,
    INK,
    LINE,
    SOFT,
    STYLE,
    to_svg,
    zero_line,
)
from fibromorph.postprocessing.stats.report.wording import p_text, signed

SHOWN = 45
LINE_INCHES = 0.21
NAME_LETTERS = 40
FOUND_WORDS = ("lower", "higher", *CHANGED)


@dataclass(frozen=True)
class ForestRow:
    """One line of a forest plot.

    Attributes:
        name: of the region.
        estimate, low, high: on the plot's axis.
        corrected: the estimate freed of measurement error, as a ring; NaN = none.
        numbers: at the right.
        found: whether it is drawn in the colour of findings.
        family: the title above the first of several rows; '' = none.
    """

    name: str
    estimate: float
    low: float
    high: float
    corrected: float
    numbers: str
    found: bool
    family: str = ""


def groups_forest(groups: pd.DataFrame) -> Markup:
    """Adjusted Hedges' g of every region (of the 45 largest, where there are more).

    The band is what this study could not have found with the design's power in a single test.
    """
    axis = "Hedges' g, adjusted (negative: smaller in patients)"
    return _forest(group_rows(groups), axis, float(_sorted(groups)["mdes"].median()))


def group_rows(groups: pd.DataFrame) -> list[ForestRow]:
    """The lines of `groups_forest`.

    The bar is the interval of the difference in %, which the numbers beside it give, in units of
    g: the classical interval of g does not have the robust errors, and may exclude 0 where that
    does not.
    """
    table = _sorted(groups)
    several = table["family"].nunique() > 1
    scale = table["hedges_g"] / table["difference_percent"]
    table = table.assign(low=table["percent_ci_low"] * scale, high=table["percent_ci_high"] * scale)
    return [
        ForestRow(
            plain_name(str(region)),
            float(row["hedges_g"]),
            float(row["low"]),
            float(row["high"]),
            float(row.get("g_corrected", float("nan"))),
            _numbers(row, "difference_percent", "percent_ci_low", "percent_ci_high"),
            str(row["conclusion"]).startswith(FOUND_WORDS),
            str(row["family"]).replace("_", " ") if several else "",
        )
        for region, row in table.iterrows()
    ]


def change_forest(change: pd.DataFrame, session: str) -> Markup:
    """Change to one session, or its difference between groups, in % of the baseline mean.

    Args:
        change: `change.tsv` without the unit in its columns' names.
        session: one of its.
    """
    table = change[change["session"] == session].sort_values("change_percent")
    scale = table["change_percent"] / table["change"]
    table = table.assign(low=table["ci_low"] * scale, high=table["ci_high"] * scale)
    rows = [
        ForestRow(
            plain_name(str(row["region"])),
            float(row["change_percent"]),
            float(row["low"]),
            float(row["high"]),
            float("nan"),
            _numbers(row, "change_percent", "low", "high"),
            str(row["conclusion"]).startswith(FOUND_WORDS),
        )
        for _, row in table.iloc[_largest(table["change_percent"])].iterrows()
    ]
    what = "difference of changes" if table["n_compared"].max() > 0 else "change"
    axis = f"{what} to {session} in % of baseline: {table['contrast'].iloc[0]}"
    return _forest(rows, axis, 0.0)


def _largest(values: pd.Series) -> list[int]:
    """Positions of the 45 largest, in their own order."""
    order = values.abs().to_numpy().argsort()[::-1][:SHOWN]
    return sorted(order.tolist())


def _sorted(groups: pd.DataFrame) -> pd.DataFrame:
    """The rows of the plot, largest difference downwards first, families kept together."""
    table = groups.iloc[_largest(groups["hedges_g"])]
    order = {family: i for i, family in enumerate(dict.fromkeys(groups["family"]))}
    keys = pd.DataFrame({"family": table["family"].map(order), "g": table["hedges_g"]})
    return table.loc[keys.sort_values(["family", "g"]).index]


def _forest(rows: Sequence[ForestRow], axis: str, band: float) -> Markup:
    names = [fill(row.name, NAME_LETTERS) for row in rows]
    own = np.array([1 + name.count("\n") for name in names])
    before = ["", *(row.family for row in rows)]
    starts = np.array(
        [row.family not in ("", last) for row, last in zip(rows, before, strict=False)]
    )
    lines = own + starts
    below = lines.sum() - lines.cumsum()
    heights = [float(y) for y in below + (own - 1) / 2]
    titles = {
        float(top): row.family
        for top, row, start in zip(below + own, rows, starts, strict=True)
        if start
    }
    with rc_context(STYLE):
        size = (9.6, 1.1 + LINE_INCHES * float(lines.sum()))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots()
        if band > 0:
            axes.axvspan(-band, band, color=LINE, alpha=0.55, linewidth=0, zorder=0)
        zero_line(axes)
        for y, row in zip(heights, rows, strict=True):
            _draw(axes, y, row)
        _label(axes, heights, names, [row.numbers for row in rows])
        _head(axes, titles)
        axes.set_ylim(-0.7, float(lines.sum()) - 0.3)
        axes.set_xlabel(axis)
        return to_svg(figure, f"Forest plot: {axis}")


def _draw(axes: Axes, y: float, row: ForestRow) -> None:
    colour = FOUND if row.found else INK
    axes.plot([row.low, row.high], [y, y], color=colour, linewidth=1.3)
    axes.plot([row.estimate], [y], "o", color=colour, markersize=5)
    axes.plot(
        [row.corrected],
        [y],
        "o",
        color=colour,
        markersize=7.5,
        fillstyle="none",
        markeredgewidth=0.9,
    )


def _label(axes: Axes, heights: list[float], names: list[str], numbers: list[str]) -> None:
    axes.set_yticks(heights, names)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    side = axes.secondary_yaxis("right")
    side.set_yticks(heights, numbers)
    side.tick_params(length=0, labelsize=8)
    side.spines["right"].set_visible(False)
    axes.set_title("% [interval] · p, family-wise", loc="right", fontsize=8, color=SOFT)


def _head(axes: Axes, titles: Mapping[float, str]) -> None:
    """Titles of families on lines of their own, by height, ruled off from what is above."""
    left = axes.get_yaxis_transform()
    for y, title in titles.items():
        axes.text(0, y, title, transform=left, ha="left", va="center", color=SOFT, weight="bold")
        axes.axhline(y + 0.5, color=LINE, linewidth=0.8, zorder=0)


def _numbers(row: pd.Series, estimate: str, low: str, high: str) -> str:
    middle, first, last = (signed(row[column], 1) for column in (estimate, low, high))
    return f"{middle} [{first}, {last}] · {p_text(row['p_fwe'])}"
