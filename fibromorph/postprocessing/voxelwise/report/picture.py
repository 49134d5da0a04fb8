"""One question on slices of the template: all effects faintly, what survives outlined."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO
from typing import Any

import nibabel
import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from fibromorph.postprocessing.stats.models.linear import Floats
from fibromorph.postprocessing.voxelwise.maps import TissueMaps
from fibromorph.postprocessing.voxelwise.results import Answer

CUTS_MM = {
    "z": (-42, -26, -12, 2, 14, 28, 44, 60),
    "y": (-84, -62, -40, -20, -6, 10, 28, 46),
    "x": (-50, -36, -22, -8, 8, 22, 36, 50),
}
WIDTH_INCHES, DPI = 13.2, 110
ROWS_INCHES = {"z": 1.95, "y": 1.6, "x": 1.35}
"""Heights of slices that are as wide as eight of them fit."""
TEXT_INCHES = 0.35
COLOURS = "RdBu_r"
SMALLEST_LIMIT = 0.2


def picture(answer: Answer, maps: TissueMaps) -> str:
    """PNG in base64: colour is the effect, opacity |t| as a share of the critical t, squared.

    Voxels that survive are outlined in black. Hiding all else would hide what nearly survived, and
    that most of the brain was looked at (Taylor et al. 2023, NeuroImage 274:120138). Of the fixed
    slices of each plane those nearest to the strongest peaks are moved there.
    """
    limit = limit_of(answer)
    height = sum(ROWS_INCHES.values()) + TEXT_INCHES
    figure = Figure(figsize=(WIDTH_INCHES, height), facecolor="white")
    bottom = 1.0
    for mode, inches in ROWS_INCHES.items():
        bottom -= inches / height
        _slices(figure, (0.0, bottom, 0.92, inches / height), mode, answer, maps, limit)
    _colour_bar(figure, answer, limit)
    figure.text(0.005, 0.02, _said(answer), fontsize=10, color="#1c1e21")
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return b64encode(buffer.getvalue()).decode("ascii")


def _slices(
    figure: Figure,
    place: tuple[float, float, float, float],
    mode: str,
    answer: Answer,
    maps: TissueMaps,
    limit: float,
) -> None:
    from nilearn.datasets import load_mni152_template
    from nilearn.plotting import plot_stat_map

    display = plot_stat_map(
        maps.image(answer.effect),
        bg_img=load_mni152_template(resolution=1),
        display_mode=mode,
        cut_coords=cuts(answer.clusters, mode),
        figure=figure,
        axes=place,
        vmax=limit,
        vmin=-limit,
        cmap=COLOURS,
        transparency=_opacity(answer, maps),
        transparency_range=[0.0, 1.0],
        colorbar=False,
        black_bg=False,
        draw_cross=False,
        annotate=False,
    )
    display.annotate(size=8, left_right=mode != "x")
    if answer.survives.any():
        outline = maps.image(answer.survives)
        display.add_contours(outline, levels=[0.5], colors="black", linewidths=1.1)


def _opacity(answer: Answer, maps: TissueMaps) -> nibabel.Nifti1Image:
    return maps.image(np.where(answer.survives, 1.0, opacity_of(answer.inference.t, answer)))


def limit_of(answer: Answer) -> float:
    """The effect that has the strongest colour."""
    return max(answer.reach.detectable, float(np.abs(answer.effect).max()), SMALLEST_LIMIT)


def opacity_of(t: Floats, answer: Answer) -> Floats:
    """Of what does not survive, 0 to 1."""
    return np.asarray(np.minimum(np.abs(t) / answer.reach.critical_t, 1.0) ** 2)


def cuts(clusters: pd.DataFrame, mode: str) -> list[float]:
    """Slices of a plane in mm: the fixed ones, of which the nearest go to the largest peaks."""
    places = list(map(float, CUTS_MM[mode]))
    free = set(range(len(places)))
    for peak in clusters[f"{mode}_mm"].tolist():
        nearest = min(range(len(places)), key=lambda index: abs(places[index] - peak))
        if nearest in free:
            places[nearest] = round(float(peak), 1)
            free.discard(nearest)
    return sorted(places)


def _colour_bar(figure: Figure, answer: Answer, limit: float) -> None:
    scale: Any = ScalarMappable(Normalize(-limit, limit), COLOURS)
    bar = figure.colorbar(scale, cax=figure.add_axes((0.935, 0.2, 0.011, 0.66)))
    bar.set_label(answer.question.effect, rotation=0, fontsize=11)
    bar.ax.tick_params(labelsize=9)
    bar.outline.set_visible(False)


def _said(answer: Answer) -> str:
    if answer.survives.any():
        return (
            "Outlined: survives correction over all voxels. All else does not, fainter the"
            " smaller |t| is."
        )
    return "Nothing survives correction: what is coloured is noise, or too small for this study."
