"""What the outputs of a scan depend on, besides its bytes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib.metadata import version

import fibromorph
from fibromorph.manifest import MANIFEST_NAME, Bundle, file_sha256
from fibromorph.postprocessing.normalisation import average_head_sha256
from fibromorph.serving.beyond import require_registration
from fibromorph.serving.devices import package_on
from fibromorph.serving.engine import usable_device
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
    """

    fibromorph: str
    model: str
    bundle: str
    engine: str
    sessions: str = "alone"
    thickness: str = NOT_MEASURED
    vbm: str = NOT_MEASURED
    tissue: str = NOT_MEASURED

    @property
    def beyond(self) -> dict[str, bool]:
        """What is measured beyond volumes, as `recipe_of` and `beyond_volumes` take it."""
        names = "thickness", "vbm", "tissue"
        return {name: getattr(self, name) != NOT_MEASURED for name in names}

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
    bundle: Bundle,
    device: str,
    *,
    jointly: bool = False,
    thickness: bool = False,
    vbm: bool = False,
    tissue: bool = False,
) -> Recipe:
    """The recipe of a bundle on a device.

    Raises:
        ConfigError, MissingExtraError, BundleError: see `usable_device`, `ribbon_bundle` and
            `require_registration`.
    """
    return Recipe(
        fibromorph.__version__,
        bundle.manifest.full_name,
        _manifest_sha256(bundle),
        package_on(usable_device(bundle, device)),
        "jointly" if jointly else "alone",
        _manifest_sha256(ribbon_bundle(bundle)) if thickness else NOT_MEASURED,
        _map_sha256(ribbon_bundle(bundle)) if vbm else NOT_MEASURED,
        "bundle" if tissue else NOT_MEASURED,
    )


def _map_sha256(ribbon: Bundle) -> str:
    require_registration()
    parts = average_head_sha256(), _manifest_sha256(ribbon), version("SimpleITK")
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def _manifest_sha256(bundle: Bundle) -> str:
    return file_sha256(bundle.folder / MANIFEST_NAME)


def _short(value: object) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text
