"""Every slice of the template, and what was found at each place, for the page's viewer."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from nibabel.spatialimages import SpatialImage
from numpy.typing import NDArray

from fibromorph.grid import Grid
from fibromorph.labels import TABLES, Colour
from fibromorph.postprocessing.names import plain_name
from fibromorph.postprocessing.stats.report.wording import signed
from fibromorph.postprocessing.viewer import Layer, View, head_jpeg, layer_png
from fibromorph.postprocessing.voxelwise.atlas import PROTOCOL, template_labels
from fibromorph.postprocessing.voxelwise.effects import effect_of
from fibromorph.postprocessing.voxelwise.maps import TissueMaps
from fibromorph.postprocessing.voxelwise.report.picture import COLOURS, limit_of, opacity_of
from fibromorph.postprocessing.voxelwise.results import Answer, VoxelResults

SPACING_MM = 2
STEPS = 127
"""Of t, from the lowest to the highest: one half of a byte's values for what survives, and one for
what does not."""
BLACK, WHITE = 0.0, 1.0


def view_of(results: VoxelResults) -> View:
    """The template, a layer for every question, and one with the regions' names."""
    from nilearn.datasets import load_mni152_template

    template = load_mni152_template(resolution=SPACING_MM)
    head = np.asarray(template.dataobj, np.float32)
    layers = [_answer_layer(answer, results.maps, template) for answer in results.answers]
    return View(
        head_jpeg(head, BLACK, WHITE),
        Grid(head.shape, template.affine),
        (*layers, _regions_layer(template)),
    )


def _answer_layer(answer: Answer, maps: TissueMaps, template: SpatialImage) -> Layer:
    """Coloured by effect, the fainter the smaller |t| is, as `picture` draws it."""
    high = float(np.abs(answer.inference.t).max()) or 1.0
    t = _moved(maps, answer.inference.t, template, "linear")
    survives = _moved(maps, answer.survives, template, "nearest") > 0.5
    inside = _moved(maps, np.ones(len(answer.survives), bool), template, "nearest") > 0.5
    step = np.rint((np.clip(t / high, -1, 1) + 1) / 2 * (STEPS - 1))
    voxels = np.where(inside, 1 + step + STEPS * survives, 0).astype(np.uint8)

    stops = np.linspace(-high, high, STEPS)
    effects = effect_of(answer.question, stops)
    shades = colormaps[COLOURS](0.5 + effects / (2 * limit_of(answer)))
    faint = opacity_of(stops, answer)
    colours: dict[int, Colour] = {}
    opacities: dict[int, float] = {}
    texts: dict[int, str] = {}
    for found, said in ((False, "not a finding"), (True, "survives")):
        for n, (effect, shade) in enumerate(zip(effects, shades, strict=True)):
            value = 1 + n + STEPS * found
            red, green, blue = (round(255 * float(channel)) for channel in shade[:3])
            colours[value] = red, green, blue
            opacities[value] = 1.0 if found else round(float(faint[n]), 3)
            texts[value] = f"{answer.question.effect} = {signed(effect)}, {said}"
    question = answer.question
    legend = f"Blue: {question.lower}, red: {question.higher}; the smaller |t|, the fainter."
    return Layer(answer.question.title, layer_png(voxels), colours, texts, opacities, legend=legend)


def _regions_layer(template: SpatialImage) -> Layer:
    from nilearn.image import resample_to_img

    labels = resample_to_img(
        template_labels(), template, interpolation="nearest", force_resample=True, copy_header=True
    )
    table = TABLES[PROTOCOL]
    return Layer(
        "regions",
        layer_png(np.asarray(labels.dataobj).astype(np.uint8)),
        {label.id: label.colour for label in table},
        {label.id: plain_name(label.name) for label in table},
        ranks={label.id: rank for rank, label in enumerate(table)},
        legend="Regions of the template that fibromorph carries.",
    )


def _moved(
    maps: TissueMaps, values: NDArray[np.generic], template: SpatialImage, how: str
) -> NDArray[np.float32]:
    """(V,) values of the maps' voxels, on those of the template."""
    from nilearn.image import resample_to_img

    moved = resample_to_img(
        maps.image(values.astype(np.float32)),
        template,
        interpolation=how,
        force_resample=True,
        copy_header=True,
    )
    return np.asarray(moved.dataobj, np.float32)
