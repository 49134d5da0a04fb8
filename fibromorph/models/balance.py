"""Borders shifted until volumes of scans that were not trained on have no mean error.

A network may be right about where a structure is and yet draw its border a little too far out in
everyone, as the labels of another protocol have taught it. A constant added to a structure's logit
moves its whole border; which constants balance all volumes at once follows from the volumes' mean
errors and from how the posteriors of one scan answer to such constants.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from fibromorph.errors import TableError
from fibromorph.labels import LabelTable
from fibromorph.models.graph import POSTERIOR_FLOOR

FEWEST_SCANS = 5
SMALLEST_ML = 0.4
"""Of the mean reference: the error of what is smaller is that of a few voxels."""

Errors = Mapping[int, float]
"""Class -> mean relative error of its volume, see `read_errors`."""


def read_errors(path: Path, table: LabelTable) -> Errors:
    """Mean relative errors of volumes from the `scores.tsv` of `fibromorph evaluate`.

    A volume is the mean of the counted and the summed one: they differ by one or two per cent, so
    none of them is off by more than one. Both sides count together, and the parts of a structure as
    one. A mean e of standard error s is
    shrunk to e (1 - s^2 / e^2), or to 0 where that is less (positive-part James-Stein estimate):
    what a few scans cannot tell from chance is left as it is.

    Args:
        path: of scans that the weights, or those of their folds, have not seen.
        table: the network's.

    Returns:
        Class, the first part's of a structure in parts -> mean error.

    Raises:
        TableError: no such table, or fewer than `FEWEST_SCANS` scans scored by this protocol.
    """
    volumes = _volumes(path, table)
    found = (volumes.volume_ml + volumes.soft_volume_ml) / 2
    errors = (found / volumes.reference_ml - 1).unstack("scan")
    if errors.shape[1] < FEWEST_SCANS:
        rule = f"a mean error needs {FEWEST_SCANS} scans or more, scored by {table.protocol}"
        raise TableError(rule, value=errors.shape[1], subject=path)
    large = volumes.reference_ml.groupby("class").mean() >= SMALLEST_ML
    everywhere = errors[large & errors.notna().all(axis=1)]
    means = (_shrunk(row) for row in everywhere.to_numpy())
    return dict(zip(everywhere.index.astype(int), means, strict=True))


def balancing_offsets(
    posteriors: Iterable[Tensor], errors: Errors, table: LabelTable
) -> dict[str, float]:
    """What to add to the logits of structures so that their mean volume errors vanish.

    With V the summed posteriors, P those of a voxel, d the constants, dV_a / dd_b is the sum of
    P_a ([a = b] - P_b). The constants solve V + (dV / dd) d = V / (1 + e) for the structures of
    `errors`.

    Args:
        posteriors: (classes, ...) of one scan, in any number of parts.
        errors: from `read_errors`.
        table: the network's.

    Returns:
        Name of a structure -> constant; the parts of one have the same.
    """
    whole = torch.tensor(table.coarse_classes())
    count = len(whole)
    volumes, slopes = torch.zeros(count), torch.zeros(count, count)
    for part in posteriors:
        flat = part.flatten(1)
        coarse = torch.zeros_like(flat).index_add_(0, whole, flat)
        coarse = torch.where(coarse > POSTERIOR_FLOOR, coarse, 0.0)
        sums = coarse.sum(1)
        volumes += sums
        slopes += torch.diag(sums) - coarse @ coarse.T
    chosen = [cls for cls in errors if volumes[cls] > 0]
    answer = (slopes[chosen][:, chosen] / volumes[chosen][:, None]).double().numpy()
    wanted = np.array([-errors[cls] / (1 + errors[cls]) for cls in chosen])
    constants = dict(zip(chosen, np.linalg.solve(answer, wanted).tolist(), strict=True))
    return {
        name: round(constants[int(cls)], 3)
        for name, cls in zip(table.names, whole[1:], strict=True)
        if int(cls) in constants
    }


def _volumes(path: Path, table: LabelTable) -> pd.DataFrame:
    """A row a class and scan: counted, soft and reference volume in ml."""
    volumes = ["volume_ml", "soft_volume_ml", "reference_ml"]
    columns = ["scan", "protocol", "region_id", *volumes]
    try:
        rows = pd.read_csv(path, sep="\t", usecols=columns, dtype={"scan": str})
    except (OSError, ValueError) as reason:
        rule = "must be the scores.tsv of an evaluation"
        raise TableError(rule, value=reason, subject=path) from None
    whole = table.coarse_classes()
    classes = {i: whole[cls] for i, cls in table.class_of_id().items() if whole[cls]}
    rows = rows[rows.protocol == table.protocol]
    rows = rows.assign(**{"class": rows.region_id.map(classes)}).dropna(subset="class")
    # A part whose volume is not known leaves its whole unknown: a sum would take it for empty.
    parts = rows.groupby(["class", "scan"])[volumes]
    return parts.sum().where(parts.count().eq(parts.size(), axis=0))


def _shrunk(errors: NDArray[np.float64]) -> float:
    mean, variance = float(errors.mean()), float(errors.var(ddof=1)) / len(errors)
    return mean * max(0.0, 1.0 - variance / max(mean * mean, 1e-12))
