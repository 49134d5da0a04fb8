"""Regions painted on a template brain, in the colour of their effect."""

from __future__ import annotations

import importlib.util
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from io import BytesIO

import nibabel
import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure

from fibromorph.labels import TABLES, Colour
from fibromorph.postprocessing.atlases import read_atlas
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
MOST_VALUES = 255
"""Of a layer of the viewer."""
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


def paint(groups: pd.DataFrame, alpha: float, atlas: str | None) -> PaintedBrain:
    """Paint adjusted Hedges' g; regions whose corrected p is at most `alpha` are outlined.

    Args:
        groups: indexed by region, with hedges_g and p_fwe.
        alpha: level.
        atlas: see `read_atlas`; where no region is called as one of its own, its ids are taken for
            those of fibromorph's protocols. None = of the templates that fibromorph carries, that
            of the protocol which knows most regions.

    Raises:
        ConfigError, LabelError, TableError: see `read_atlas`.
    """
    if importlib.util.find_spec("nilearn") is None:
        return PaintedBrain("", (), "Painting needs nilearn, of the extra 'stats'.")
    regions = list(map(str, groups.index))
    labels, ids = _read_own(regions) if atlas is None else _read_atlas(atlas, regions)
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
    values_of = _layer_values(groups, drawn)
    view = _view(groups.loc[list(values_of)], drawn, values_of, alpha, labels)
    picture = _picture(values, found, labels.affine)
    return PaintedBrain(picture, not_drawn, view=view, ids=values_of)


def _layer_values(groups: pd.DataFrame, drawn: Mapping[str, int]) -> dict[str, int]:
    """Region -> its value in the viewer's layer; of more than it can tell apart the largest
    effects."""
    sizes = groups.loc[list(drawn), "hedges_g"].abs()
    kept = set(sizes.nlargest(MOST_VALUES).index)
    return {region: n for n, region in enumerate((r for r in drawn if r in kept), start=1)}


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
    groups: pd.DataFrame,
    ids: Mapping[str, int],
    values_of: Mapping[str, int],
    alpha: float,
    labels: nibabel.Nifti1Image,
) -> View:
    """The template with a region's effect as its colour, fainter where it does not survive.

    Args:
        groups: of the regions that are drawn.
        ids: of regions in `labels`.
        values_of: regions in the layer.
        alpha: level.
        labels: in MNI coordinates.
    """
    voxels = on_template(labels, "nearest").astype(np.int32)
    lookup = np.zeros(int(max(voxels.max(), *ids.values())) + 1, np.uint8)
    lookup[[ids[region] for region in values_of]] = list(values_of.values())
    drawn = lookup[np.maximum(voxels, 0)]
    effects = groups["hedges_g"]
    limit = max(float(effects.abs().max()), SMALLEST_LIMIT)
    shades = colormaps[COLOURS](0.5 + effects.to_numpy(float) / (2 * limit))
    colours: dict[int, Colour] = {}
    opacities: dict[int, float] = {}
    texts: dict[int, str] = {}
    for (region, row), shade in zip(groups.iterrows(), shades, strict=True):
        label_id, found = values_of[str(region)], row["p_fwe"] <= alpha
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


def _read_own(regions: Sequence[str]) -> tuple[nibabel.Nifti1Image, dict[str, int]]:
    """Labels of a template that fibromorph carries, and the id of every region, -1 = none."""
    protocol = max(TABLES, key=lambda p: len({x.name for x in TABLES[p]}.intersection(regions)))
    with as_file(files(__package__) / TEMPLATES[protocol]) as path:
        image = nibabel.load(path)
        labels = nibabel.Nifti1Image(np.asarray(image.dataobj).astype(np.int32), image.affine)
    return labels, {region: _label_id(region) for region in regions}


def _read_atlas(source: str, regions: Sequence[str]) -> tuple[nibabel.Nifti1Image, dict[str, int]]:
    atlas = read_atlas(source)
    named = {region.name: region.id for region in atlas.regions}
    if named.keys().isdisjoint(regions):
        ids = {region: _label_id(region) for region in regions}
    else:
        ids = {region: named.get(region, -1) for region in regions}
    return nibabel.Nifti1Image(atlas.labels, atlas.grid.affine_ijk_to_ras), ids


def _label_id(region: str) -> int:
    """Id of a region by its name; -1 for names of no protocol."""
    return next((label.id for t in TABLES.values() for label in t if label.name == region), -1)
