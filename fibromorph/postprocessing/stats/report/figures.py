"""Drawing for the page: figures as inline SVG whose ink follows the page's colours."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from textwrap import fill
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fibromorph.postprocessing.names import plain_name
from fibromorph.postprocessing.stats.models.linear import Bools

INK, SOFT, LINE, PAPER = "#010101", "#020202", "#030303", "#fefefe"
PATIENTS, CONTROLS, FOUND, BAR = "#040404", "#050505", "#060606", "#070707"
"""Stand-ins, one a colour of the page: replaced by its CSS variables in the SVG."""
_VARIABLES = {
    INK: "var(--ink)",
    SOFT: "var(--soft)",
    LINE: "var(--line)",
    PAPER: "var(--card)",
    PATIENTS: "var(--right)",
    CONTROLS: "var(--left)",
    FOUND: "var(--found)",
    BAR: "var(--bar)",
}
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "fibromorph",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    # A dollar in the name of a region or score is a dollar.
    "text.parse_math": False,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}
"""Matplotlib settings of every figure; figures are made inside `rc_context(STYLE)`."""
MANY_POINTS = 2000
"""People that a panel shows: of more, the page would have so many dots that it opens slowly."""
TITLE_LETTERS = 24
TITLE_INCHES = 0.15
"""Of a line of them, at 9 points."""


def to_svg(figure: Figure, label: str) -> Markup:
    """The figure as an SVG element.

    Args:
        figure: made inside `rc_context(STYLE)`.
        label: what it shows, for those who cannot see it.
    """
    buffer = StringIO()
    with rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for stand_in, variable in _VARIABLES.items():
        text = text.replace(stand_in, variable)
    text = text.replace("'DejaVu Sans'", "inherit").replace("DejaVu Sans", "inherit")
    head = Markup('<svg role="img" aria-label="{}" ').format(label)
    # Matplotlib escapes the texts in it.
    return Markup(text.replace("<svg ", head, 1))


def zero_line(axes: Axes) -> None:
    """A thin vertical line at 0."""
    axes.axvline(0, color=SOFT, linewidth=0.8, zorder=1)


def people_shown(count: int) -> Bools:
    """(count,) who is drawn: all, or `MANY_POINTS` at random and the same in every panel."""
    return np.asarray(np.random.default_rng(0).permutation(count) < MANY_POINTS)


def points(axes: Axes, x: object, y: object, colour: str) -> None:
    """People as dots."""
    axes.scatter(
        x,  # type: ignore[arg-type]
        y,  # type: ignore[arg-type]
        s=15,
        color=colour,
        alpha=0.6,
        linewidths=0,
    )


def panel_titles(regions: Sequence[str]) -> tuple[list[str], float]:
    """What stands above small panels side by side: the regions' names, in as many lines as needed.

    Returns:
        (titles, height in inches that those of several lines need beyond one).
    """
    titles = [fill(plain_name(region), TITLE_LETTERS) for region in regions]
    return titles, TITLE_INCHES * max(title.count("\n") for title in titles)
