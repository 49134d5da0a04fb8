"""Regions painted on a template brain, in the colour of their effect."""

from __future__ import annotations

import importlib.util
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from io import BytesIO
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure
from nibabel.filebasedimages import ImageFileError

from fibromorph.errors import LabelError
from fibromorph.labels import TABLES, Colour
from fibromorph.postprocessing.names import plain_name
from fibromorph.postprocessing.stats.report.wording import p_text, signed
from fibromorph.postprocessing.template_view import on_template, template_view
from fibromorph.postprocessing.viewer import Layer, View, layer_png

TEMPLATES = {p: f"template_{p}_dseg.nii.gz" for p in TABLES}
"""nilearn's MNI152 template, every second voxel, segmented by a bundle of each protocol: t1-open,
and t1-research, whose licence (CC BY-NC) this one carries, too."""
AXIAL_MM = (-20, -8, 0, 8, 18, 40)
CORONAL_MM = (-60, -28, -14, -4, 8, 16)
COLOURS = "RdBu_r"
SMALLEST_LIMIT = 0.2
FAINT = 0.55
"""Opacity in the viewer of what does not survive correction."""


@dataclass(frozen=True)
class PaintedBrain:
    """The picture, and what it could not show.

    Attributes:
        png_base64: of the picture; '' where it could not be painted.
        not_drawn: regions that the template has no shape of.
        reason: why there is no picture, as a sentence; '' if there is one.
        view: every slice, for the page's viewer; None without a picture.
        ids: region that is drawn -> its value in the viewer's layer.
    """

    png_base64: str
    not_drawn: tuple[str, ...]
    reason: str = ""
    view: View | None = None
    ids: Mapping[str, int] = field(default_factory=dict)


def paint(groups: pd.DataFrame, alpha: float, atlas: Path | None) -> PaintedBrain:
    """Paint adjusted Hedges' g; regions whose corrected p is at most `alpha` are outlined.

    Args:
        groups: indexed by region, with hedges_g and p_fwe.
        alpha: level.
        atlas: segmentation with the label ids of one of fibromorph's protocols; None = of the
            templates that fibromorph carries, that of the protocol which knows most regions.

    Raises:
        LabelError: the atlas is not readable.
    """
    if importlib.util.find_spec("nilearn") is None:
        return PaintedBrain("", (), "Painting needs nilearn, of the extra 'stats'.")
    labels = _read_own(list(map(str, groups.index))) if atlas is None else _read(atlas)
    ids = {region: _label_id(region) for region in map(str, groups.index)}
    voxels = np.asarray(labels.dataobj)
    present = set(np.unique(voxels).tolist())
    drawn = {r: i for r, i in ids.items() if i in present}
    not_drawn = tuple(r for r in ids if r not in drawn)
    if not drawn:
        return PaintedBrain("", not_drawn, "The template has none of these regions.")
    values = np.zeros(voxels.shape, np.float32)
    found = np.zeros(voxels.shape, np.uint8)
    for region, label_id in drawn.items():
        row = groups.loc[region]
        values[voxels == label_id] = row["hedges_g"]
        found[voxels == label_id] = row["p_fwe"] <= alpha
    view = _view(groups.loc[list(drawn)], drawn, alpha, labels)
    picture = _picture(values, found, labels.affine)
    return PaintedBrain(picture, not_drawn, view=view, ids=drawn)


def _picture(values: np.ndarray, found: np.ndarray, affine: np.ndarray) -> str:
    from nilearn.datasets import load_mni152_template
    from nilearn.plotting import plot_stat_map

    limit = max(float(np.abs(values).max()), SMALLEST_LIMIT)
    figure = Figure(figsize=(13.2, 5.4), facecolor="white")
    background = load_mni152_template(resolution=1)
    for mode, cuts, height in (("z", AXIAL_MM, 0.5), ("y", CORONAL_MM, 0.0)):
        display = plot_stat_map(
            nibabel.Nifti1Image(values, affine),
            bg_img=background,
            display_mode=mode,
            cut_coords=cuts,
            figure=figure,
            axes=(0.0, height, 1.0, 0.5),
            threshold=1e-6,
            vmax=limit,
            vmin=-limit,
            cmap=COLOURS,
            resampling_interpolation="nearest",
            black_bg=False,
            draw_cross=False,
        )
        if found.any():
            outline = nibabel.Nifti1Image(found, affine)
            display.add_contours(outline, levels=[0.5], colors="black", linewidths=0.9)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=105)
    return b64encode(buffer.getvalue()).decode("ascii")


def _view(
    groups: pd.DataFrame, ids: Mapping[str, int], alpha: float, labels: nibabel.Nifti1Image
) -> View:
    """The template with a region's effect as its colour, fainter where it does not survive."""
    voxels = on_template(labels, "nearest")
    drawn = np.where(np.isin(voxels, list(ids.values())), voxels, 0).astype(np.uint8)
    effects = groups["hedges_g"]
    limit = max(float(effects.abs().max()), SMALLEST_LIMIT)
    shades = colormaps[COLOURS](0.5 + effects.to_numpy(float) / (2 * limit))
    colours: dict[int, Colour] = {}
    opacities: dict[int, float] = {}
    texts: dict[int, str] = {}
    for (region, row), shade in zip(groups.iterrows(), shades, strict=True):
        label_id, found = ids[str(region)], row["p_fwe"] <= alpha
        red, green, blue = (round(255 * float(channel)) for channel in shade[:3])
        colours[label_id] = red, green, blue
        opacities[label_id] = 1.0 if found else FAINT
        p = p_text(row["p_fwe"])
        sign = "" if p.startswith("<") else "= "
        said = f"p {sign}{p} corrected" if found else "not a finding"
        texts[label_id] = f"{plain_name(str(region))}: g = {signed(row['hedges_g'])}, {said}"
    layer = Layer(
        "effects",
        layer_png(drawn),
        colours,
        texts,
        opacities,
        legend="Blue: smaller in patients, red: larger; fainter where it does not survive.",
    )
    return template_view([layer])


def _read_own(regions: Sequence[str]) -> nibabel.Nifti1Image:
    protocol = max(TABLES, key=lambda p: len({x.name for x in TABLES[p]}.intersection(regions)))
    with as_file(files(__package__) / TEMPLATES[protocol]) as path:
        return _read(path)


def _read(atlas: Path) -> nibabel.Nifti1Image:
    try:
        image = nibabel.load(atlas)
        return nibabel.Nifti1Image(np.asarray(image.dataobj).astype(np.int32), image.affine)
    except (OSError, ImageFileError) as reason:
        raise LabelError("an atlas must be a readable image", value=reason, subject=atlas) from None


def _label_id(region: str) -> int:
    """Id of a region by its name; -1 for names of no protocol."""
    return next((label.id for t in TABLES.values() for label in t if label.name == region), -1)
