from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fibromorph.errors import BundleError
from fibromorph.labels import FREESURFER
from fibromorph.manifest import MANIFEST_NAME, open_bundle
from fibromorph.serving.bundles import DEFAULT_BUNDLE, shipped_folder


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    shutil.copytree(shipped_folder() / DEFAULT_BUNDLE, folder)
    return folder


def change(folder: Path, key: str, value: object) -> None:
    path = folder / MANIFEST_NAME
    content = json.loads(path.read_text())
    content[key] = value
    path.write_text(json.dumps(content))


def test_the_shipped_bundle_is_whole_and_small(bundle: Path) -> None:
    manifest = open_bundle(bundle).manifest
    assert sum(p.stat().st_size for p in bundle.iterdir()) < 30e6
    assert manifest.parity is not None
    assert manifest.parity.differing_share < 1e-3
    assert manifest.table == FREESURFER


def test_a_changed_graph_is_refused(bundle: Path) -> None:
    with (bundle / "network.onnx").open("r+b") as stream:
        stream.seek(1000)
        stream.write(b"\0\1\2\3")
    with pytest.raises(BundleError, match="sha256"):
        open_bundle(bundle)


def test_a_missing_graph_is_refused(bundle: Path) -> None:
    (bundle / "locator.onnx").unlink()
    with pytest.raises(BundleError, match=r"locator\.onnx.*must exist"):
        open_bundle(bundle)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format_version", 99, "format_version"),
        ("licence", None, "licence"),
        ("labels", [], "labels"),
        ("surprise", 1, "surprise"),
        ("version", "1.0 中", "version: must be 1 to 64 printable characters of Latin-1"),
    ],
)
def test_a_manifest_that_breaks_a_rule(bundle: Path, key: str, value: object, message: str) -> None:
    change(bundle, key, value)
    with pytest.raises(BundleError, match=message):
        open_bundle(bundle)


def test_a_graph_outside_the_bundle_is_refused(bundle: Path) -> None:
    content = json.loads((bundle / MANIFEST_NAME).read_text())
    content["network"]["file"] = "../other.onnx"
    (bundle / MANIFEST_NAME).write_text(json.dumps(content))
    with pytest.raises(BundleError, match=r"network\.file"):
        open_bundle(bundle)
