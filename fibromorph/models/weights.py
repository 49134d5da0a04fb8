"""Weights of the networks, from wherever training left them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from fibromorph.errors import BundleError
from fibromorph.labels import TABLES, LabelTable
from fibromorph.manifest import open_bundle, shipped_names, where_it_lies
from fibromorph.models.network import SUBVOXELS, SegmentationNet

RUN_RECORD = "RunRecord"
"""The callback of training whose state in a checkpoint names the run in MLflow."""
OUTLINING = "outlining."
"""What the names of the weights of `SegmentationNet.outlining` begin with."""


def read_weights(source: Path) -> dict[str, Tensor]:
    """State of a network to export or to go on from.

    Args:
        source: a checkpoint that training wrote (its averaged weights are taken), or the folder of
            a bundle or the name of one that ships, whose segmentation graph keeps the network's own
            parameter names. Of one that was balanced on export, see `models.balance`, as they were
            before: training would take it back, and a mean with others halve it.

    Raises:
        BundleError: the file does not exist or holds no weights.
    """
    place = where_it_lies(source)
    state = _from_bundle(place) if place.is_dir() else _from_checkpoint(place)
    # Checkpoints and graphs name the network `net`.
    found = {name[4:]: value for name, value in state.items() if name.startswith("net.")}
    if not found:
        raise BundleError("must hold the weights of a network", subject=source)
    return found


def mean_weights(sources: Sequence[Path]) -> dict[str, Tensor]:
    """The mean of several states of one network, such as the weights before and after a run.

    Weights that went on from each other lie in one basin, and their mean answers as well as each or
    better (Wortsman et al. 2022, Model soups).

    Args:
        sources: one or more, see `read_weights`.

    Raises:
        BundleError: see `read_weights`; or they are of networks of different sizes.
    """
    states = [read_weights(source) for source in sources]
    for state, source in zip(states, sources, strict=True):
        if is_smooth(state) != is_smooth(states[0]):
            rule = f"weights must be of a network like that of {sources[0]}, smooth or not"
            raise BundleError(rule, subject=source)
    names = [name for name in states[0] if all(name in state for state in states)]
    out = {}
    for name in names:
        parts = [state[name] for state in states]
        for part, source in zip(parts, sources, strict=True):
            if part.shape != parts[0].shape:
                rule = f"weights must be of a network like that of {sources[0]}"
                raise BundleError(rule, value=name, subject=source)
        floating = parts[0].is_floating_point()
        out[name] = torch.stack([p.float() for p in parts]).mean(0) if floating else parts[0]
    return out


@dataclass(frozen=True)
class Origin:
    """How weights were trained, as far as it is recorded.

    Attributes:
        learnt_from: SHA-256 of the files that they have learnt from, by name.
        run_id: of their run in MLflow, '' = unknown.
        steps: that the run of a checkpoint has done; None of a bundle, which is told its steps.
        from_nothing: whether the run began with no other weights, so that these are all steps.
    """

    learnt_from: Mapping[str, str]
    run_id: str = ""
    steps: int | None = None
    from_nothing: bool = False


def origin_of(source: Path) -> Origin:
    """How weights were trained.

    Args:
        source: see `read_weights`.

    Raises:
        BundleError: it does not exist or is neither.
    """
    place = where_it_lies(source)
    if place.is_dir():
        training = open_bundle(place).manifest.training
        return Origin(training.data_sha256, training.run_id)
    checkpoint = read_checkpoint(place)
    run_id = checkpoint.get("callbacks", {}).get(RUN_RECORD, {}).get("run_id")
    settings = checkpoint.get("hyper_parameters", {})
    return Origin(
        learnt_from=checkpoint.get("learnt_from", {}),
        run_id=run_id or "",
        steps=checkpoint.get("global_step"),
        from_nothing="initial_weights" in settings and settings["initial_weights"] is None,
    )


def learnt_from(source: Path) -> dict[str, str]:
    """`Origin.learnt_from` of weights."""
    return dict(origin_of(source).learnt_from)


def merged_hashes(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """All of both; a file whose name another file had is called by name and hash."""
    merged = dict(before)
    for name, sha256 in after.items():
        other = merged.get(name, sha256) != sha256
        merged[f"{name} {sha256[:8]}" if other else name] = sha256
    return merged


def load_weights(net: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy a state into a network; a weight that has several names needs only one of them.

    What outlines the brain begins anew where a state does not know it yet.

    Raises:
        BundleError: a weight is missing or has another shape.
    """
    names: dict[int, list[str]] = {}
    own = dict(net.named_parameters(remove_duplicate=False))
    for name, weight in own.items():
        names.setdefault(id(weight), []).append(name)
    for aliases in names.values():
        weight = own[aliases[0]]
        value = next((state[name] for name in aliases if name in state), None)
        if value is None and aliases[0].startswith(OUTLINING):
            continue
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
    classes = head.shape[0] // SUBVOXELS - 1
    outlines = any(name.startswith(OUTLINING) for name in state)
    net = SegmentationNet(classes, sorted(encoder), head.shape[1], is_smooth(state), outlines)
    load_weights(net, state)
    return net.eval()


