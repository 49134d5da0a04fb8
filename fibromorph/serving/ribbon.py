"""Who draws the cortex of a scan as thin as it is: one bundle for the regions of any other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fibromorph.errors import ConfigError
from fibromorph.labels import FREESURFER
from fibromorph.manifest import Bundle
from fibromorph.postprocessing.components import keep_main_components, posteriors_moved
from fibromorph.postprocessing.thickness import Ribbon
from fibromorph.preprocess import Conformed
from fibromorph.serving.bundles import find_bundle
from fibromorph.serving.engine import Engine, Prediction

RIBBON_MODEL = "t1-open"
"""Draws the ribbon for bundles whose protocol is not FreeSurfer's."""


@dataclass(frozen=True, eq=False)
class DrawnRibbon:
    """What a bundle has drawn of a head by FreeSurfer's protocol.

    Attributes:
        by: name and version of the bundle.
        ribbon: its labels.
        soft_ml: label id -> posterior sum in ml.
    """

    by: str
    ribbon: Ribbon
    soft_ml: Mapping[int, float]


def ribbon_bundle(bundle: Bundle) -> Bundle:
    """The bundle that draws the ribbon beside `bundle`: itself, if its protocol is FreeSurfer's.

    Raises:
        ConfigError: its voxels are of another size, so that both cannot see the same box.
    """
    if bundle.manifest.protocol == FREESURFER.protocol:
        return bundle
    ribbon = find_bundle(RIBBON_MODEL)
    wanted, found = ribbon.manifest.network.spacing_mm, bundle.manifest.network.spacing_mm
    if found != wanted:
        rule = f"the ribbon is that of {RIBBON_MODEL}: a model must work at {wanted:g} mm"
        raise ConfigError(rule, value=f"{found:g} mm", subject=bundle.folder)
    return ribbon


def ribbon_engine(engine: Engine, device: str = "auto") -> Engine:
    """What draws the ribbon beside a loaded bundle: `engine` itself, or one of its own.

    Args:
        engine: of the bundle whose regions are told apart.
        device: see `Engine`.

    Raises:
        ConfigError: see `ribbon_bundle`, `Engine`.
        MissingExtraError, BundleError: see `Engine`.
    """
    bundle = ribbon_bundle(engine.bundle)
    return engine if bundle is engine.bundle else Engine(bundle, device, engine.threads)


def has_ribbon(bundle: Bundle) -> bool:
    """Whether there is a ribbon for a bundle's regions."""
    try:
        ribbon_bundle(bundle)
    except ConfigError:
        return False
    return True


def draw_ribbon(ribbon: Engine, conformed: Conformed) -> DrawnRibbon:
    """Labels of `FREESURFER` on the conformed grid, cleaned, and their posteriors.

    Args:
        ribbon: from `ribbon_engine`.
        conformed: the scan.
    """
    manifest = ribbon.bundle.manifest
    prediction = ribbon.segment(conformed.network_input, conformed.brain)
    labels = keep_main_components(prediction.labels, manifest.table)
    soft = soft_volumes(prediction, labels, conformed.grid.voxel_ml)
    return DrawnRibbon(manifest.full_name, Ribbon(labels, prediction.confidence), soft)


def soft_volumes(
    prediction: Prediction, cleaned: NDArray[np.uint8], voxel_ml: float
) -> dict[int, float]:
    """Posterior sums in ml, those of voxels that cleaning gave to another structure moved.

    Args:
        prediction: of the network.
        cleaned: (i, j, k) its labels after `keep_main_components`.
        voxel_ml: volume of a voxel.
    """
    moved = posteriors_moved(prediction.labels, cleaned, prediction.confidence)
    return {
        label_id: max(voxels + moved.get(label_id, 0.0), 0.0) * voxel_ml
        for label_id, voxels in prediction.soft_voxels.items()
    }
