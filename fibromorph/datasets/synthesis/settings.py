"""How far synthesised samples may stray from a label map."""

from __future__ import annotations

from dataclasses import dataclass, fields

from fibromorph.errors import ConfigError, require_amount

BELOW = {"scaling": 1.0, "shear": 0.5, "local_scaling": 1.0, "atrophy_most": 1.0}
"""What these have to stay below: from there on samples may be folded flat, or mirrored without
their sides changing names."""


@dataclass(frozen=True)
class SynthesisSettings:
    """How far samples may stray from the label map. Shares and amplitudes; 0 turns a part off.

    Attributes:
        rotation_deg: largest rotation about each axis.
        scaling: largest relative change of size along each axis.
        shear: largest shear.
        elastic_mm: standard deviation of the smooth displacement.
        local_scaling: largest relative change of size of single places, 10 to 40 mm wide: a
            structure may be small in a large head, so its borders must be seen, not guessed.
        local_places: how many places of a sample are scaled so.
        local_structures: share of these places that are a structure; the others lie anywhere.
        atrophy: share of samples whose brain is smaller than the skull around it has room for, the
            difference being fluid: intracranial volume must not follow the brain.
        atrophy_most: largest relative change of such a brain's size along each axis.
        flip: share of samples mirrored left-right, sides swapped with it.
        anywhere: share of what fits by which the crop's centre may lie from the brain's: 1 = up to
            the border of the crop, 0 = the brain lies in the middle.
        jitter_mm: how far the crop's centre may lie from the brain's, beyond that.
        random_contrast: share of samples with any contrast at all instead of a T1's.
        tissue_sd: largest standard deviation inside a tissue, white matter being 1.
        noise_sd: largest standard deviation of the scanner's noise.
        bias: largest standard deviation of the log bias field.
        gamma: standard deviation of the log exponent.
        blur_mm: largest standard deviation of the point spread, on top of 0.3 mm.
        thick: share of samples acquired with thicker voxels.
        thickest_mm: the thickest of them.
        stripped: share of samples with everything outside the brain removed.
        cut: share of samples whose field of view ends inside the crop.
        defaced: share of samples whose face is cut away, as it is before scans are shared.
        lesions: share of samples with dark spots in the white matter, which stay white matter.
        deep: share of samples of label maps whose deep structures fade into the white matter, some
            grey matter lying in it, as real scans have it.
    """

    rotation_deg: float = 15.0
    scaling: float = 0.12
    shear: float = 0.03
    elastic_mm: float = 2.5
    local_scaling: float = 0.3
    local_places: int = 12
    local_structures: float = 0.7
    atrophy: float = 0.3
    atrophy_most: float = 0.05
    flip: float = 0.5
    anywhere: float = 1.0
    jitter_mm: float = 8.0
    random_contrast: float = 0.05
    tissue_sd: float = 0.06
    noise_sd: float = 0.06
    bias: float = 0.25
    gamma: float = 0.15
    blur_mm: float = 0.6
    thick: float = 0.2
    thickest_mm: float = 3.0
    stripped: float = 0.4
    cut: float = 0.1
    defaced: float = 0.0
    lesions: float = 0.0
    deep: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            require_amount(getattr(self, field.name), field.name)
        samples = ("atrophy", "flip", "random_contrast", "thick", "stripped", "cut", "defaced")
        for name in ("local_structures", "anywhere", "lesions", "deep", *samples):
            if getattr(self, name) > 1:
                raise ConfigError("is a share, 0 to 1", value=getattr(self, name), subject=name)
        for name, limit in BELOW.items():
            if getattr(self, name) >= limit:
                rule = f"must be below {limit:g}"
                raise ConfigError(rule, value=getattr(self, name), subject=name)
