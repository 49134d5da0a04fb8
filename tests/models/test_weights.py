"""Weights come back from a checkpoint, and nothing else does."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from fibromorph.errors import BundleError
from fibromorph.labels import FREESURFER, NEUROMORPHOMETRICS
from fibromorph.manifest import open_bundle, shipped_folder
from fibromorph.models.network import SegmentationNet
from fibromorph.models.weights import (
    is_smooth,
    learnt_from,
    load_weights,
    mean_weights,
    network_of,
    read_weights,
    table_of_weights,
    with_head_for,
)
from fibromorph.serving.bundles import DEFAULT_BUNDLE


def _net(smooth: bool = True, outlines: bool = True) -> SegmentationNet:
    torch.manual_seed(1)
    return SegmentationNet(19, (4, 6, 8), 8, smooth, outlines).eval()


def _save(net: SegmentationNet, path: Path) -> Path:
    state = {f"net.{name}": value for name, value in net.state_dict().items()}
    torch.save({"state_dict": state, "global_step": 3}, path)
    return path


@pytest.mark.parametrize("smooth", [False, True])
def test_a_network_comes_back_as_it_was(tmp_path: Path, smooth: bool) -> None:
    net = _net(smooth, outlines=smooth)
    again = network_of(read_weights(_save(net, tmp_path / "a.ckpt")))
    image, brain = torch.randn(1, 1, 32, 32, 32), torch.rand(1, 1, 8, 8, 8)
    with torch.inference_mode():
        assert torch.equal(net(image, brain), again(image, brain))


def test_a_bundle_that_ships_is_known_by_its_name() -> None:
    by_name = read_weights(Path(DEFAULT_BUNDLE))
    by_folder = read_weights(shipped_folder() / DEFAULT_BUNDLE)
    assert by_name.keys() == by_folder.keys()
    known = open_bundle(shipped_folder() / DEFAULT_BUNDLE).manifest.training.data_sha256
    assert learnt_from(Path(DEFAULT_BUNDLE)) == known
    with pytest.raises(BundleError, match=r"t2-open: .*ship.*t1-open"):
        read_weights(Path("t2-open"))


def test_of_several_checkpoints_the_mean_is_taken(tmp_path: Path) -> None:
    net, other = _net(), _net()
    with torch.no_grad():
        for weight in other.parameters():
            weight.add_(1)
    paths = [_save(net, tmp_path / "a.ckpt"), _save(other, tmp_path / "b.ckpt")]
    mean = mean_weights(paths)
    for name, value in net.named_parameters():
        torch.testing.assert_close(mean[name], value + 0.5)
    assert is_smooth(mean)
    for stranger in (SegmentationNet(19, (4, 6, 10), 8), _net(smooth=False)):
        _save(stranger, tmp_path / "c.ckpt")
        with pytest.raises(BundleError, match=r"c\.ckpt: weights must be of a network like that"):
            mean_weights([paths[0], tmp_path / "c.ckpt"])


def test_what_outlines_the_brain_begins_anew_where_weights_do_not_know_it() -> None:
    net, old = _net(), _net(outlines=False)
    began = [weight.clone() for weight in net.outlining.parameters()]  # type: ignore[union-attr]
    load_weights(net, old.state_dict())
    for weight, before in zip(net.outlining.parameters(), began, strict=True):  # type: ignore[union-attr]
        assert torch.equal(weight, before)
    assert torch.equal(net.head[1].weight, old.head[1].weight)  # type: ignore[arg-type]


def test_one_of_several_names_of_a_weight_is_enough() -> None:
    net, other = _net(), SegmentationNet(19, (4, 6, 8), 8)
    names: dict[int, str] = {}
    for name, value in net.state_dict(keep_vars=True).items():
        names.setdefault(id(value), name)
    state = net.state_dict()
    load_weights(other, {name: state[name] for name in names.values()})
    assert all(torch.equal(state[k], v) for k, v in other.state_dict().items())


def test_a_finer_head_starts_with_the_answer_of_the_coarser_one() -> None:
    state = _net().state_dict()
    fine = with_head_for(NEUROMORPHOMETRICS, state)
    assert table_of_weights(fine) is NEUROMORPHOMETRICS
    image, brain = torch.randn(1, 1, 32, 32, 32), torch.rand(1, 1, 8, 8, 8)
    with torch.inference_mode():
        before, after = (network_of(s)(image, brain) for s in (state, fine))
    coarse, parts = before[:, :-1].softmax(1), after[:, :-1].softmax(1)
    cortex = [
        n for n, s in enumerate(NEUROMORPHOMETRICS.structures, 1) if s.parent == "Cerebral-Cortex"
    ]
    white = NEUROMORPHOMETRICS.class_of_name("Cerebral-White-Matter")
    assert torch.allclose(
        parts[:, cortex].sum(1) / parts[:, white],
        coarse[:, FREESURFER.class_of_name("Cerebral-Cortex")] / coarse[:, 1],
        rtol=1e-3,
    )
    assert torch.equal(before[:, -1], after[:, -1])


def test_a_coarser_head_starts_with_the_answers_of_the_finer_ones_parts() -> None:
    fine = with_head_for(NEUROMORPHOMETRICS, _net().state_dict())
    again = with_head_for(FREESURFER, fine)
    for key in ("head.1.weight", "head.1.bias"):
        for name in ("Cerebral-Cortex", "Putamen"):
            rows = slice(8 * FREESURFER.class_of_name(name), 8 * FREESURFER.class_of_name(name) + 8)
            assert torch.allclose(again[key][rows], _net().state_dict()[key][rows], atol=1e-5)


def test_weights_of_another_size_are_refused(tmp_path: Path) -> None:
    state = read_weights(_save(_net(), tmp_path / "a.ckpt"))
    with pytest.raises(BundleError, match="fit the network"):
        load_weights(SegmentationNet(19, (4, 6, 10), 8), state)
    with pytest.raises(BundleError, match="segmentation network"):
        network_of({"weight": torch.zeros(2)})


class _Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("/nonexistent/never"),)  # type: ignore[return-value]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"name: text\n"])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.ckpt"
    path.write_bytes(content)
    with pytest.raises(BundleError, match="checkpoint"):
        read_weights(path)
    with pytest.raises(BundleError, match="must exist"):
        read_weights(tmp_path / "b.ckpt")


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    torch.save({"state_dict": {}, "extra": _Trap()}, path, pickle_module=pickle)
    with pytest.raises(BundleError, match="checkpoint"):
        read_weights(path)


def test_a_checkpoint_without_a_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    torch.save({"state_dict": {"other.weight": torch.zeros(1)}}, path)
    with pytest.raises(BundleError, match="weights of a network"):
        read_weights(path)
