"""Label tables, and the mapping between the protocols that label images come in.

Ids are FreeSurfer's wherever FreeSurfer has the structure. A lateralised structure is one
`Structure` with a left and a right id: networks predict structures and the side apart, tables and
images carry ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fibromorph.errors import LabelError

Hemisphere = Literal["left", "right", "midline"]
Tissue = Literal["grey", "white", "csf"]
Colour = tuple[int, int, int]
LabelImage = NDArray[np.integer]


@dataclass(frozen=True)
class Label:
    """One row of a label table; `name` carries the side, as in FreeSurfer's own tables."""

    id: int
    name: str
    hemisphere: Hemisphere
    tissue: Tissue
    colour: Colour


@dataclass(frozen=True)
class Structure:
    """An anatomical structure with its ids on both sides (the same id twice on the midline)."""

    name: str
    tissue: Tissue
    colour: Colour
    left_id: int
    right_id: int

    @property
    def lateralised(self) -> bool:
        return self.left_id != self.right_id

    @property
    def labels(self) -> tuple[Label, ...]:
        """The left and the right row, or the one row of a midline structure."""
        if not self.lateralised:
            return (Label(self.left_id, self.name, "midline", self.tissue, self.colour),)
        return (
            Label(self.left_id, f"Left-{self.name}", "left", self.tissue, self.colour),
            Label(self.right_id, f"Right-{self.name}", "right", self.tissue, self.colour),
        )


@dataclass(frozen=True)
class LabelTable:
    """The structures that a bundle or a reference segmentation distinguishes.

    Attributes:
        protocol: name of the protocol that drew the borders.
        structures: in the order of the network's classes; background is class 0 and not listed.
    """

    protocol: str
    structures: tuple[Structure, ...]

    @property
    def labels(self) -> tuple[Label, ...]:
        """All rows: left and midline structures first, then the right twins."""
        first = [s.labels[0] for s in self.structures]
        twins = [s.labels[1] for s in self.structures if s.lateralised]
        return (*first, *twins)

    @property
    def ids(self) -> tuple[int, ...]:
        return tuple(label.id for label in self.labels)

    def __iter__(self) -> Iterator[Label]:
        return iter(self.labels)

    def __getitem__(self, label_id: int) -> Label:
        for label in self.labels:
            if label.id == label_id:
                return label
        raise LabelError(f"label ids must be in the {self.protocol} table", value=label_id)

    def class_of_id(self) -> dict[int, int]:
        """Label id -> network class (1-based; left and right twins share a class)."""
        return {
            label.id: index
            for index, structure in enumerate(self.structures, start=1)
            for label in structure.labels
        }

    def side_of_id(self) -> dict[int, int]:
        """Label id -> 1 for left, 2 for right, 0 for midline."""
        code = {"left": 1, "right": 2, "midline": 0}
        return {label.id: code[label.hemisphere] for label in self.labels}


def _pair(name: str, tissue: Tissue, colour: Colour, left: int, right: int) -> Structure:
    return Structure(name, tissue, colour, left, right)


def _midline(name: str, tissue: Tissue, colour: Colour, label_id: int) -> Structure:
    return Structure(name, tissue, colour, label_id, label_id)


