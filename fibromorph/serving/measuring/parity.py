"""Every engine that is installed, against the reference, on one scan."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import numpy as np

from fibromorph.errors import ConfigError, MissingExtraError
from fibromorph.manifest import Bundle
from fibromorph.models.card import edit_bundle
from fibromorph.preprocess import Conformed, conform
from fibromorph.scans import read_scan
from fibromorph.serving.bundles import find_bundle
from fibromorph.serving.devices import Device, resolve_device
from fibromorph.serving.engine import Engine, Prediction

REFERENCE: Device = "cpu"
LINE = "{:<16} {:>9} {:>12} {:>14}"
log = logging.getLogger(__name__)


def compare_engines(model: str, scan_path: Path | None, *, update_bundle: bool = False) -> str:
    """Time each engine and count the voxels that it labels otherwise than the reference.

    Args:
        model: bundle, by name or folder.
        scan_path: the scan to compare on.
        update_bundle: keep the shares in the manifest, where `auto` looks for them.

    Returns:
        A table for a terminal: seconds of the network, share of differing voxels, largest relative
        difference of a soft volume.

    Raises:
        ConfigError: no scan was named.
        BundleError, ScanError: see `find_bundle` and `read_scan`.
    """
    if scan_path is None:
        raise ConfigError("comparing engines needs a scan", subject="--scan")
    bundle = _unmeasured(find_bundle(model))
    engine = Engine(bundle, REFERENCE)
    manifest, scan = bundle.manifest, read_scan(scan_path)
    seen = conform(scan, manifest.network, manifest.locator, engine.locate)
    started = time.perf_counter()
    reference = engine.segment(seen.network_input, seen.brain)
    lines = [LINE.format("engine", "seconds", "differing", "soft volumes")]
    lines.append(LINE.format(REFERENCE, f"{time.perf_counter() - started:.1f}", "", ""))
    shares = {}
    for device in _others():
        try:
            other = Engine(bundle, device)
        except ConfigError as error:
            log.warning("%s is left aside: %s", device, error)
            continue
        found, seconds = _timed(other, seen)
        shares[device] = float(np.mean(found.labels != reference.labels))
        largest = max(
            abs(found.soft_voxels[i] - voxels) / max(voxels, 100.0)
            for i, voxels in reference.soft_voxels.items()
        )
        cells = (f"{seconds:.1f}", f"{shares[device]:.4%}", f"{largest:.2%}")
        lines.append(LINE.format(device, *cells))
    if update_bundle:
        _keep(find_bundle(model), shares)
    return "\n".join(lines)


def _timed(engine: Engine, seen: Conformed) -> tuple[Prediction, float]:
    image, brain = seen.network_input, seen.brain
    engine.segment(image, brain)  # The first run of a shape plans memory.
    started = time.perf_counter()
    found = engine.segment(image, brain)
    return found, time.perf_counter() - started


def _others() -> list[Device]:
    """Engines other than the reference that are here; whether a GPU loads is not known yet."""
    present = []
    for device in get_args(Device):
        if device in ("auto", REFERENCE):
            continue
        try:
            resolve_device(device)
        except (ConfigError, MissingExtraError):
            continue
        present.append(device)
    return present


def _unmeasured(bundle: Bundle) -> Bundle:
    """The bundle without earlier findings, which would forbid an engine before it is measured."""
    manifest = bundle.manifest.model_copy(update={"engines": {}})
    return Bundle(folder=bundle.folder, manifest=manifest)


def _keep(bundle: Bundle, shares: Mapping[Device, float]) -> None:
    rounded: dict[str, float] = {name: float(f"{share:.3g}") for name, share in shares.items()}
    edit_bundle(bundle.folder, lambda latest: {"engines": {**latest.engines, **rounded}})
