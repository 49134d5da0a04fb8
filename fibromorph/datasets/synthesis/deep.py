"""What label maps do not tell about the middle of the brain, and a T1 shows.

In a label map every structure is of one grey up to its border. In a head the thalamus fades into
the capsule beside it, grey matter on both sides of a capsule dims it, the claustrum lies between
putamen and insula, and bridges and islands of grey (of the striatum in the internal capsule, the
basal forebrain) lie in what maps call white matter; the hypothalamus is a grey wall of the third
ventricle, the map's ventral diencephalon nearly white. A network that has seen none of it ends the
thalamus where that fades, takes that wall for fluid, and lets putamen, pallidum and accumbens grow
over the grey beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from fibromorph.datasets.synthesis.filters import blur, field, shape3
from fibromorph.datasets.synthesis.random import Draws, chance, normal, number
from fibromorph.datasets.synthesis.settings import SynthesisSettings
from fibromorph.grid import Shape3
from fibromorph.lookups import lookup

WHITE_MATTER, CORTEX, PUTAMEN = "Cerebral-White-Matter", "Cerebral-Cortex", "Putamen"
DIENCEPHALON = "VentralDC"
STRIATUM = (PUTAMEN, "Caudate", "Accumbens-area", "Amygdala")
"""Grey matter, some of which lies scattered in the white matter beside it."""
DEEP_GREY = (*STRIATUM, "Thalamus", "Pallidum", "Hippocampus")

MOST_FADING: Mapping[str, float] = {
    "Thalamus": 1.0,
    DIENCEPHALON: 0.8,
    "Pallidum": 0.6,
    PUTAMEN: 0.2,
    "Caudate": 0.2,
}
"""How much of the way to white matter a structure may fade at its border."""
FADING_SD = (1.0, 2.5)
"""Of the blurring that tells how near white matter is, in voxels of `HALF`."""
FULLY_FADED = (0.25, 0.5)
"""Share of white matter in that picture from which on a structure has faded fully."""
MOST_DIMMED, DIMMED_SHARE = 0.35, 0.5
"""Of white matter beside deep grey: share of the way to grey, and share of deep grey in the blurred
picture from which on it is dimmed so."""
FLUID, MOST_HYPOTHALAMUS, WALL = ("3rd-Ventricle", "CSF"), 1.0, 0.35
"""Beside which the diencephalon is grey; most of the way to grey, and share of fluid in the blurred
picture from which on it is as grey as that."""
CLAUSTRUM, CLAUSTRUM_SD = 0.7, 1.3
"""Share of these samples that have one; of the blurring that finds the middle between putamen and
cortex, in voxels of `HALF`."""
CLAUSTRUM_PLACE, CLAUSTRUM_WIDTH, BOTH = (0.35, 0.65), (0.08, 0.2), 0.06
"""Putamen's share of putamen and cortex where it lies and, around it, where it ends; least share of
either in the blurred pictures."""
ISLANDS_VOXELS, ISLANDS_RARITY, ISLANDS_EDGE = (3.0, 7.0), (0.3, 1.5), 0.5
"""Distance of the points that islands may lie around; height of the noise above which there is one,
in standard deviations at those points; over this much of it an island comes to its full grey."""
NEAR_SD, NEAR = 1.5, 0.15
"""Of the blurring, in voxels of `HALF`; share of the striatum in that picture right beside it."""
VENTRAL, MOST_GREY, VENTRAL_SHARE = ("Accumbens-area", "Amygdala"), 0.9, 0.3
"""The white matter around these is grey for millimetres: most of it, and where that ends."""
LOCAL_SD = 3.0
"""Of the blurring that tells how grey and white a place's own grey and white matter are."""
MARGIN = 12
"""Voxels around deep structures, beyond which nothing changes to speak of."""
HALF = 2
"""Blurred pictures have voxels of so many of the sample's, which takes an eighth of the time."""


@dataclass(frozen=True)
class DeepParams:
    """How the middle of the brain differs from its label map.

    Attributes:
        fading: share of the way to white matter at the border, of each structure that fades.
        fading_sd, fully_faded: how far from the border that begins, see `FADING_SD` and on.
        dimmed: share of the way to grey of the white matter beside deep grey.
        ventral: the same beside accumbens and amygdala.
        hypothalamus: the same of the diencephalon beside fluid.
        claustrum: share of the way to grey in its middle; 0: there is none.
        claustrum_place, claustrum_width: where it lies, see `CLAUSTRUM_PLACE`.
        islands: share of the way to grey in their middle.
        islands_rarity: height of the noise above which there is one.
        islands_control: (n, n, n) the noise, interpolated over the sample.
    """

    fading: Mapping[str, float]
    fading_sd: float
    fully_faded: float
    dimmed: float
    ventral: float
    hypothalamus: float
    claustrum: float
    claustrum_place: float
    claustrum_width: float
    islands: float
    islands_rarity: float
    islands_control: Tensor


def draw_deep(rng: Draws, settings: SynthesisSettings, shape: Shape3) -> DeepParams | None:
    """Draw how a sample's deep structures look; None = as in the label map."""
    # Without the option no number is drawn: samples stay those of runs that did not know it.
    if not settings.deep or not chance(rng, settings.deep):
        return None
    width = number(rng, *ISLANDS_VOXELS)
    return DeepParams(
        fading={name: number(rng, 0, most) for name, most in MOST_FADING.items()},
        fading_sd=number(rng, *FADING_SD),
        fully_faded=number(rng, *FULLY_FADED),
        dimmed=number(rng, 0, MOST_DIMMED),
        ventral=number(rng, 0, MOST_GREY),
        hypothalamus=number(rng, 0, MOST_HYPOTHALAMUS),
        claustrum=number(rng, 0.3, 1) if chance(rng, CLAUSTRUM) else 0.0,
        claustrum_place=number(rng, *CLAUSTRUM_PLACE),
        claustrum_width=number(rng, *CLAUSTRUM_WIDTH),
        islands=number(rng, 0.2, 1),
        islands_rarity=number(rng, *ISLANDS_RARITY),
        islands_control=normal(rng, *(max(2, round(n / width)) for n in shape)),
    )


