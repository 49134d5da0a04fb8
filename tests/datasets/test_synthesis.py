"""What comes out of synthesis: anatomy, sides, contrast, field of view."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from fibromorph.datasets import tissues
from fibromorph.datasets.labelmaps import LabelMap
from fibromorph.datasets.synthesis import (
    AcquisitionParams,
    Draws,
    Sample,
    SynthesisSettings,
    apply_deep,
    apply_lesions,
    apply_spatial,
    draw_acquisition,
    draw_contrast,
    draw_deep,
    draw_lesions,
    draw_spatial,
    keep_mask,
    synthesise,
)
from fibromorph.errors import ConfigError
from fibromorph.labels import FREESURFER

SHAPE = (64, 64, 64)
STILL = SynthesisSettings(
    rotation_deg=0, scaling=0, shear=0, elastic_mm=0, local_scaling=0, atrophy=0, flip=0,
    jitter_mm=0, stripped=0, cut=0,
)  # fmt: skip
HIPPOCAMPUS = [s.name for s in FREESURFER.structures].index("Hippocampus") + 1


def _centre_i(mask: Tensor) -> float:
    return float(mask.nonzero()[:, 0].float().mean())


def _make(source: LabelMap, index: Tensor, settings: SynthesisSettings, seed: int = 3) -> Sample:
    return synthesise(source, index, SHAPE, settings, seed)


def test_the_same_seed_gives_the_same_sample(head_map: LabelMap, head_index: Tensor) -> None:
    settings = SynthesisSettings()
    first, again, other = (_make(head_map, head_index, settings, seed) for seed in (7, 7, 8))
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.classes, again.classes)
    assert not torch.equal(first.image, other.image)


def test_global_random_state_is_left_alone(head_map: LabelMap, head_index: Tensor) -> None:
    before = torch.random.get_rng_state()
    _make(head_map, head_index, SynthesisSettings())
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_structure_changes_size_in_a_brain_that_does_not(
    head_map: LabelMap, head_index: Tensor
) -> None:
    settings = replace(STILL, local_scaling=0.3, local_structures=1.0)
    samples = [_make(head_map, head_index, settings, seed) for seed in range(12)]
    structure = torch.tensor([float((s.classes == HIPPOCAMPUS).sum()) for s in samples])
    brain = torch.tensor([float((s.sides > 0).sum()) for s in samples])
    assert structure.std() / structure.mean() > 0.1
    assert brain.std() / brain.mean() < 0.06


def test_a_brain_shrinks_and_its_skull_stays(head_map: LabelMap, head_index: Tensor) -> None:
    fluid = tissues.GENERATION_IDS.index(tissues.FLUID_ID)
    kept = draw_spatial(Draws(1), STILL, head_map, SHAPE)
    before = apply_spatial(head_index, kept, SHAPE)
    after = apply_spatial(head_index, replace(kept, shrunk_to=0.93), SHAPE)
    outside = torch.tensor(tissues.outside_brain())
    assert torch.equal(outside[before], outside[after])
    tissue = [int((~outside[i] & (i != fluid)).sum()) for i in (before, after)]
    assert tissue[1] / tissue[0] == pytest.approx(0.93**3, abs=0.03)


def test_lesions_darken_white_matter_and_nothing_else(
    head_map: LabelMap, head_index: Tensor
) -> None:
    """They stay white matter in the labels, and lie in a minority of it."""
    names = tissues.structure_names()
    anatomy = apply_spatial(head_index, draw_spatial(Draws(1), STILL, head_map, SHAPE), SHAPE)
    white = torch.tensor([name == "Cerebral-White-Matter" for name in names])[anatomy]
    shares = []
    for seed in range(12):
        lesions = draw_lesions(Draws(seed), replace(STILL, lesions=1.0), SHAPE)
        assert lesions
        darker = 1 - apply_lesions(torch.ones(SHAPE), anatomy, names, lesions)
        assert not darker[~white].any()
        assert float(darker.max()) <= lesions.depth + 1e-6
        shares.append(float((darker > 0).sum() / white.sum()))
    assert 0.02 < max(shares) < 0.3
    plain, spotted = (_make(head_map, head_index, replace(STILL, lesions=x)) for x in (0.0, 1.0))
    assert torch.equal(plain.classes, spotted.classes)
    assert not torch.equal(plain.image, spotted.image)


def test_deep_structures_fade_and_grey_lies_in_the_white_matter_beside_them(
    head_map: LabelMap, head_index: Tensor
) -> None:
    """Borders of the labels stay; nothing far from deep structures changes."""
    names = tissues.structure_names()
    anatomy = apply_spatial(head_index, draw_spatial(Draws(1), STILL, head_map, SHAPE), SHAPE)
    thalamus, putamen, white, cortex = (
        torch.tensor([name == wanted for name in names])[anatomy]
        for wanted in ("Thalamus", "Putamen", "Cerebral-White-Matter", "Cerebral-Cortex")
    )
    image = 1 - 0.3 * (thalamus | putamen | cortex).float()
    deep = draw_deep(Draws(3), replace(STILL, deep=1.0), SHAPE)
    assert deep
    faded = apply_deep(image, anatomy, names, replace(deep, fading={"Thalamus": 1.0}))
    assert torch.equal(faded[cortex], image[cortex])
    assert (faded[thalamus] - image[thalamus]).max() > 0.25
    assert faded[thalamus].min() == pytest.approx(0.7, abs=0.05)
    dimmer = (image - faded)[white]
    assert dimmer.max() > 0.05
    assert (dimmer > 0.01).float().mean() < 0.5
    plain, seen = (_make(head_map, head_index, replace(STILL, deep=x)) for x in (0.0, 1.0))
    assert torch.equal(plain.classes, seen.classes)
    assert not torch.equal(plain.image, seen.image)


@pytest.mark.parametrize(
    ("part", "structure"),
    [
        ("hypothalamus", "VentralDC"),
        *(
            (part, "Cerebral-White-Matter")
            for part in ("dimmed", "ventral", "claustrum", "islands")
        ),
    ],
)
def test_each_part_of_the_middle_changes_its_own_structure(
    head_map: LabelMap, head_index: Tensor, part: str, structure: str
) -> None:
    names = tissues.structure_names()
    anatomy = apply_spatial(head_index, draw_spatial(Draws(1), STILL, head_map, SHAPE), SHAPE)
    white = torch.tensor([float("White" in name or name == "VentralDC") for name in names])[anatomy]
    image = 0.6 + 0.4 * white
    deep = draw_deep(Draws(3), replace(STILL, deep=1.0), SHAPE)
    assert deep
    parts = ("hypothalamus", "dimmed", "ventral", "claustrum", "islands")
    nothing: dict[str, Any] = dict.fromkeys(parts, 0.0)
    still = replace(deep, fading={}, islands_rarity=-1.0, **nothing)
    assert torch.allclose(apply_deep(image, anatomy, names, still), image)
    only: dict[str, Any] = {part: 1.0}
    darker = image - apply_deep(image, anatomy, names, replace(still, **only))
    inside = torch.tensor([name == structure for name in names])[anatomy]
    assert darker[inside].max() > 0.03  # little of the phantom's diencephalon lies beside fluid
    assert darker[~inside].abs().max() < 1e-6


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_left_is_left_also_in_a_mirror(head_map: LabelMap, head_index: Tensor, flip: float) -> None:
    sample = _make(head_map, head_index, replace(STILL, flip=flip))
    for mask in (sample.sides > 0, sample.classes == HIPPOCAMPUS):
        left = _centre_i(mask & (sample.sides == 1))
        right = _centre_i(mask & (sample.sides == 2))
        assert left < right - 10  # i runs to the right, in voxels of 1 mm


def test_a_mirrored_sample_is_the_mirror_image(head_map: LabelMap, head_index: Tensor) -> None:
    plain = _make(head_map, head_index, STILL)
    mirrored = _make(head_map, head_index, replace(STILL, flip=1.0))
    differing = (plain.classes != mirrored.classes.flip(0)).float().mean()
    assert differing < 0.05


def test_samples_are_finite_and_normalised(head_map: LabelMap, head_index: Tensor) -> None:
    for seed in range(6):
        sample = _make(
            head_map, head_index, SynthesisSettings(thick=1.0, random_contrast=0.5), seed
        )
        assert torch.isfinite(sample.image).all()
        assert abs(float(sample.image.mean())) < 0.2
        assert 0.5 < float(sample.image.std()) < 1.2
        assert int(sample.classes.max()) <= len(FREESURFER.structures)


def test_intensities_are_ordered_as_in_a_t1() -> None:
    white, cortex, fluid = (tissues.GENERATION_IDS.index(i) for i in (2, 3, 24))
    for seed in range(50):
        rng = Draws(seed)
        mean = draw_contrast(rng, SynthesisSettings(random_contrast=0)).mean
        assert mean[fluid] < mean[cortex] < mean[white]
        assert mean[white] == mean[tissues.GENERATION_IDS.index(41)]


def _acquisition(strip: int | None, cut: tuple[int, int, int] | None) -> AcquisitionParams:
    drawn = draw_acquisition(Draws(0), STILL, SHAPE)
    return replace(drawn, strip_margin=strip, cut=cut)


def test_a_removed_skull_leaves_brain_and_a_margin(head_index: Tensor) -> None:
    index = head_index.long()
    outside = torch.tensor(tissues.outside_brain())[index]
    fluid = index == tissues.GENERATION_IDS.index(24)
    with_fluid = keep_mask(index, _acquisition(-1, None))
    tight = keep_mask(index, _acquisition(0, None))
    roomy = keep_mask(index, _acquisition(2, None))
    assert torch.equal(with_fluid, ~outside)
    assert torch.equal(tight, ~outside & ~fluid)
    assert (roomy & ~tight).sum() > 1000
    assert (tight & ~roomy).sum() == 0


def test_a_removed_face_takes_no_brain_with_it(head_map: LabelMap, head_index: Tensor) -> None:
    rng = Draws(4)
    spatial = draw_spatial(rng, STILL, head_map, SHAPE, spacing_mm=2.0)
    anatomy = apply_spatial(head_index, spatial, SHAPE)
    defaced = draw_acquisition(rng, replace(STILL, defaced=1.0), SHAPE, spatial.matrix)
    keep = keep_mask(anatomy, defaced)
    outside = torch.tensor(tissues.outside_brain())[anatomy]
    assert keep[~outside].all()
    assert not keep[:, -1, 0].any()  # in front, and below
    assert keep[:, 0, -1].all()


def test_a_brain_lies_in_the_middle_if_it_is_to(head_map: LabelMap, head_index: Tensor) -> None:
    def aside(settings: SynthesisSettings, seed: int) -> float:
        classes = synthesise(head_map, head_index, SHAPE, settings, seed, spacing_mm=4.0).classes
        middle = classes.nonzero().float().mean(0)
        return float((middle - (SHAPE[0] - 1) / 2).abs().max())

    seeds = range(8)
    assert max(aside(replace(STILL, anywhere=0.0), seed) for seed in seeds) < 4
    assert max(aside(STILL, seed) for seed in seeds) > 8


def test_a_cut_field_of_view_shows_and_labels_nothing_beyond(
    head_map: LabelMap, head_index: Tensor
) -> None:
    keep = keep_mask(torch.zeros(SHAPE, dtype=torch.int64), _acquisition(None, (2, 20, 64)))
    assert not keep[..., :20].any()
    assert keep[..., 20:].all()
    sample = _make(head_map, head_index, replace(STILL, cut=1.0, stripped=1.0))
    dark = sample.image == sample.image.min()
    assert (sample.classes[dark] == 0).float().mean() > 0.99


@pytest.mark.parametrize(
    "bad",
    [
        *({"flip": 1.5}, {"noise_sd": -0.1}, {"bias": float("nan")}, {"atrophy_most": 1.0}),
        *({"scaling": 1.0}, {"shear": 0.5}, {"rotation_deg": float("inf")}),
    ],
)
def test_settings_out_of_range_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        SynthesisSettings(**bad)
