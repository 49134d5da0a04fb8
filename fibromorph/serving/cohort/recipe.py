"""What the outputs of a scan depend on, besides its bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import fibromorph
from fibromorph.manifest import MANIFEST_NAME, Bundle, file_sha256
from fibromorph.postprocessing.atlases import PlacedAtlas
from fibromorph.postprocessing.normalisation import average_head_sha256
from fibromorph.serving.beyond import placed_atlases, require_registration
from fibromorph.serving.devices import package_on
from fibromorph.serving.engine import usable_device
from fibromorph.serving.extras import NOTHING, Extras
from fibromorph.serving.ribbon import ribbon_bundle

NOT_MEASURED = "none"


@dataclass(frozen=True)
class Recipe:
    """Equal recipes and equal scans give equal files.

    Threads are no part of it, though engines round otherwise with another number of them (0.02 %
    of voxels, 0.1 % of the smallest region, a tenth of scan-rescan noise): a cohort that is resumed
    on another machine should not start anew. Keep `--threads` for identical bytes.

    Attributes:
        fibromorph: version of the package.
        model: name and version of the bundle, for the reader.
        bundle: sha256 over the manifest, whose hashes pin both graphs.
        engine: 'openvino 2026.4.1 on openvino'.
        sessions: 'alone' or 'jointly', see `longitudinal`.
        thickness: of the cortex: 'none', or sha256 over the manifest of the bundle that draws its
            ribbon.
        vbm: of maps in MNI coordinates: 'none', or sha256 over the average head, the manifest of
            the bundle that draws the tissue, and the version of SimpleITK.
        tissue: on the scan's own voxels: 'none' or 'bundle', which draws it as it draws the labels.
        atlases: 'none', or their names, joined by '+', and sha256 over them and over all that maps
            depend on.
    """

    fibromorph: str
    model: str
    bundle: str
    engine: str
    sessions: str = "alone"
    thickness: str = NOT_MEASURED
    vbm: str = NOT_MEASURED
    tissue: str = NOT_MEASURED
    atlases: str = NOT_MEASURED

    @property
    def beyond(self) -> dict[str, Any]:
        """What is measured beyond volumes, as `task_of` takes it."""
        names = "thickness", "vbm", "tissue"
        measured = {name: getattr(self, name) != NOT_MEASURED for name in names}
        return measured | {"atlases": self.atlas_names}

    @property
    def atlas_names(self) -> tuple[str, ...]:
        if self.atlases == NOT_MEASURED:
            return ()
        return tuple(self.atlases.partition(" ")[0].split("+"))

    def key(self, *scan_sha256: str) -> str:
        """Content address of a scan's outputs, from its own hash and those of its siblings."""
        content = json.dumps({**asdict(self), "scans": scan_sha256}, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    def changes_since(self, before: object) -> str:
        """Which parts differ from an earlier recipe, in words; empty if none does."""
        old = before if isinstance(before, dict) else {}
        return ", ".join(
            f"{name} {_short(old.get(name))} -> {_short(value)}"
            for name, value in asdict(self).items()
            if old.get(name) != value
        )


def recipe_of(
    bundle: Bundle, device: str, extras: Extras = NOTHING, *, jointly: bool = False
) -> Recipe:
    """The recipe of a bundle on a device.

    Raises:
        ConfigError, MissingExtraError, BundleError: see `usable_device`, `ribbon_bundle` and
            `require_registration`.
        ConfigError, LabelError, TableError: see `placed_atlases`.
    """
    atlases = placed_atlases(extras.atlases)
    return Recipe(
        fibromorph.__version__,
        bundle.manifest.full_name,
        _manifest_sha256(bundle),
        package_on(usable_device(bundle, device)),
        "jointly" if jointly else "alone",
        _manifest_sha256(ribbon_bundle(bundle)) if extras.thickness else NOT_MEASURED,
        _map_sha256(ribbon_bundle(bundle)) if extras.vbm else NOT_MEASURED,
        "bundle" if extras.tissue else NOT_MEASURED,
        _named(atlases, ribbon_bundle(bundle)) if atlases else NOT_MEASURED,
    )


def _map_sha256(ribbon: Bundle) -> str:
    require_registration()
    return _sha256(average_head_sha256(), _manifest_sha256(ribbon), version("SimpleITK"))


def _named(atlases: Sequence[PlacedAtlas], ribbon: Bundle) -> str:
    names = "+".join(atlas.name for atlas in atlases)
    return f"{names} {_sha256(_map_sha256(ribbon), *(atlas.sha256 for atlas in atlases))}"


def _sha256(*parts: str) -> str:
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def _manifest_sha256(bundle: Bundle) -> str:
    return file_sha256(bundle.folder / MANIFEST_NAME)


def _short(value: object) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text