def apply_deep(image: Tensor, index: Tensor, names: tuple[str, ...], params: DeepParams) -> Tensor:
    """Let deep structures fade, and grey matter lie in the white matter beside them.

    Args:
        image: (i, j, k) float32, before the scanner.
        index: (i, j, k) int64, below the length of `names`.
        names: of the structure that each index is part of.
        params: see `DeepParams`.

    Returns:
        (i, j, k) float32.
    """
    box = _middle(index, names)
    if box is None:
        return image
    height = field(params.islands_control, shape3(image))
    image = image.clone()
    image[box] = _blended(image[box], Anatomy(index[box], names), height[box], params)
    return image


@dataclass(frozen=True)
class Anatomy:
    """Which structure each voxel is part of.

    Attributes:
        index: (i, j, k) int64, below the length of `names`.
        names: of the structure that each index is part of.
    """

    index: Tensor
    names: tuple[str, ...]

    def of(self, value: Callable[[str], float]) -> Tensor:
        """What `value` says of each voxel's structure, (i, j, k) float32."""
        values = tuple(float(value(name)) for name in self.names)
        return lookup(values, self.index.device, torch.float32)[self.index]

    def mask(self, *structures: str) -> Tensor:
        """1 in these structures, (i, j, k) float32."""
        return self.of(lambda name: name in structures)


def _middle(index: Tensor, names: tuple[str, ...]) -> tuple[slice, slice, slice] | None:
    """Where deep structures lie, and `MARGIN` around them; None: nowhere."""
    deep = Anatomy(index, names).mask(*DEEP_GREY, *MOST_FADING) > 0
    slices = []
    for axis in range(3):
        planes = deep.any(dim=(axis + 1) % 3, keepdim=True).any(dim=(axis + 2) % 3, keepdim=True)
        there = planes.flatten().nonzero().flatten().tolist()
        if not there:
            return None
        slices.append(slice(max(0, there[0] - MARGIN), there[-1] + 1 + MARGIN))
    return slices[0], slices[1], slices[2]


def _blended(image: Tensor, anatomy: Anatomy, height: Tensor, params: DeepParams) -> Tensor:
    white, diencephalon = anatomy.mask(WHITE_MATTER), anatomy.mask(DIENCEPHALON)
    whites = _local_mean(image, white)
    # The pallidum is nearly white.
    greys = _local_mean(image, anatomy.mask(CORTEX, *DEEP_GREY) - anatomy.mask("Pallidum"))

    fading = anatomy.of(lambda name: params.fading.get(name, 0.0))
    fading = fading * _beside(white, params.fading_sd, params.fully_faded)
    image = image + fading * (whites - image)

    wall = params.hypothalamus * _beside(anatomy.mask(*FLUID), NEAR_SD, WALL)
    grey = white * _grey_in_white(anatomy, height, params) + diencephalon * wall
    return image + grey * (greys - image)


def _grey_in_white(anatomy: Anatomy, height: Tensor, params: DeepParams) -> Tensor:
    """Share of the way to grey of white matter, (i, j, k) float32."""
    island = ((height - params.islands_rarity) / ISLANDS_EDGE).clamp(0, 1)
    shares = [
        params.dimmed * _beside(anatomy.mask(*DEEP_GREY), params.fading_sd, DIMMED_SHARE),
        params.ventral * _beside(anatomy.mask(*VENTRAL), params.fading_sd, VENTRAL_SHARE),
        params.islands * island * _beside(anatomy.mask(*STRIATUM), NEAR_SD, NEAR),
    ]
    if params.claustrum:
        inner, outer = (_blurred(anatomy.mask(s), CLAUSTRUM_SD) for s in (PUTAMEN, CORTEX))
        place = inner / (inner + outer).clamp(min=1e-3)
        sheet = torch.exp(-0.5 * ((place - params.claustrum_place) / params.claustrum_width) ** 2)
        shares.append(params.claustrum * sheet * ((inner > BOTH) & (outer > BOTH)))
    return torch.stack(shares).amax(0)


def _beside(mask: Tensor, sd: float, full: float) -> Tensor:
    """0 far from a mask to 1 where it has a share of `full` in the blurred picture."""
    return (_blurred(mask, sd) / full).clamp(max=1)


def _blurred(mask: Tensor, sd: float) -> Tensor:
    return _fine(blur(_coarse(mask), (sd,) * 3), shape3(mask))


def _local_mean(image: Tensor, mask: Tensor) -> Tensor:
    """Mean intensity of a mask around each voxel."""
    total, weight = (blur(_coarse(part), (LOCAL_SD,) * 3) for part in (image * mask, mask))
    return _fine(total / weight.clamp(min=1e-6), shape3(image))


def _coarse(image: Tensor) -> Tensor:
    return F.avg_pool3d(image[None, None], HALF, ceil_mode=True)[0, 0]


def _fine(image: Tensor, shape: Shape3) -> Tensor:
    return F.interpolate(image[None, None], size=shape, mode="trilinear")[0, 0]
