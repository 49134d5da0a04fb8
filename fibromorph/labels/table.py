"""What a label table is: structures with their ids on both sides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    """One row of a label table; `name` carries the side, as in FreeSurfer's own tables.

    `parent` is the structure that this one is a part of in a coarser protocol, '' = none.
    """

    id: int
    name: str
    hemisphere: Hemisphere
    tissue: Tissue
    colour: Colour
    parent: str = ""


@dataclass(frozen=True)
class Structure:
    """An anatomical structure with its ids on both sides (the same id twice on the midline).

    Attributes:
        name: without a side.
        tissue, colour: of both sides.
        left_id, right_id: label ids.
        parent: name of the structure that this is a part of in a coarser protocol, '' = none.
    """

    name: str
    tissue: Tissue
    colour: Colour
    left_id: int
    right_id: int
    parent: str = ""

    @property
    def lateralised(self) -> bool:
        return self.left_id != self.right_id

    @property
    def labels(self) -> tuple[Label, ...]:
        """The left and the right row, or the one row of a midline structure."""
        if not self.lateralised:
            return (self._label(self.left_id, self.name, "midline"),)
        return (
            self._label(self.left_id, f"Left-{self.name}", "left"),
            self._label(self.right_id, f"Right-{self.name}", "right"),
        )

    def _label(self, label_id: int, name: str, hemisphere: Hemisphere) -> Label:
        return Label(label_id, name, hemisphere, self.tissue, self.colour, self.parent)


@dataclass(frozen=True)
class LabelTable:
    """The structures that a bundle or a reference segmentation distinguishes.

    Attributes:
        protocol: name of the protocol that drew the borders.
        structures: in the order of the network's classes; background is class 0 and not listed.
        redrawn: structures whose borders run elsewhere than FreeSurfer's, and by how many
            millimetres on either side of those.
    """

    protocol: str
    structures: tuple[Structure, ...]
    redrawn: tuple[tuple[str, int], ...] = ()

    @property
    def labels(self) -> tuple[Label, ...]:
        """All rows: left and midline structures first, then the right twins."""
        first = [s.labels[0] for s in self.structures]
        twins = [s.labels[1] for s in self.structures if s.lateralised]
        return (*first, *twins)

    @property
    def ids(self) -> tuple[int, ...]:
        return tuple(label.id for label in self.labels)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the structures, in order."""
        return tuple(structure.name for structure in self.structures)

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

    def class_of_name(self, name: str) -> int:
        """Network class of a structure, or of the first part of one that the table only has in
        parts; 0 for 'background' and for what it does not have."""
        if name in self.names:
            return self.names.index(name) + 1
        parents = [structure.parent for structure in self.structures]
        return parents.index(name) + 1 if name and name in parents else 0

    def coarse_classes(self) -> tuple[int, ...]:
        """For every class, background first, the class that stands for it and all its siblings in
        the coarser protocol that `parent` names: itself where it has no parent."""
        stands = (self.class_of_name(s.parent) if s.parent else 0 for s in self.structures)
        own = range(1, len(self.structures) + 1)
        return (0, *(rep or itself for rep, itself in zip(stands, own, strict=True)))

    def border_widths(self) -> tuple[int, ...]:
        """For every class, background first, how many millimetres around FreeSurfer's border the
        border of this protocol may run; 0 where both are one."""
        widths = dict(self.redrawn)
        return (0, *(widths.get(name, 0) for name in self.names))

    def ids_of(self, name: str) -> list[int]:
        """Ids of the structure called `name`, or of its parts where the table only has those."""
        found = [s for s in self.structures if s.name == name]
        found = found or [s for s in self.structures if s.parent == name]
        return [label.id for structure in found for label in structure.labels]


def lookup_of(mapping: Mapping[int, int]) -> NDArray[np.int32]:
    """An array that translates ids by indexing; what the mapping does not name becomes 0."""
    lookup = np.zeros(max(mapping, default=0) + 1, dtype=np.int32)
    for source, target in mapping.items():
        lookup[source] = target
    return lookup
