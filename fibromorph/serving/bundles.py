"""Which bundles there are: those that ship, and folders a user names."""

from __future__ import annotations

from pathlib import Path

from fibromorph.errors import BundleError
from fibromorph.manifest import (
    CARD_NAME,
    Bundle,
    open_bundle,
    read_manifest,
    shipped_folder,
    shipped_names,
    where_it_lies,
)

__all__ = [
    "DEFAULT_BUNDLE",
    "find_bundle",
    "list_bundles",
    "shipped_folder",
    "shipped_names",
    "show_bundle",
    "verify_bundle",
]

DEFAULT_BUNDLE = "t1-open"
LINE = "{:<14} {:<8} {:<11} {:<14} {:<13} {}"
SHOWN_SCORES = ("dice_27", "dice_regions")


def find_bundle(model: str, subject: str = "--model") -> Bundle:
    """Open a bundle by name or by folder.

    Args:
        model: name of a bundle that ships, or path of a folder with a manifest.
        subject: where that was said, for the error.

    Raises:
        BundleError: neither; or the bundle is damaged.
    """
    folder = where_it_lies(Path(model))
    if not folder.is_dir():
        known = ", ".join(shipped_names()) or "none"
        raise BundleError(
            f"must be the folder of a bundle or the name of one that ships ({known})",
            value=model,
            subject=subject,
        )
    return open_bundle(folder)


def list_bundles() -> str:
    """The bundles that ship, a line each: name, version, structures, licence, hash, Dice."""
    header = LINE.format("bundle", "version", "structures", "licence", "sha256", "Dice")
    lines = []
    for name in shipped_names():
        manifest = read_manifest(shipped_folder() / name)
        dice = (f"{k} {v:.3f}" for k, v in manifest.scores.items() if k.endswith(SHOWN_SCORES))
        cells = (str(len(manifest.labels)), manifest.licence, manifest.network.sha256[:12])
        lines.append(LINE.format(name, manifest.version, *cells, ", ".join(dice)).rstrip())
    return "\n".join([header, *lines])


def show_bundle(model: str) -> str:
    """The card of a bundle."""
    path = find_bundle(model, "bundle").folder / CARD_NAME
    if not path.is_file():
        raise BundleError(f"a bundle has a {CARD_NAME}", subject=path)
    return path.read_text()


def verify_bundle(model: str) -> str:
    """Check hashes, load both graphs and run each once.

    Raises:
        BundleError: a file is missing or is not what the manifest says, a graph does not load, or
            its answer is not the manifest's.
    """
    import numpy as np

    from fibromorph.located import BRAIN_BLOCK
    from fibromorph.serving.engine import Engine

    bundle = find_bundle(model, "bundle")
    engine = Engine(bundle, "cpu")
    coarse, fine = (
        np.zeros((graph.smallest_length,) * 3, np.float32)
        for graph in (bundle.manifest.locator, bundle.manifest.network)
    )
    try:
        engine.locate(coarse)
        engine.segment(fine, np.ones([n // BRAIN_BLOCK for n in fine.shape], np.float32))
    except BundleError:
        raise
    except Exception as error:
        raise BundleError("graphs must run", value=error, subject=bundle.folder) from error
    return f"{bundle.manifest.full_name}: hashes and graphs are as they should be"
