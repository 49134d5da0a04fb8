"""Weights of the networks, from wherever training left them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn

from fibromorph.errors import BundleError
from fibromorph.labels import TABLES, LabelTable
from fibromorph.manifest import open_bundle
from fibromorph.models.network import SUBVOXELS, SegmentationNet


def read_weights(source: Path) -> dict[str, Tensor]:
    """State of a network to export or to go on from.

    Args:
        source: a checkpoint that training wrote (its averaged weights are taken), or the folder of
            a bundle, whose segmentation graph keeps the network's own parameter names.

    Raises:
        BundleError: the file does not exist or holds no weights.
    """
    state = _from_bundle(source) if source.is_dir() else _from_checkpoint(source)
    # Checkpoints and graphs name the network `net`.
    found = {name[4:]: value for name, value in state.items() if name.startswith("net.")}
    if not found:
        raise BundleError("must hold the weights of a network", subject=source)
    return found


def load_weights(net: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy a state into a network; a weight that has several names needs only one of them.

    Raises:
        BundleError: a weight is missing or has another shape.
    """
    names: dict[int, list[str]] = {}
    own = net.state_dict(keep_vars=True)
    for name, weight in own.items():
        names.setdefault(id(weight), []).append(name)
    for aliases in names.values():
        weight = own[aliases[0]]
        value = next((state[name] for name in aliases if name in state), None)
        if value is None or value.shape != weight.shape:
            found = None if value is None else tuple(value.shape)
            raise BundleError(
                f"weights must fit the network, {tuple(weight.shape)}",
                value=found,
                subject=aliases[0],
            )
        with torch.no_grad():
            weight.copy_(value)


def network_of(state: Mapping[str, Tensor]) -> SegmentationNet:
    """The segmentation network that a state belongs to, its size read from the weights.

    Raises:
        BundleError: they are not a `SegmentationNet`'s.
    """
    head = state.get("head.1.weight")
    encoder = {
        int(weight.shape[0])
        for name, weight in state.items()
        if name.startswith("trunk.") and name.endswith("conv1.conv.weight")
        if "conv_block" not in name
    }
    if head is None or not encoder:
        raise BundleError("must be the weights of a segmentation network", value=list(state)[:3])
    net = SegmentationNet(head.shape[0] // SUBVOXELS - 1, sorted(encoder), head.shape[1])
    load_weights(net, state)
    return net.eval()


def with_head_for(table: LabelTable, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same weights with a head that predicts the structures of `table`.

    A structure that the weights do not know starts with the answer for what it is a part of, its
    logit lowered so that all parts together are as likely as the whole was.

    Raises:
        BundleError: the weights predict the structures of no known protocol.
    """
    out = dict(state)
    if "head.1.weight" not in state:
        return out
    own = table_of_weights(state)
    if own.protocol == table.protocol:
        return out
    names = ["background", *table.names]
    parents = {s.name: s.parent for s in table.structures}
    origin = [name if name in own.names else parents.get(name, name) for name in names]
    rows = [own.class_of_name(name) for name in origin] + [len(own.structures) + 1]
    share = torch.tensor([*(origin.count(name) for name in origin), 1]).log()
    for key in ("head.1.weight", "head.1.bias"):
        blocks = state[key].reshape(-1, SUBVOXELS, *state[key].shape[1:])
        out[key] = blocks[rows].flatten(0, 1)
    out["head.1.bias"] = out["head.1.bias"] - share.repeat_interleave(SUBVOXELS)
    return out


def table_of_weights(state: Mapping[str, Tensor]) -> LabelTable:
    """The label table that a segmentation network's weights predict.

    Raises:
        BundleError: its structures are those of no known protocol.
    """
    classes = state["head.1.weight"].shape[0] // SUBVOXELS - 1
    for table in TABLES.values():
        if len(table.structures) + 1 == classes:
            return table
    raise BundleError("weights must predict the structures of a known protocol", value=classes)


def _from_checkpoint(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise BundleError("a checkpoint or the folder of a bundle must exist", subject=path)
    try:
        # Plain data only: a checkpoint from elsewhere must not run code.
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, UnpicklingError, EOFError) as error:
        raise BundleError("must be a checkpoint that training wrote", subject=path) from error
    state: dict[str, Tensor] = checkpoint.get("state_dict", {})
    return state


def _from_bundle(folder: Path) -> dict[str, Tensor]:
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(open_bundle(folder).network_path).graph
    return {
        tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()).float()
        for tensor in graph.initializer
    }
