"""Label images of one protocol in the ids of another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fibromorph.errors import LabelError
from fibromorph.labels.freesurfer import (
    CORTEX,
    FREESURFER,
    FREESURFER_MERGED,
    FREESURFER_MIDLINE,
    FREESURFER_PARCELS,
)
from fibromorph.labels.neuromorphometrics import (
    NEUROMORPHOMETRICS,
    NEUROMORPHOMETRICS_IDS,
    NEUROMORPHOMETRICS_TO_FREESURFER,
    VERMIS,
)
from fibromorph.labels.table import LabelImage, LabelTable, lookup_of

TABLES: Mapping[str, LabelTable] = {t.protocol: t for t in (FREESURFER, NEUROMORPHOMETRICS)}
"""The protocols that networks are trained in, by name."""

# Ids of a table that a protocol draws so differently, or so rarely, that no score is meaningful:
# the fluid around the brain is not labelled in Neuromorphometrics.
NOT_COMPARABLE: Mapping[str, tuple[int, ...]] = {"freesurfer": (), "neuromorphometrics": (24,)}

CEREBRUM = (CORTEX, "Cerebral-White-Matter")
"""Structures that every protocol draws, whole or in parts."""


def table_of(protocol: str) -> LabelTable:
    """The table of a protocol.

    Raises:
        LabelError: there is none of this name.
    """
    if protocol not in TABLES:
        raise LabelError(f"protocol must be one of {', '.join(TABLES)}", value=protocol)
    return TABLES[protocol]


def unknown_ids(image: LabelImage, known: Iterable[int]) -> list[int]:
    """The ids in `image` that are neither background nor in `known`, sorted."""
    present = set(np.unique(image).tolist())
    return sorted(present - set(known) - {0})


def remap(
    image: LabelImage,
    mapping: Mapping[int, int],
    subject: str = "",
    *,
    ignore_unknown: bool = False,
) -> NDArray[np.int32]:
    """Translate every id of `image` by `mapping`; background stays 0.

    Args:
        image: integer ids, any shape.
        mapping: id -> id; ids present in the image must be keys.
        subject: the file named in the error.
        ignore_unknown: let ids that are no keys become background instead.

    Raises:
        LabelError: an id of the image is not in the mapping.
    """
    strange = unknown_ids(image, mapping)
    if strange and not ignore_unknown:
        raise LabelError(
            "every label id must be known to the protocol (training can ignore_unknown ones)",
            value=strange[:20],
            subject=subject,
        )
    if strange:
        image = np.where(np.isin(image, strange), 0, image)
    translated: NDArray[np.int32] = lookup_of(mapping)[image]
    return translated


def vermis_to_hemispheres(image: LabelImage, right: int = 38, left: int = 39) -> NDArray[np.int32]:
    """Give the vermis to the nearer cerebellar hemisphere.

    FreeSurfer has no vermis: its left and right cerebellar cortex meet in the middle.

    Args:
        image: (i, j, k) ids with vermal lobules 71-73.
        right, left: ids of the cerebellar cortex, by default those of the challenge's images.

    Returns:
        (i, j, k) the same ids with 71-73 replaced by `right` or `left`.
    """
    return _to_nearer(image, VERMIS, right, left)


def midline_to_hemispheres(image: LabelImage) -> NDArray[np.int32]:
    """Give what FreeSurfer draws without a side to the nearer hemisphere.

    Args:
        image: (i, j, k) FreeSurfer ids, the white matter as 2 and 41, not in regions.

    Returns:
        (i, j, k) the same ids with those of `FREESURFER_MIDLINE` replaced.
    """
    out = image.astype(np.int32)
    for left, right in sorted(set(FREESURFER_MIDLINE.values())):
        ids = [i for i, sides in FREESURFER_MIDLINE.items() if sides == (left, right)]
        out = _to_nearer(out, ids, right, left)
    return out


def _to_nearer(image: LabelImage, ids: Iterable[int], right: int, left: int) -> NDArray[np.int32]:
    """Ids without a side replaced by the nearer of two that have one."""
    from scipy.ndimage import distance_transform_edt, find_objects

    out = image.astype(np.int32)
    middle = np.isin(out, list(ids))
    if middle.any():
        # All that distances are taken between lies in this box, a fraction of the field of view.
        (box,) = find_objects((middle | (out == right) | (out == left)).astype(np.uint8))
        part, inside = out[box], middle[box]
        # Of an id that is nowhere in the image there is no distance.
        to_right, to_left = (
            distance_transform_edt(part != i) if (part == i).any() else np.full(part.shape, np.inf)
            for i in (right, left)
        )
        part[inside] = np.where(to_right <= to_left, right, left)[inside]
    return out


def parcels_to_wholes(image: LabelImage) -> NDArray[np.int32]:
    """Give regions of FreeSurfer's cortex and white matter the id of what they are parts of.

    Args:
        image: ids of `aparc+aseg`, `aparc.a2009s+aseg` or `wmparc`, any shape.

    Returns:
        The same ids with those of `FREESURFER_PARCELS` replaced by 3 42 2 41.
    """
    out = image.astype(np.int32)
    for first, last, whole in FREESURFER_PARCELS:
        out[(first <= out) & (out <= last)] = whole
    return out


def require_cerebrum(image: LabelImage, table: LabelTable, subject: str | Path = "") -> None:
    """See that nobody trains on a head whose brain was lost, with ids that were not understood.

    Args:
        image: ids of `table`.
        table: whose ids these are.
        subject: the file named in the error.

    Raises:
        LabelError: it shows no cerebral cortex, or no cerebral white matter.
    """
    for name in CEREBRUM:
        if not np.isin(image, table.ids_of(name)).any():
            rule = "labels must show the brain, with cerebral cortex and white matter"
            raise LabelError(rule, value=f"no {name}", subject=subject)


def to_freesurfer(
    image: LabelImage, protocol: str, subject: str = "", *, ignore_unknown: bool = False
) -> NDArray[np.int32]:
    """A reference segmentation in `FREESURFER` ids.

    Args:
        image: (i, j, k) integer ids as the protocol's images carry them; of FreeSurfer's those of
            `aseg`, `aparc+aseg` or `wmparc`.
        protocol: 'freesurfer' or 'neuromorphometrics'.
        subject: the file named in errors.
        ignore_unknown: see `remap`.

    Raises:
        LabelError: unknown protocol, or an id that it does not have.
    """
    if table_of(protocol) is NEUROMORPHOMETRICS:
        sided, known = vermis_to_hemispheres(image), NEUROMORPHOMETRICS_TO_FREESURFER
        return remap(sided, known, subject, ignore_unknown=ignore_unknown)
    kept = {i: i for i in (*FREESURFER.ids, *FREESURFER_MIDLINE)}
    # Tissue outside the brain, in the label maps for training.
    outside = dict.fromkeys(range(500, 600), 0)
    # The white matter of `wmparc` lies in regions: made whole first, or no side would be near.
    known = {**kept, **FREESURFER_MERGED, **outside}
    whole = remap(parcels_to_wholes(image), known, subject, ignore_unknown=ignore_unknown)
    return midline_to_hemispheres(whole)


def to_table(
    image: LabelImage,
    protocol: str,
    table: LabelTable,
    subject: str = "",
    *,
    ignore_unknown: bool = False,
) -> NDArray[np.int32]:
    """A reference segmentation in the ids of `table`.

    Args:
        image: (i, j, k) integer ids as the protocol's images carry them.
        protocol: of the image.
        table: whose ids are wanted.
        subject: the file named in errors.
        ignore_unknown: see `remap`.

    Raises:
        LabelError: unknown protocol, an id that it does not have, or a table that is finer.
    """
    if table.protocol == FREESURFER.protocol:
        return to_freesurfer(image, protocol, subject, ignore_unknown=ignore_unknown)
    if protocol != table.protocol:
        raise LabelError(
            f"reference labels must be of the {table.protocol} protocol, as the network's",
            value=protocol,
            subject=subject,
        )
    return remap(image, NEUROMORPHOMETRICS_IDS, subject, ignore_unknown=ignore_unknown)


def coarsened(image: LabelImage, table: LabelTable) -> NDArray[np.int32]:
    """A segmentation in `table`'s ids as FreeSurfer would name its structures.

    Regions become the cortex of their side, the vermis goes to the nearer hemisphere; what
    FreeSurfer does not draw (basal forebrain, chiasm) becomes background.

    Args:
        image: (i, j, k) ids of `table`.
        table: of the segmentation.
    """
    if table.protocol == FREESURFER.protocol:
        return image.astype(np.int32)
    mapping = dict.fromkeys(table.ids, 0) | {i: i for i in table.ids if i in FREESURFER.ids}
    cortex = {"left": 3, "right": 42}
    mapping |= {label.id: cortex[label.hemisphere] for label in table if label.parent == CORTEX}
    return remap(vermis_to_hemispheres(image, right=47, left=8), mapping)
