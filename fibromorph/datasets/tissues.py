"""What tissue looks like in a T1-weighted scan: the intensities that synthesis draws from.

Intensities are relative to white matter = 1. The ranges are deliberately wider than any one
scanner's: a network trained on them has to read borders, not grey values.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from fibromorph.labels import FREESURFER, LabelTable

Range = tuple[float, float]

# Mean intensity of each structure, lowest and highest, both hemispheres alike.
T1_RANGES: Mapping[str, Range] = {
    "background": (0.0, 0.05),
    "Cerebral-White-Matter": (0.95, 1.05),
    "Cerebral-Cortex": (0.52, 0.78),
    "Lateral-Ventricle": (0.08, 0.32),
    "Inf-Lat-Vent": (0.10, 0.38),
    "Cerebellum-White-Matter": (0.88, 1.05),
    "Cerebellum-Cortex": (0.50, 0.80),
    "Thalamus": (0.72, 0.94),
    "Caudate": (0.60, 0.82),
    "Putamen": (0.64, 0.86),
    "Pallidum": (0.80, 1.00),
    "3rd-Ventricle": (0.08, 0.34),
    "4th-Ventricle": (0.08, 0.34),
    "Brain-Stem": (0.82, 1.02),
    "Hippocampus": (0.54, 0.78),
    "Amygdala": (0.54, 0.78),
    "CSF": (0.06, 0.34),
    "Accumbens-area": (0.58, 0.82),
    "VentralDC": (0.78, 0.98),
}

# What label maps for training distinguish beyond the structures: id -> (structure it belongs to
# in the target or 'background', intensity range).
EXTRA_TISSUES: Mapping[int, tuple[str, Range]] = {
    25: ("Cerebral-White-Matter", (0.55, 0.95)),  # white matter lesions, left
    57: ("Cerebral-White-Matter", (0.55, 0.95)),
    30: ("Cerebral-White-Matter", (0.20, 0.80)),  # vessels, left
    62: ("Cerebral-White-Matter", (0.20, 0.80)),
    72: ("CSF", (0.08, 0.34)),  # fifth ventricle
    85: ("CSF", (0.65, 1.00)),  # optic chiasm
    136: ("Lateral-Ventricle", (0.25, 0.70)),  # choroid plexus, left
    137: ("Inf-Lat-Vent", (0.25, 0.70)),
    163: ("Lateral-Ventricle", (0.25, 0.70)),  # choroid plexus, right
    164: ("Inf-Lat-Vent", (0.25, 0.70)),
    501: ("background", (0.05, 1.00)),
    502: ("background", (0.60, 1.00)),  # spinal cord
    506: ("background", (0.10, 0.90)),  # eyes
    507: ("background", (0.20, 1.00)),  # muscle, fat
    508: ("background", (0.10, 0.90)),
    509: ("background", (0.05, 0.70)),  # nose
    511: ("background", (0.30, 1.30)),  # skin, fat under it
    512: ("background", (0.05, 0.80)),
    514: ("background", (0.15, 1.00)),  # dura, sinuses
    515: ("background", (0.02, 0.25)),  # bone
    516: ("background", (0.25, 1.30)),  # marrow
    530: ("background", (0.20, 0.90)),
}

FLUID_ID, FLUID = 24, "CSF"
"""Cerebrospinal fluid outside the ventricles: its id in every table, and its name."""

GENERATION_IDS: tuple[int, ...] = (0, *FREESURFER.ids, *EXTRA_TISSUES)
"""Label id of every index that a packed label map holds."""


def _structure_of(label_id: int) -> str:
    if label_id in EXTRA_TISSUES:
        return EXTRA_TISSUES[label_id][0]
    for structure in FREESURFER.structures:
        if label_id in (structure.left_id, structure.right_id):
            return structure.name
    return "background"


@cache
def structure_names() -> tuple[str, ...]:
    """What every index of `GENERATION_IDS` is part of: a structure, or 'background'."""
    return tuple(_structure_of(i) for i in GENERATION_IDS)


@cache
def target_classes(table: LabelTable = FREESURFER) -> tuple[int, ...]:
    """Network class (0 = background) of every index of `GENERATION_IDS`.

    Label maps are FreeSurfer's: of a structure that `table` knows in parts, the class is the one
    that stands for all of them (`LabelTable.coarse_classes`).
    """
    return tuple(table.class_of_name(name) for name in structure_names())


@cache
def target_sides() -> tuple[int, ...]:
    """1 = left, 2 = right, 0 = neither, for every index of `GENERATION_IDS`."""
    left_extras, right_extras = {25, 30, 136, 137}, {57, 62, 163, 164}
    sides = FREESURFER.side_of_id()
    return tuple(
        1 if i in left_extras else 2 if i in right_extras else sides.get(i, 0)
        for i in GENERATION_IDS
    )


@cache
def intensity_groups() -> tuple[int, ...]:
    """Indices that share a group share their mean: the left and right twin of a structure."""
    extras = {label_id: 100 + n for n, label_id in enumerate(EXTRA_TISSUES)}
    groups = [extras.get(i, c) for i, c in zip(GENERATION_IDS, target_classes(), strict=True)]
    order = sorted(set(groups))
    return tuple(order.index(g) for g in groups)


@cache
def t1_ranges() -> tuple[Range, ...]:
    """Range of the mean intensity of every index of `GENERATION_IDS`."""
    return tuple(
        EXTRA_TISSUES[i][1] if i in EXTRA_TISSUES else T1_RANGES[_structure_of(i)]
        for i in GENERATION_IDS
    )


@cache
def outside_brain() -> tuple[bool, ...]:
    """True where an index of `GENERATION_IDS` is tissue outside the brain and its fluid, or air."""
    return tuple(name == "background" for name in structure_names())
