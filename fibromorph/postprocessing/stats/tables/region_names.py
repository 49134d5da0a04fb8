"""Names of regions in other tools' tables -> FreeSurfer's; totals and head sizes told apart."""

from __future__ import annotations

from fibromorph.labels import FREESURFER
from fibromorph.postprocessing.thickness import MEAN
from fibromorph.postprocessing.volumes import TOTALS

ETIV = "eTIV"
ETIV_NAMES = frozenset(
    {ETIV, "EstimatedTotalIntraCranialVol", "IntraCranialVol", "ICV", "total intracranial"}
)
OWN_TOTALS = frozenset(name for name, _ in TOTALS)

_ENIGMA_PARTS = {
    "LatVent": "Lateral-Ventricle",
    "thal": "Thalamus",
    "caud": "Caudate",
    "put": "Putamen",
    "pal": "Pallidum",
    "hippo": "Hippocampus",
    "amyg": "Amygdala",
    "accumb": "Accumbens-area",
}
ENIGMA = {
    f"{short}{part}": f"{side}-{name}"
    for short, side in (("L", "Left"), ("R", "Right"))
    for part, name in _ENIGMA_PARTS.items()
}
_SYNTHSEG_PARTS = {
    "accumbens area": "Accumbens-area",
    "ventral DC": "VentralDC",
    "inferior lateral ventricle": "Inf-Lat-Vent",
}
_SYNTHSEG_MIDLINE = {
    "3rd ventricle": "3rd-Ventricle",
    "4th ventricle": "4th-Ventricle",
    "brain-stem": "Brain-Stem",
    "csf": "CSF",
}
_FREESURFER_OTHER = {
    "Left-Thalamus-Proper": "Left-Thalamus",
    "Right-Thalamus-Proper": "Right-Thalamus",
}
# Sums over structures, surfaces counted as holes, and volumes of masks: FreeSurfer's own measures;
# and the mean of the cortex, of a hemisphere or of both.
_TOTAL_ENDINGS = (
    "Vol",
    "Vol-to-eTIV",
    "Holes",
    "VolNotVent",
    "VolNotVentSurf",
    "VolNotVentVox",
    MEAN,
)
_SIDES = {"lh": "Left", "rh": "Right"}
_THICKNESS, _FREESURFER_MEAN = "_thickness", "MeanThickness"


def from_freesurfer(name: str) -> str:
    """A column of `asegstats2table` or `aparcstats2table`."""
    if name in ETIV_NAMES:
        return ETIV
    for side, title in _SIDES.items():
        if name.startswith(f"{side}_"):
            part = name.removeprefix(f"{side}_").removesuffix("_volume").removesuffix(_THICKNESS)
            return f"{title}-{MEAN}" if part == _FREESURFER_MEAN else f"ctx-{side}-{part}"
    return _FREESURFER_OTHER.get(name, name)


def of_thickness(name: str) -> bool:
    """Whether a column of `aparcstats2table --meas thickness` is one in mm, or the head size.

    Volumes of the whole brain stand at its end, too.
    """
    return name.endswith(_THICKNESS) or name in ETIV_NAMES


def from_synthseg(name: str) -> str:
    """A column of SynthSeg's volumes file."""
    if name in ETIV_NAMES:
        return ETIV
    for side, title in (("left ", "Left-"), ("right ", "Right-")):
        if name.startswith(side):
            part = name.removeprefix(side)
            return title + _SYNTHSEG_PARTS.get(part, "-".join(w.capitalize() for w in part.split()))
    return _SYNTHSEG_MIDLINE.get(name, name)


def from_enigma(name: str) -> str:
    """A column of ENIGMA's subcortical table."""
    return ETIV if name in ETIV_NAMES else ENIGMA.get(name, name)


def is_total(name: str) -> bool:
    """Whether a column is a sum or mean over structures rather than one structure."""
    return name in OWN_TOTALS or name in ETIV_NAMES or name.endswith(_TOTAL_ENDINGS)


def is_fluid(name: str) -> bool:
    """Whether a region is CSF: ventricles vary too much to share a family with grey matter."""
    return name in _FLUID or name.endswith(("choroid-plexus", "-vessel"))


_FLUID = {label.name for label in FREESURFER if label.tissue == "csf"} | {"5th-Ventricle"}
