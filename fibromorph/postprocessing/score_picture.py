"""Scores as a picture: every scan a dot, structure by structure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from fibromorph.files import replacing
from fibromorph.labels import LabelTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIDE_OFFSET = {"left": 0.18, "right": -0.18, "midline": 0.0}
INK = {"left": "#0b6fa4", "right": "#c2571a", "midline": "#3a3a3a"}


def write_score_picture(path: Path, scores: pd.DataFrame, table: LabelTable) -> None:
    """Dice and volume error of every scan and structure, twins beside each other.

    Args:
        path: PNG, moved into place when complete.
        scores: columns region_id, dice, volume_error (relative), one row a scan and structure.
        table: names and sides.
    """
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    present = set(scores.region_id)
    structures = [s for s in table.structures if {s.left_id, s.right_id} & present]
    height = 1.4 + 0.34 * len(structures)
    figure, (dice, error) = plt.subplots(1, 2, figsize=(10, height), sharey=True)
    for place, structure in enumerate(reversed(structures)):
        for label in structure.labels:
            rows = scores[scores.region_id == label.id]
            y = place + SIDE_OFFSET[label.hemisphere]
            colour = INK[label.hemisphere]
            _dots(dice, rows.dice, y, colour)
            _dots(error, 100 * rows.volume_error, y, colour)
    dice.set_yticks(range(len(structures)), [s.name for s in reversed(structures)])
    dice.set_xlabel("Dice")
    error.set_xlabel("volume error, % of reference")
    error.axvline(0, color="#888888", linewidth=0.8)
    for axes in (dice, error):
        axes.grid(axis="x", color="#dddddd", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_axisbelow(True)
    handles = [
        Line2D([], [], marker="o", linestyle="", color=INK[side], label=side) for side in INK
    ]
    figure.legend(handles=handles, loc="upper right", ncols=3, frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.45 / height))
    with replacing(path) as part:
        figure.savefig(part, dpi=110, format="png")
    plt.close(figure)


def _dots(axes: Axes, values: pd.Series[float], y: float, colour: str) -> None:
    axes.plot(values, [y] * len(values), "o", color=colour, markersize=3, alpha=0.55)
    axes.plot([values.mean()] * 2, [y - 0.15, y + 0.15], color=colour, linewidth=2)