def is_smooth(state: Mapping[str, Tensor]) -> bool:
    """Whether they are the weights of a network whose layers are `network.Smooth`."""
    return any(name.endswith(".blur") for name in state)


def with_head_for(table: LabelTable, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same weights with a head that predicts the structures of `table`.

    A structure that the weights do not know starts with the answer for what it is a part of, its
    logit lowered so that all parts together are as likely as the whole was; one of which they know
    the parts with the mean of theirs, raised so that it is about as likely as all of them were.

    Raises:
        BundleError: the weights predict the structures of no known protocol.
    """
    out = dict(state)
    if "head.1.weight" not in state:
        return out
    own = table_of_weights(state)
    if own.protocol == table.protocol:
        return out
    parents = {s.name: s.parent for s in table.structures}
    origin = ["background", *(n if n in own.names else parents[n] or n for n in table.names)]
    rows = [_classes_of(own, name) for name in origin]
    shares = [len(row) / origin.count(name) for row, name in zip(rows, origin, strict=True)]
    rows.append([len(own.structures) + 1])  # the side
    for key in ("head.1.weight", "head.1.bias"):
        blocks = state[key].reshape(-1, SUBVOXELS, *state[key].shape[1:])
        out[key] = torch.stack([blocks[row].mean(0) for row in rows]).flatten(0, 1)
    logs = torch.tensor([*shares, 1.0]).log()
    out["head.1.bias"] = out["head.1.bias"] + logs.repeat_interleave(SUBVOXELS)
    return out


def _classes_of(table: LabelTable, name: str) -> list[int]:
    """Of a structure or, where the table only has those, of its parts; else background's."""
    if name in table.names:
        return [table.class_of_name(name)]
    return [n for n, s in enumerate(table.structures, start=1) if s.parent == name] or [0]


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
    state: dict[str, Tensor] = read_checkpoint(path).get("state_dict", {})
    return state


def read_checkpoint(path: Path) -> dict[str, Any]:
    """All of a checkpoint, without running code from it.

    Raises:
        BundleError: there is none, or training did not write it.
    """
    if not path.is_file():
        known = ", ".join(shipped_names()) or "none"
        rule = f"a checkpoint or the folder of a bundle must exist, or a bundle ship ({known})"
        raise BundleError(rule, subject=path)
    try:
        # Plain data only: a checkpoint from elsewhere must not run code.
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, UnpicklingError, EOFError, LookupError) as error:
        raise BundleError("must be a checkpoint that training wrote", subject=path) from error
    return checkpoint if isinstance(checkpoint, dict) else {}


def _from_bundle(folder: Path) -> dict[str, Tensor]:
    import onnx
    from onnx import numpy_helper

    bundle = open_bundle(folder)
    state = {
        tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()).float()
        for tensor in onnx.load(bundle.network_path).graph.initializer
    }
    table = bundle.manifest.table
    for name, offset in bundle.manifest.balance.items():
        state["net.head.1.bias"].view(-1, SUBVOXELS)[table.class_of_name(name)] -= offset
    return state
