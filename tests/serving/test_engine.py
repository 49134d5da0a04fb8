"""Which engine runs a bundle, and when one is refused."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import onnx
import pytest

from fibromorph.errors import BundleError, ConfigError, FibromorphError
from fibromorph.manifest import Bundle, file_sha256, open_bundle, write_manifest
from fibromorph.serving import devices
from fibromorph.serving.bundles import verify_bundle
from fibromorph.serving.cohort.recipe import recipe_of
from fibromorph.serving.devices import resolve_device
from fibromorph.serving.engine import SHAPES_KEPT, Engine
from fibromorph.serving.measuring.parity import compare_engines
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


def test_a_broken_openvino_is_left_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> object:
        raise ImportError(f"{name}: cannot open shared object file")

    devices._openvino_fails.cache_clear()
    monkeypatch.setattr(importlib, "import_module", broken)
    assert resolve_device("auto") == "cpu"
    with pytest.raises(FibromorphError, match="openvino"):
        resolve_device("openvino")
    devices._openvino_fails.cache_clear()


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_gpu_that_cannot_be_used_is_left_aside(
    template: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bundle = open_bundle(write_stand_in(tmp_path / "bundle"))
    monkeypatch.setattr(devices, "_has_cuda", lambda: True)
    taken = Engine(bundle).device
    assert taken != "cuda"
    caplog.clear()
    # What `bids` plans with is what `segment` takes, and it is said once.
    assert recipe_of(bundle, "auto").engine.endswith(f" on {taken}")
    (warning,) = caplog.messages
    assert warning.startswith("the GPU is left aside")
    assert "cuda" not in compare_engines(str(bundle.folder), template)
    assert "cuda is left aside" in caplog.text
    with pytest.raises(ConfigError, match="must be able to use the GPU"):
        Engine(bundle, "cuda")


def _with_network(folder: Path, content: bytes) -> Path:
    """A stand-in with another network, and the hash of that."""
    manifest = open_bundle(write_stand_in(folder)).manifest
    (folder / manifest.network.file).write_bytes(content)
    digest = file_sha256(folder / manifest.network.file)
    network = manifest.network.model_copy(update={"sha256": digest})
    write_manifest(folder, manifest.model_copy(update={"network": network}))
    return folder


def test_a_bundle_that_cannot_segment_is_not_verified(tmp_path: Path) -> None:
    sound = write_stand_in(tmp_path / "sound")
    assert "as they should be" in verify_bundle(str(sound))
    cut = (sound / "network.onnx").read_bytes()[:-40]
    swapped = (sound / "locator.onnx").read_bytes()
    for name, content in (("cut", cut), ("swapped", swapped)):
        with pytest.raises(BundleError, match=name):
            verify_bundle(str(_with_network(tmp_path / name, content)))


def test_weights_outside_the_hashed_file_are_refused(tmp_path: Path) -> None:
    folder = write_stand_in(tmp_path / "bundle")
    graph = onnx.load(folder / "network.onnx")
    constant = onnx.numpy_helper.from_array(np.zeros(4096, np.float32), "elsewhere")
    graph.graph.initializer.append(constant)
    graph.graph.node.append(onnx.helper.make_node("Identity", ["elsewhere"], ["unused"]))
    outside = tmp_path / "outside.onnx"
    onnx.save(graph, outside, save_as_external_data=True, location="weights.bin", size_threshold=0)
    _with_network(folder, outside.read_bytes())
    (folder / "weights.bin").write_bytes((tmp_path / "weights.bin").read_bytes())
    with pytest.raises(BundleError, match="must load"):
        verify_bundle(str(folder))
