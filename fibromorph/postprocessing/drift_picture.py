"""Drift of every structure under every perturbation, as one picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from fibromorph.files import replacing
from fibromorph.labels import LabelTable
from fibromorph.postprocessing.names import plain_name

FULL_SCALE_PERCENT = 10.0


def write_drift_picture(path: Path, drift: pd.DataFrame, table: LabelTable) -> None:
    """A field a structure (both sides averaged) and perturbation, its number in it.

    Args:
        path: PNG, moved into place when complete.
        drift: relative, a row a region id, a column a perturbation.
        table: names of the structures.
    """
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    names, values = _by_structure(drift, table)
    height = 2.2 + 0.24 * len(names)
    figure, axes = plt.subplots(figsize=(3.2 + 0.52 * drift.shape[1], height))
    limit = FULL_SCALE_PERCENT
    image = axes.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xticks(range(drift.shape[1]), list(drift.columns), rotation=50, ha="left", fontsize=8)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for (row, column), value in np.ndenumerate(values):
        ink = "white" if abs(value) > 0.6 * limit else "#333333"
        if np.isnan(value):
            continue
        axes.text(column, row, f"{value:+.1f}", ha="center", va="center", fontsize=6, color=ink)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, fraction=0.02, pad=0.01)
    bar.set_label("volume against the undisturbed scan, %", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    figure.tight_layout()
    with replacing(path) as part:
        figure.savefig(part, dpi=100, format="png")
    plt.close(figure)


def _by_structure(drift: pd.DataFrame, table: LabelTable) -> tuple[list[str], np.ndarray]:
    """Plain names, and the mean drift of both sides in %."""
    names, rows = [], []
    for structure in table.structures:
        present = [i for i in {structure.left_id, structure.right_id} if i in drift.index]
        if present:
            names.append(plain_name(structure.name))
            rows.append(100 * drift.loc[present].mean().to_numpy())
    return names, np.array(rows)
