"""Every slice of the template, and what was found at each place, for the page's viewer."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps

from fibromorph.labels import TABLES, Colour
from fibromorph.postprocessing.names import plain_name
from fibromorph.postprocessing.stats.report.wording import signed
from fibromorph.postprocessing.template_view import on_template, template_view
from fibromorph.postprocessing.viewer import Layer, View, layer_png
from fibromorph.postprocessing.voxelwise.atlas import PROTOCOL, template_labels
from fibromorph.postprocessing.voxelwise.effects import effect_of
from fibromorph.postprocessing.voxelwise.maps import TissueMaps
from fibromorph.postprocessing.voxelwise.report.picture import COLOURS, limit_of, opacity_of
from fibromorph.postprocessing.voxelwise.results import Answer, VoxelResults

STEPS = 127
"""Of t, from the lowest to the highest: one half of a byte's values for what survives, and one for
what does not."""


def view_of(results: VoxelResults) -> View:
    """The template, a layer for every question, and one with the regions' names."""
    layers = [_answer_layer(answer, results.maps) for answer in results.answers]
    return template_view((*layers, _regions_layer()))


def _answer_layer(answer: Answer, maps: TissueMaps) -> Layer:
    """Coloured by effect, the fainter the smaller |t| is, as `picture` draws it."""
    high = float(np.abs(answer.inference.t).max()) or 1.0
    t = on_template(maps.image(answer.inference.t), "linear")
    survives = on_template(maps.image(answer.survives), "nearest") > 0
    inside = on_template(maps.image(np.ones_like(answer.survives)), "nearest") > 0
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


def _regions_layer() -> Layer:
    table = TABLES[PROTOCOL]
    return Layer(
        "regions",
        layer_png(on_template(template_labels(), "nearest").astype(np.uint8)),
        {label.id: label.colour for label in table},
        {label.id: plain_name(label.name) for label in table},
        ranks={label.id: rank for rank, label in enumerate(table)},
        legend="Regions of the template that fibromorph carries.",
    )
