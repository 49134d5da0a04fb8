"""Everybody's regions against what controls lead one to expect, as one picture."""

from __future__ import annotations

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fibromorph.postprocessing.names import plain_name
from fibromorph.postprocessing.stats.groups.deviations import COUNTS
from fibromorph.postprocessing.stats.report.figures import INK, SOFT, STYLE, to_svg
from fibromorph.postprocessing.stats.results import Results

MOST_PEOPLE, MOST_NAMED, MOST_REGIONS = 300, 70, 45
LIMIT = 4.0
"""z at which colours end."""
COLOURS = "RdBu_r"
WIDTH, ROW, FRAME = 9.0, 0.16, 1.3
"""Inches: of the figure, of a region's row, of what stands above and below the rows."""


def people_map(results: Results) -> Markup | None:
    """Regions by people: patients, then controls, those with most regions outside first."""
    people = _shown(results.deviations)
    order = results.groups["p"].sort_values().index[:MOST_REGIONS]
    regions = [name for name in people.columns[len(COUNTS) :] if name in order]
    z = people[regions].to_numpy(float).T
    if np.isnan(z).all():
        return None
    with rc_context(STYLE):
        size = (WIDTH, ROW * len(regions) + FRAME)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        colours = colormaps[COLOURS].with_extremes(bad="#80808060")
        # Without interpolation the picture has one pixel a cell, and the page draws it sharp.
        shown = axes.imshow(z, colours, aspect="auto", interpolation="none")
        shown.set_clim(-LIMIT, LIMIT)
        _name(axes, regions, people)
        bar = figure.colorbar(shown, ax=axes, location="right", shrink=0.8, aspect=25, pad=0.01)
        bar.set_label("z, against controls", fontsize=8)
        bar.ax.tick_params(labelsize=7)
        bar.outline.set_visible(False)
        return to_svg(figure, "Every person's regions against what controls lead one to expect")


def _name(axes: Axes, regions: list[str], people: pd.DataFrame) -> None:
    """Regions on the left, people below where there is room, groups above."""
    axes.spines[:].set_visible(False)
    axes.set_yticks(range(len(regions)), [plain_name(name) for name in regions])
    axes.tick_params(axis="y", labelsize=7, length=0)
    named = list(people.index) if len(people) <= MOST_NAMED else []
    axes.set_xticks(range(len(named)), named)
    axes.tick_params(axis="x", labelsize=6, length=0, labelrotation=90)
    patients = int((people["group"] == "patients").sum())
    axes.axvline(patients - 0.5, color=INK, linewidth=1.5)
    for text, first, last in (("patients", 0, patients), ("controls", patients, len(people))):
        axes.text((first + last - 1) / 2, -0.8, text, ha="center", va="bottom", color=SOFT)


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    """Whom the picture shows, of many a random share that is the same every time."""
    if len(table) > MOST_PEOPLE:
        table = table.sample(MOST_PEOPLE, random_state=0)
    outside = table["n_low"] + table["n_high"]
    order = pd.DataFrame({"control": table["group"] == "controls", "outside": -outside})
    return table.loc[order.sort_values(["control", "outside"], kind="stable").index]