FREESURFER = LabelTable(
    "freesurfer",
    (
        _pair("Cerebral-White-Matter", "white", (245, 245, 245), 2, 41),
        _pair("Cerebral-Cortex", "grey", (205, 62, 78), 3, 42),
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
# vessels (30 62), fifth ventricle (72), optic chiasm (85), hypointensities (77).
FREESURFER_MERGED: Mapping[int, int] = {
    **{25: 2, 30: 2, 31: 4, 57: 41, 62: 41, 63: 43, 72: 24, 77: 2, 85: 24},
    **{136: 4, 137: 5, 163: 43, 164: 44},
}

# The 27 structures of the MICCAI 2012 multi-atlas challenge that FreeSurfer's protocol shares.
STRUCTURES_27: tuple[int, ...] = (
    *(2, 3, 4, 7, 8, 10, 11, 12, 13, 17, 18, 28),
    *(41, 42, 43, 46, 47, 49, 50, 51, 52, 53, 54, 60),
    *(14, 15, 16),
)

# Neuromorphometrics (MICCAI 2012) -> FreeSurfer. Cortical regions 100-207 are odd on the left.
# Vitamin E marker (74), basal forebrain (75 76) and optic chiasm (69) have no FreeSurfer twin and
# become background; vermal lobules (71-73) have no side: `vermis_to_hemispheres` splits them.
NEUROMORPHOMETRICS_TO_FREESURFER: Mapping[int, int] = {
    **{4: 14, 11: 15, 15: 24, 23: 58, 30: 26, 31: 54, 32: 18, 33: 54, 34: 18, 35: 16, 36: 50},
    **{37: 11, 38: 47, 39: 8, 40: 46, 41: 7, 42: 42, 43: 3, 44: 41, 45: 2, 46: 24, 47: 53},
    **{48: 17, 49: 44, 50: 5, 51: 43, 52: 4, 53: 41, 54: 2, 55: 52, 56: 13, 57: 51, 58: 12},
    **{59: 49, 60: 10, 61: 60, 62: 28, 63: 41, 64: 2, 65: 3, 66: 42, 69: 0, 74: 0, 75: 0, 76: 0},
    **{region: (3 if region % 2 else 42) for region in range(100, 208)},
}
NEUROMORPHOMETRICS_VERMIS: tuple[int, ...] = (71, 72, 73)

# FreeSurfer ids that a protocol draws so differently, or so rarely, that no score is meaningful:
# the fluid around the brain is not labelled in Neuromorphometrics.
NOT_COMPARABLE: Mapping[str, tuple[int, ...]] = {"freesurfer": (), "neuromorphometrics": (24,)}


def unknown_ids(image: LabelImage, known: Iterable[int]) -> list[int]:
    """The ids in `image` that are neither background nor in `known`, sorted."""
    present = set(np.unique(image).tolist())
    return sorted(present - set(known) - {0})


def remap(image: LabelImage, mapping: Mapping[int, int], subject: str = "") -> NDArray[np.int32]:
    """Translate every id of `image` by `mapping`; background stays 0.

    Args:
        image: integer ids, any shape, not negative.
        mapping: id -> id; ids present in the image must be keys.
        subject: the file named in the error.

    Raises:
        LabelError: an id of the image is not in the mapping.
    """
    strange = unknown_ids(image, mapping)
    if strange:
        raise LabelError(
            "every label id must be known to the protocol", value=strange[:20], subject=subject
        )
    lookup = np.zeros(int(image.max(initial=0)) + 1, dtype=np.int32)
    for source, target in mapping.items():
        if 0 <= source < lookup.size:
            lookup[source] = target
    return lookup[image]


def vermis_to_hemispheres(image: LabelImage) -> NDArray[np.int32]:
    """Give the vermis of a Neuromorphometrics image to the nearer cerebellar hemisphere.

    FreeSurfer has no vermis: its left and right cerebellar cortex meet in the middle.

    Args:
        image: (i, j, k) Neuromorphometrics ids.

    Returns:
        (i, j, k) the same ids with 71-73 replaced by 38 (right) or 39 (left).
    """
    from scipy.ndimage import distance_transform_edt

    out = image.astype(np.int32)
    vermis = np.isin(out, NEUROMORPHOMETRICS_VERMIS)
    if vermis.any():
        to_right = distance_transform_edt(out != 38)
        to_left = distance_transform_edt(out != 39)
        out[vermis] = np.where(to_right <= to_left, 38, 39)[vermis]
    return out


def to_freesurfer(image: LabelImage, protocol: str, subject: str = "") -> NDArray[np.int32]:
    """A reference segmentation in `FREESURFER` ids.

    Args:
        image: (i, j, k) integer ids.
        protocol: 'freesurfer' or 'neuromorphometrics'.
        subject: the file named in errors.

    Raises:
        LabelError: unknown protocol, or an id that it does not have.
    """
    if protocol == "freesurfer":
        same = {label_id: label_id for label_id in FREESURFER.ids}
        # 500 and above: tissue outside the brain, in the label maps for training.
        outside = {label_id: 0 for label_id in np.unique(image).tolist() if label_id >= 500}
        return remap(image, {**same, **FREESURFER_MERGED, **outside}, subject)
    if protocol == "neuromorphometrics":
        return remap(vermis_to_hemispheres(image), NEUROMORPHOMETRICS_TO_FREESURFER, subject)
    raise LabelError(
        "protocol must be 'freesurfer' or 'neuromorphometrics'", value=protocol, subject=subject
    )
