"""The specification curve: one contrast under every choice, and which choices made which result."""

from __future__ import annotations

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fibromorph.postprocessing.stats.groups.sensitivity import CHOICES
from fibromorph.postprocessing.stats.report.figures import (
    BAR,
    FOUND,
    INK,
    SOFT,
    STYLE,
    panel_titles,
    to_svg,
)


def specification_curve(table: pd.DataFrame, regions: list[str], alpha: float) -> Markup:
    """Differences in % under all specifications, sorted, for up to three regions side by side.

    Args:
        table: `sensitivity.tsv` without the unit in its columns' names.
        regions: to draw.
        alpha: level.
    """
    options = _options(table)
    titles, more = panel_titles(regions)
    with rc_context(STYLE):
        figure = Figure(figsize=(9.6, 2.2 + more + 0.17 * len(options)), layout="constrained")
        panels = figure.subplots(
            2,
            len(regions),
            squeeze=False,
            sharex="col",
            sharey="row",
            gridspec_kw={"height_ratios": [2.0, 0.17 * len(options) + 0.2]},
        )
        for column, (region, title) in enumerate(zip(regions, titles, strict=True)):
            part = table[table["region"] == region].sort_values("adjusted_difference")
            _curve(panels[0, column], part, alpha)
            _choices(panels[1, column], part, options, first=column == 0)
            panels[0, column].set_title(f"{title}\n{_shares(part, alpha)}", fontsize=9)
        panels[0, 0].set_ylabel("difference in %")
        return to_svg(figure, "Specification curve: the same contrast under every choice")


def _shares(part: pd.DataFrame, alpha: float) -> str:
    same = 100 * part["share_same_sign"].iloc[0]
    significant = 100 * part["share_significant"].iloc[0]
    return f"{same:.0f} % same sign, {significant:.0f} % with p < {alpha:g}"


def _curve(axes: Axes, part: pd.DataFrame, alpha: float) -> None:
    percent = part["difference_percent"].to_numpy(float)
    scale = percent / part["adjusted_difference"].to_numpy(float)
    low, high = part["ci_low"].to_numpy(float), part["ci_high"].to_numpy(float)
    x = np.arange(len(part))
    axes.vlines(x, low * scale, high * scale, color=BAR, linewidth=1.2)
    axes.axhline(0, color=SOFT, linewidth=0.8)
    small = part["p"].to_numpy(float) <= alpha
    axes.plot(x[~small], percent[~small], "o", color=INK, markersize=2.6)
    axes.plot(x[small], percent[small], "o", color=FOUND, markersize=2.6)
    own = part["designed"].to_numpy(bool)
    axes.plot(x[own], percent[own], "D", color=INK, fillstyle="none", markersize=8)
    axes.tick_params(axis="x", length=0, labelbottom=False)


def _choices(
    axes: Axes, part: pd.DataFrame, options: list[tuple[str, str]], *, first: bool
) -> None:
    for row, (choice, option) in enumerate(options):
        x = np.flatnonzero(part[choice].to_numpy() == option)
        axes.plot(x, np.full(len(x), row), "|", color=INK, markersize=4, markeredgewidth=0.8)
    axes.set_ylim(len(options) - 0.5, -0.5)
    axes.set_yticks(range(len(options)), [_label(*o) for o in options], fontsize=7.5)
    axes.tick_params(axis="both", length=0, labelbottom=False, labelleft=first)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)


def _options(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Choices that vary, with their options."""
    varying = [c for c in CHOICES if c in table and table[c].nunique() > 1]
    return [(choice, str(option)) for choice in varying for option in table[choice].unique()]


def _label(choice: str, option: str) -> str:
    return option if choice == "model" else f"{choice}: {option}"
