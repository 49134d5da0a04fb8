"""The Neuromorphometrics protocol: FreeSurfer's structures with other borders, and the cortex in
49 regions a hemisphere.

Regions of the cortex, vermis and basal forebrain keep the protocol's own ids (100-207 odd on the
left, 71-76): FreeSurfer has no such structures. All other ids of the table are FreeSurfer's.
"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping

from fibromorph.labels.freesurfer import CORTEX, FREESURFER
from fibromorph.labels.table import Colour, LabelTable, Structure

# Id on the right (on the left it is one more) -> name of a cortical region.
CORTICAL_REGIONS: Mapping[int, str] = {
    100: "Anterior-Cingulate-Gyrus",
    102: "Anterior-Insula",
    104: "Anterior-Orbital-Gyrus",
    106: "Angular-Gyrus",
    108: "Calcarine-Cortex",
    112: "Central-Operculum",
    114: "Cuneus",
    116: "Entorhinal-Area",
    118: "Frontal-Operculum",
    120: "Frontal-Pole",
    122: "Fusiform-Gyrus",
    124: "Gyrus-Rectus",
    128: "Inferior-Occipital-Gyrus",
    132: "Inferior-Temporal-Gyrus",
    134: "Lingual-Gyrus",
    136: "Lateral-Orbital-Gyrus",
    138: "Middle-Cingulate-Gyrus",
    140: "Medial-Frontal-Cortex",
    142: "Middle-Frontal-Gyrus",
    144: "Middle-Occipital-Gyrus",
    146: "Medial-Orbital-Gyrus",
    148: "Postcentral-Gyrus-Medial",
    150: "Precentral-Gyrus-Medial",
    152: "Superior-Frontal-Gyrus-Medial",
    154: "Middle-Temporal-Gyrus",
    156: "Occipital-Pole",
    160: "Occipital-Fusiform-Gyrus",
    162: "Inferior-Frontal-Gyrus-Opercular",
    164: "Inferior-Frontal-Gyrus-Orbital",
    166: "Posterior-Cingulate-Gyrus",
    168: "Precuneus",
    170: "Parahippocampal-Gyrus",
    172: "Posterior-Insula",
    174: "Parietal-Operculum",
    176: "Postcentral-Gyrus",
    178: "Posterior-Orbital-Gyrus",
    180: "Planum-Polare",
    182: "Precentral-Gyrus",
    184: "Planum-Temporale",
    186: "Subcallosal-Area",
    190: "Superior-Frontal-Gyrus",
    192: "Supplementary-Motor-Cortex",
    194: "Supramarginal-Gyrus",
    196: "Superior-Occipital-Gyrus",
    198: "Superior-Parietal-Lobule",
    200: "Superior-Temporal-Gyrus",
    202: "Temporal-Pole",
    204: "Inferior-Frontal-Gyrus-Triangular",
    206: "Transverse-Temporal-Gyrus",
}
GOLDEN_RATIO = 0.618034


def _colour(number: int) -> Colour:
    """Neighbours in the list are far apart in hue; three levels of brightness."""
    brightness = (0.95, 0.75, 0.6)[number % 3]
    r, g, b = colorsys.hsv_to_rgb(number * GOLDEN_RATIO % 1.0, 0.6, brightness)
    return round(255 * r), round(255 * g), round(255 * b)


_PARCELS = tuple(
    Structure(name, "grey", _colour(n), right + 1, right, CORTEX)
    for n, (right, name) in enumerate(CORTICAL_REGIONS.items())
)
_OTHERS = (
    # FreeSurfer's cerebellar cortex includes the vermis, its ventral diencephalon most of the
    # basal forebrain; the label maps count the chiasm among the fluid around it.
    Structure("Vermis-I-V", "grey", (200, 110, 20), 71, 71, "Cerebellum-Cortex"),
    Structure("Vermis-VI-VII", "grey", (250, 180, 90), 72, 72, "Cerebellum-Cortex"),
    Structure("Vermis-VIII-X", "grey", (170, 90, 30), 73, 73, "Cerebellum-Cortex"),
    Structure("Basal-Forebrain", "grey", (110, 140, 60), 75, 76, "VentralDC"),
    Structure("Optic-Chiasm", "white", (234, 169, 30), 85, 85, "CSF"),
)

# Seen on three scans of the challenge, as `t1-open` and as hand drew them: FreeSurfer's caudate,
# putamen and pallidum have a rim of white matter (1.2 times the volume), its hippocampus is 1.3,
# its amygdala twice the size, the ventral diencephalon 0.7. But for the amygdala at most a tenth
# of what lies a voxel inside belongs to something else (accumbens: a seventh).
_REDRAWN = (
    *((name, 1) for name in ("Caudate", "Putamen", "Pallidum", "Accumbens-area", "Thalamus")),
    *((name, 1) for name in ("VentralDC", "Hippocampus", "Brain-Stem")),
    *((name, 1) for name in ("Lateral-Ventricle", "Inf-Lat-Vent", "3rd-Ventricle")),
    ("Amygdala", 2),
)

NEUROMORPHOMETRICS = LabelTable(
    "neuromorphometrics",
    (*(s for s in FREESURFER.structures if s.name != CORTEX), *_OTHERS, *_PARCELS),
    _REDRAWN,
)

# Ids of the challenge's label images -> FreeSurfer. The marker (74), basal forebrain (75 76) and
# optic chiasm (69) have no FreeSurfer twin and become background; vermal lobules (71-73) have no
# side: `vermis_to_hemispheres` splits them first.
NEUROMORPHOMETRICS_TO_FREESURFER: Mapping[int, int] = {
    **{4: 14, 11: 15, 15: 24, 23: 58, 30: 26, 31: 54, 32: 18, 33: 54, 34: 18, 35: 16, 36: 50},
    **{37: 11, 38: 47, 39: 8, 40: 46, 41: 7, 42: 42, 43: 3, 44: 41, 45: 2, 46: 24, 47: 53},
    **{48: 17, 49: 44, 50: 5, 51: 43, 52: 4, 53: 41, 54: 2, 55: 52, 56: 13, 57: 51, 58: 12},
    **{59: 49, 60: 10, 61: 60, 62: 28, 63: 41, 64: 2, 65: 3, 66: 42, 69: 0, 74: 0, 75: 0, 76: 0},
    **{region: (3 if region % 2 else 42) for region in range(100, 208)},
}
VERMIS: tuple[int, ...] = (71, 72, 73)

# Ids of the challenge's label images -> ids of `NEUROMORPHOMETRICS`: cortex that no region claims
# (42 43 65 66, some hundred voxels a scan) becomes background.
NEUROMORPHOMETRICS_IDS: Mapping[int, int] = {
    **NEUROMORPHOMETRICS_TO_FREESURFER,
    **{42: 0, 43: 0, 65: 0, 66: 0, 69: 85, 71: 71, 72: 72, 73: 73, 75: 75, 76: 76},
    **dict.fromkeys(range(100, 208), 0),
    **{region + side: region + side for region in CORTICAL_REGIONS for side in (0, 1)},
}
