"""Which engine runs a bundle, and when one is refused."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from fibromorph.errors import BundleError, ConfigError
from fibromorph.manifest import Bundle, open_bundle
from fibromorph.serving.engine import SHAPES_KEPT, Engine, resolve_device
from fibromorph.serving.parity import compare_engines
from tests.serving.stand_in import write_stand_in

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="needs the openvino extra"
)


@needs_openvino
def test_auto_takes_the_fastest_engine_that_agrees() -> None:
    assert resolve_device("auto", {}) == "openvino"
    assert resolve_device("auto", {"openvino": 0.5}) == "cpu"
    assert resolve_device("auto", {"openvino": 0.0, "openvino-bf16": 0.5}) == "openvino"
    assert resolve_device("auto", {"openvino-bf16": 5e-4}) in ("openvino", "openvino-bf16")


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(ConfigError, match="must be one of"):
        resolve_device("toaster")


@needs_openvino
def test_an_engine_whose_labels_differ_is_refused(tmp_path: Path) -> None:
    bundle = open_bundle(write_stand_in(tmp_path / "bundle"))
    manifest = bundle.manifest.model_copy(update={"engines": {"openvino": 0.004}})
    wrong = Bundle(folder=bundle.folder, manifest=manifest)
    with pytest.raises(BundleError, match=r"0\.400%"):
        Engine(wrong, "openvino")
    assert Engine(wrong, "auto").device == "cpu"


def test_a_label_that_the_manifest_lacks_is_named(tmp_path: Path) -> None:
    bundle = open_bundle(write_stand_in(tmp_path / "bundle"))
    fewer = bundle.manifest.model_copy(update={"labels": bundle.manifest.labels[:-1]})
    engine = Engine(Bundle(folder=bundle.folder, manifest=fewer), "cpu")
    box = np.zeros((32, 32, 32), np.float32)
    with pytest.raises(BundleError, match=r"must name all labels of network\.onnx"):
        engine.segment(box, np.ones((8, 8, 8), np.float32))


@needs_openvino
def test_engines_are_compared_and_what_was_found_is_kept(template: Path, tmp_path: Path) -> None:
    folder = write_stand_in(tmp_path / "bundle")
    text = compare_engines(str(folder), template, update_bundle=True)
    assert text.splitlines()[1].startswith("cpu")
    manifest = open_bundle(folder).manifest
    assert manifest.engines["openvino"] < 1e-3
    assert "Other engines" in (folder / "card.md").read_text()


def test_comparing_needs_a_scan() -> None:
    with pytest.raises(ConfigError, match="--scan"):
        compare_engines("t1-open", None)


@needs_openvino
def test_heads_of_many_shapes_are_answered_as_by_the_reference(tmp_path: Path) -> None:
    bundle = open_bundle(write_stand_in(tmp_path / "bundle"))
    reference, engine = Engine(bundle, "cpu"), Engine(bundle, "openvino")
    images = np.random.default_rng(0).standard_normal((48, 48, 80), dtype=np.float32)
    shapes = [(48, 32, 8 * n) for n in range(4, 4 + SHAPES_KEPT + 2)]
    for i, j, k in (*shapes, shapes[0], shapes[-1]):
        image = np.ascontiguousarray(images[:i, :j, :k])
        brain = np.ones((i // 4, j // 4, k // 4), np.float32)
        found, expected = (one.segment(image, brain) for one in (engine, reference))
        np.testing.assert_array_equal(found.labels, expected.labels)
