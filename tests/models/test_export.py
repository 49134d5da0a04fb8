from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from fibromorph.errors import BundleError, ConfigError
from fibromorph.manifest import open_bundle, write_manifest
from fibromorph.models.export import BundleFacts, export_bundle, read_facts
from fibromorph.models.network import SUBVOXELS, SegmentationNet
from fibromorph.models.onnx_files import halve
from fibromorph.models.weights import network_of, read_weights
from fibromorph.serving.bundles import DEFAULT_BUNDLE, shipped_folder
from fibromorph.training.record import RunRecord


def scaling_model(weight: np.ndarray) -> onnx.ModelProto:
    """y = x * weight, as a graph."""
    node = helper.make_node("Mul", ["x", "net.weight"], ["y"])
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, weight.shape) for n in "xy")
    graph = helper.make_graph(
        [node], "g", [x], [y], [numpy_helper.from_array(weight, "net.weight")]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_halved_weights_compute_the_same() -> None:
    import onnxruntime

    weight = np.linspace(-2, 2, 4096, dtype=np.float32)
    model = halve(scaling_model(weight))
    onnx.checker.check_model(model)
    assert model.ByteSize() < 0.6 * weight.nbytes
    assert model.graph.initializer[0].name == "net.weight"
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (y,) = session.run(None, {"x": np.ones_like(weight)})
    assert np.allclose(y, weight, rtol=1e-3, atol=1e-6)


def test_a_weight_too_large_for_float16_is_refused() -> None:
    with pytest.raises(BundleError, match="float16"):
        halve(scaling_model(np.full(4096, 1e6, np.float32)))


def test_training_can_go_on_from_the_bundle_that_ships() -> None:
    net = network_of(read_weights(shipped_folder() / DEFAULT_BUNDLE))
    assert sum(p.numel() for p in net.parameters()) == 5_467_297


def test_the_shipped_graph_holds_no_traces_of_a_machine() -> None:
    for name in ("network.onnx", "locator.onnx"):
        content = (shipped_folder() / DEFAULT_BUNDLE / name).read_bytes()
        assert b"site-packages" not in content
        assert b".py" not in content


def test_only_a_bundle_is_replaced(tmp_path: Path) -> None:
    facts = read_facts(Path("configs/bundle-t1-open.yaml"))
    weights = shipped_folder() / DEFAULT_BUNDLE
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "last.ckpt").write_text("weeks of work")
    mixed = tmp_path / "mixed"
    shutil.copytree(weights, mixed)
    (mixed / "notes.txt").write_text("mine")
    for folder, named in ((tmp_path / "runs", "last.ckpt"), (mixed, "notes.txt")):
        with pytest.raises(ConfigError, match=f"replaces only a bundle.*{named}"):
            export_bundle([weights], weights, tmp_path / "scan.nii.gz", folder, facts)
        assert (folder / named).is_file()


@dataclass(frozen=True)
class Run:
    """Of a network that is trained within no time."""

    began_with: str | None
    steps: int = 30

    def save(self, path: Path) -> Path:
        torch.manual_seed(1)
        # Bundles keep weights in half precision, and answers by chance have hardly a margin.
        net = SegmentationNet(19, (4, 6, 8), 8, smooth=True, outlines=True).half().float()
        checkpoint = {
            "state_dict": {f"net.{name}": value for name, value in net.state_dict().items()},
            "global_step": self.steps,
            "hyper_parameters": {"initial_weights": self.began_with},
            "learnt_from": {"sub-01": "0" * 64},
            "callbacks": {RunRecord().state_key: {"run_id": "f00d"}},
        }
        torch.save(checkpoint, path)
        return path


def _facts(tmp_path: Path, steps: str = "") -> BundleFacts:
    path = tmp_path / "facts.yaml"
    text = Path("configs/bundle-own.yaml").read_text()
    path.write_text(text.replace("training:\n", f"training:\n{steps}"))
    return read_facts(path)


