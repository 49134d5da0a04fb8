"""Pictures of samples for the record of a run: image, labels, prediction in three planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from fibromorph.labels import FREESURFER, LabelTable

PANEL_INCHES = 1.8
TITLE_INCHES = 0.25
ALPHA = 0.55


@dataclass(frozen=True)
class Shown:
    """A sample to draw.

    Attributes:
        image: (i, j, k) float.
        classes: (i, j, k) reference classes.
        predicted: (i, j, k) predicted classes, or None.
        table: whose classes these are.
        kind: of the sample, of which a validation shows the first of each.
        title: what it is, in a few words.
    """

    image: Tensor
    classes: Tensor
    predicted: Tensor | None = None
    table: LabelTable = FREESURFER
    kind: str = "synthetic"
    title: str = ""


class ShownOutput(TypedDict):
    """What a validation step hands to the record of the run."""

    shown: Shown


def draw_samples(samples: Sequence[Shown]) -> Figure:
    """One row a sample: its title, sagittal, coronal and axial plane of image, labels, prediction.

    Left is left: the i axis runs to the right of the page.
    """
    with_prediction = any(s.predicted is not None for s in samples)
    columns = 9 if with_prediction else 6
    height = (PANEL_INCHES + TITLE_INCHES) * len(samples)
    figure = Figure(figsize=(PANEL_INCHES * columns, height))
    panels = figure.subplots(len(samples), columns, squeeze=False)
    for number, (row, sample) in enumerate(zip(panels, samples, strict=True)):
        overlays = (None, sample.classes, sample.predicted)
        for n, panel in enumerate(row):
            _draw_panel(panel, sample, overlays[n // 3], n % 3)
        # The row's, not a panel's: those shrink to their image, and would hide it.
        middle = 1 - number / len(samples) - TITLE_INCHES / 2 / height
        figure.text(0, middle, f" {sample.title}", va="center", fontsize="small")
    gap = TITLE_INCHES / PANEL_INCHES
    figure.subplots_adjust(0, 0, 1, 1 - TITLE_INCHES / height, 0.02, gap)
    return figure


def _draw_panel(panel: object, sample: Shown, classes: Tensor | None, axis: int) -> None:
    show = panel.imshow  # type: ignore[attr-defined]  # matplotlib's arrays of axes have no type
    show(_plane(sample.image, axis), cmap="gray", origin="lower")
    if classes is not None:
        labels = _plane(classes, axis)
        overlay = np.ma.masked_equal(labels, 0)
        last = len(sample.table.structures)
        show(overlay, cmap=_colours(sample.table), vmin=1, vmax=last, alpha=ALPHA, origin="lower",
             interpolation="nearest")  # fmt: skip
    panel.set_axis_off()  # type: ignore[attr-defined]


def _plane(image: Tensor, axis: int) -> NDArray[np.generic]:
    """The middle plane across `axis`, first remaining axis to the right."""
    middle = image.shape[axis] // 2
    plane: NDArray[np.generic] = image.select(axis, middle).float().cpu().numpy().T
    return plane


def _colours(table: LabelTable) -> ListedColormap:
    return ListedColormap([np.asarray(s.colour) / 255.0 for s in table.structures])
