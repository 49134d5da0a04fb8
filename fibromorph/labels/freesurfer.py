"""FreeSurfer's structures, and what label maps for training distinguish beyond them."""

from __future__ import annotations

from collections.abc import Mapping

from fibromorph.labels.table import Colour, LabelTable, Structure, Tissue

CORTEX = "Cerebral-Cortex"
"""Of the cerebrum, whole; regions of it name it as their parent."""


def _pair(name: str, tissue: Tissue, colour: Colour, left: int, right: int) -> Structure:
    return Structure(name, tissue, colour, left, right)


def _midline(name: str, tissue: Tissue, colour: Colour, label_id: int) -> Structure:
    return Structure(name, tissue, colour, label_id, label_id)


FREESURFER = LabelTable(
    "freesurfer",
    (
        _pair("Cerebral-White-Matter", "white", (245, 245, 245), 2, 41),
        _pair(CORTEX, "grey", (205, 62, 78), 3, 42),
        _pair("Lateral-Ventricle", "csf", (120, 18, 134), 4, 43),
        _pair("Inf-Lat-Vent", "csf", (196, 58, 250), 5, 44),
        _pair("Cerebellum-White-Matter", "white", (220, 248, 164), 7, 46),
        _pair("Cerebellum-Cortex", "grey", (230, 148, 34), 8, 47),
        _pair("Thalamus", "grey", (0, 118, 14), 10, 49),
        _pair("Caudate", "grey", (122, 186, 220), 11, 50),
        _pair("Putamen", "grey", (236, 13, 176), 12, 51),
        _pair("Pallidum", "grey", (12, 48, 255), 13, 52),
        _midline("3rd-Ventricle", "csf", (204, 182, 142), 14),
        _midline("4th-Ventricle", "csf", (42, 204, 164), 15),
        _midline("Brain-Stem", "white", (119, 159, 176), 16),
        _pair("Hippocampus", "grey", (220, 216, 20), 17, 53),
        _pair("Amygdala", "grey", (103, 255, 255), 18, 54),
        _midline("CSF", "csf", (60, 60, 180), 24),
        _pair("Accumbens-area", "grey", (255, 165, 0), 26, 58),
        _pair("VentralDC", "white", (165, 42, 42), 28, 60),
    ),
)

# What label maps for training carry beyond the table, and the structure that each lies in:
# choroid plexus (136 137 163 164 there, 31 63 in FreeSurfer's own), white matter lesions (25 57),
# vessels (30 62), fifth ventricle (72), optic chiasm (85).
# And what other tools of FreeSurfer write: hypointensities with a side (78 79 81 82), the vermis
# with a side (183 184), fluid around the brain (257), parts of the brain stem (170 173 174 175
# 178), and what is no brain: undetermined (29 61), air (130), skull (165), head (258), eyes (259).
# Source: FreeSurferColorLUT.txt.
FREESURFER_MERGED: Mapping[int, int] = {
    **{25: 2, 30: 2, 31: 4, 57: 41, 62: 41, 63: 43, 72: 24, 85: 24},
    **{136: 4, 137: 5, 163: 43, 164: 44},
    **{78: 2, 79: 41, 81: 2, 82: 41, 183: 8, 184: 47, 257: 24},
    **dict.fromkeys((170, 173, 174, 175, 178), 16),
    **dict.fromkeys((29, 61, 130, 165, 258, 259), 0),
}

FREESURFER_MIDLINE: Mapping[int, tuple[int, int]] = {
    **dict.fromkeys((77, 80, 192, *range(251, 256)), (2, 41)),
    172: (8, 47),
}
"""Hypointensities, the corpus callosum and the vermis, which have no side, and the left and the
right structure of which the nearer one takes them."""

FREESURFER_PARCELS: tuple[tuple[int, int, int], ...] = (
    *((1000, 1999, 3), (2000, 2999, 42), (3000, 3999, 2), (4000, 4999, 41)),
    *((5001, 5001, 2), (5002, 5002, 41)),
    *((11100, 11199, 3), (12100, 12199, 42), (13100, 13199, 2), (14100, 14199, 41)),
)
"""First and last id of regions of cortex and white matter, and what they are parts of. Source:
FreeSurferColorLUT.txt."""

# The 27 structures of the MICCAI 2012 multi-atlas challenge that FreeSurfer's protocol shares.
STRUCTURES_27: tuple[int, ...] = (
    *(2, 3, 4, 7, 8, 10, 11, 12, 13, 17, 18, 28),
    *(41, 42, 43, 46, 47, 49, 50, 51, 52, 53, 54, 60),
    *(14, 15, 16),
)