def test_the_checkpoint_tells_what_the_facts_leave_out(tmp_path: Path, template: Path) -> None:
    weights = Run("t1-open").save(tmp_path / "last.ckpt")
    out = tmp_path / "t1-lab"
    export_bundle([weights], Path(DEFAULT_BUNDLE), template, out, _facts(tmp_path))
    manifest = open_bundle(out).manifest
    assert manifest.locator == open_bundle(shipped_folder() / DEFAULT_BUNDLE).manifest.locator
    training = manifest.training
    assert (training.steps, training.run_id) == (30, "f00d")
    assert training.data_sha256 == {"sub-01": "0" * 64}
    assert "30 steps, run f00d in MLflow" in (out / "card.md").read_text()


def test_borders_move_as_those_of_a_bundle_and_training_takes_them_back(
    tmp_path: Path, template: Path
) -> None:
    weights = Run("t1-open").save(tmp_path / "last.ckpt")
    balanced, out = tmp_path / "balanced", tmp_path / "t1-lab"
    shutil.copytree(shipped_folder() / DEFAULT_BUNDLE, balanced)
    known = open_bundle(balanced).manifest
    write_manifest(balanced, known.model_copy(update={"balance": {"Thalamus": 0.5}}))

    def export(balance: Path) -> None:
        facts = _facts(tmp_path)
        export_bundle([weights], balanced, template, out, facts, balance=balance)

    with pytest.raises(BundleError, match="must be a balanced bundle of freesurfer"):
        export(Path(DEFAULT_BUNDLE))
    export(balanced)
    manifest = open_bundle(out).manifest
    assert manifest.balance == {"Thalamus": 0.5}
    name, learnt = "head.1.bias", read_weights(weights)["head.1.bias"]
    (shipped,) = (
        numpy_helper.to_array(tensor)
        for tensor in onnx.load(out / "network.onnx").graph.initializer
        if tensor.name == f"net.{name}"
    )
    moved = (torch.tensor(shipped) - learnt).view(-1, SUBVOXELS)
    thalamus = manifest.table.class_of_name("Thalamus")
    assert torch.allclose(moved[thalamus], torch.tensor(0.5), atol=1e-5)
    assert torch.allclose(moved.sum(), torch.tensor(0.5 * SUBVOXELS), atol=1e-4)
    assert torch.allclose(read_weights(out)[name], learnt, atol=1e-5)


@pytest.mark.parametrize(("began_with", "told"), [("t1-open", 29), (None, 29), (None, 31)])
def test_steps_that_the_checkpoint_contradicts_are_refused(
    tmp_path: Path, began_with: str | None, told: int
) -> None:
    weights = Run(began_with).save(tmp_path / "last.ckpt")
    facts = _facts(tmp_path, f"  steps: {told}\n")
    with pytest.raises(ConfigError, match=rf"training\.steps.*done, 30.*found: {told}"):
        export_bundle([weights], weights, tmp_path / "scan.nii.gz", tmp_path / "out", facts)


def test_steps_that_no_checkpoint_tells_must_be_given(tmp_path: Path) -> None:
    shipped = Path(DEFAULT_BUNDLE)
    with pytest.raises(ConfigError, match=r"training\.steps: must be given"):
        export_bundle([shipped], shipped, tmp_path / "a.nii", tmp_path / "out", _facts(tmp_path))


def test_an_unknown_fact_is_named(tmp_path: Path) -> None:
    path = tmp_path / "facts.yaml"
    path.write_text(Path("configs/bundle-t1-open.yaml").read_text() + "note: one\n")
    with pytest.raises(ConfigError, match="note"):
        read_facts(path)


def test_facts_name_the_wrong_field(tmp_path: Path) -> None:
    path = tmp_path / "facts.yaml"
    path.write_text("name: x\nversion: '1'\ndescription: d\nlicence: MIT\n")
    with pytest.raises(ConfigError, match="training"):
        read_facts(path)
