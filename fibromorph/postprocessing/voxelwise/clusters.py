"""Where a question found something, and where it came nearest to that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from nibabel.affines import apply_affine
from numpy.typing import NDArray
from scipy.ndimage import generate_binary_structure, label
from scipy.spatial import cKDTree

from fibromorph.postprocessing.names import plain_name
from fibromorph.postprocessing.stats.designs.sections import Inference as Levels
from fibromorph.postprocessing.stats.models.linear import Bools, Ints
from fibromorph.postprocessing.voxelwise.effects import effect_of, interval_of
from fibromorph.postprocessing.voxelwise.inference import Inference, uncorrected_p
from fibromorph.postprocessing.voxelwise.maps import TissueMaps
from fibromorph.postprocessing.voxelwise.question import Question

PEAKS_BELOW = 5
"""Peaks that did not survive, which are told with those that did."""
APART_MM = 20.0
LEAST_SHARE = 0.05
COLUMNS = (
    *("question", "survives", "direction", "size_ml", "x_mm", "y_mm", "z_mm", "t", "effect"),
    *("value", "ci_low", "ci_high", "p_fwe", "p_voxel", "p_tfce", "p_cluster", "p_uncorrected"),
    *("region", "regions"),
)


@dataclass(frozen=True, eq=False)
class Places:
    """A question, what was found, and where voxels lie.

    Attributes:
        regions: (V,) names.
        levels: alpha and confidence.
    """

    question: Question
    inference: Inference
    maps: TissueMaps
    regions: NDArray[np.str_]
    levels: Levels

    @property
    def survives(self) -> Bools:
        """(V,) voxels whose corrected p, by the statistic that decides, is at most alpha."""
        return np.asarray(self.inference.p[self.inference.primary] <= self.levels.alpha)


def table_of(places: Places) -> pd.DataFrame:
    """A row a cluster of what survives, the largest |t| first, then peaks that do not survive.

    Clusters are voxels of one sign that share faces. `p_fwe` is the smallest in the cluster of the
    statistic that decides; all else is that of the peak, the largest |t|.
    """
    found = sorted(_clusters(places), key=lambda cluster: -_height(places, cluster))
    rows = [_row(places, cluster, survives=True) for cluster in found]
    rows += [_row(places, peak, survives=False) for peak in _below(places)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _clusters(places: Places) -> Iterator[Ints]:
    """Numbers of the voxels of each."""
    maps, t = places.maps, places.inference.t
    for sign in (-1, 1):
        volume = maps.spread(places.survives & (sign * t > 0))
        labels, count = label(volume, generate_binary_structure(3, 1))
        members = labels[maps.mask]
        for number in range(1, count + 1):
            yield np.flatnonzero(members == number)


def _below(places: Places) -> Iterator[Ints]:
    """The largest |t| among what did not survive, away from what did and from each other."""
    mm = _mm(places)
    free = ~_near(mm, mm[places.survives]) & ~places.survives
    size = np.abs(places.inference.t)
    for _ in range(PEAKS_BELOW):
        if not (free & (size > 0)).any():
            return
        peak = int(np.where(free, size, -1.0).argmax())
        free &= ~_near(mm, mm[[peak]])
        yield np.array([peak])


def _near(mm: NDArray[np.float64], others: NDArray[np.float64]) -> Bools:
    """(V,) whether a voxel is nearer than `APART_MM` to one of the others."""
    if not len(others):
        return np.zeros(len(mm), dtype=bool)
    distance, _ = cKDTree(others).query(mm, distance_upper_bound=APART_MM)
    return np.asarray(np.isfinite(distance))


def _mm(places: Places) -> NDArray[np.float64]:
    voxels = np.argwhere(places.maps.mask)
    return np.asarray(apply_affine(places.maps.affine, voxels))


def _height(places: Places, cluster: Ints) -> float:
    return float(np.abs(places.inference.t[cluster]).max())


def _row(places: Places, cluster: Ints, *, survives: bool) -> dict[str, object]:
    question, inference = places.question, places.inference
    peak = int(cluster[np.abs(inference.t[cluster]).argmax()])
    t = float(inference.t[peak])
    low, high = interval_of(question, t, places.levels.confidence)
    x, y, z = (float(value) for value in _mm(places)[peak])
    at_peak = {f"p_{name}": float(p[peak]) for name, p in inference.p.items()}
    return {
        "question": question.name,
        "survives": "yes" if survives else "no",
        "direction": question.lower if t < 0 else question.higher,
        "size_ml": len(cluster) * places.maps.voxel_ml if survives else float("nan"),
        **{"x_mm": x, "y_mm": y, "z_mm": z, "t": t, "effect": question.effect},
        "value": float(effect_of(question, np.array(t))),
        **{"ci_low": low, "ci_high": high},
        "p_fwe": float(inference.p[inference.primary][cluster].min()),
        **{"p_tfce": float("nan"), "p_cluster": float("nan"), **at_peak},
        "p_uncorrected": float(uncorrected_p(np.array(t), question.df)),
        "region": plain_name(str(places.regions[peak])),
        "regions": _shares(places, cluster) if survives else "",
    }


def _shares(places: Places, cluster: Ints) -> str:
    """`Left thalamus 80 %, Left caudate 12 %`: regions that have a share of five per cent."""
    counts = Counter(places.regions[cluster].tolist()).most_common()
    return ", ".join(
        f"{plain_name(name)} {100 * count / len(cluster):.0f} %"
        for name, count in counts
        if count >= LEAST_SHARE * len(cluster)
    )
