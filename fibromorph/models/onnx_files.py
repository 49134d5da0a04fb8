"""Torch graphs as self-contained ONNX files of half the size, with the names of their weights."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from onnxscript import optimizer
from torch import nn

from fibromorph.errors import BundleError
from fibromorph.located import BRAIN_BLOCK
from fibromorph.manifest import GraphFile
from fibromorph.models.graph import LocatorGraph, SegmentationGraph
from fibromorph.preprocess import SHAPE_MULTIPLE

NETWORK = GraphFile(
    file="network.onnx", spacing_mm=1.0, shape_multiple=SHAPE_MULTIPLE, smallest_length=64
)
LOCATOR = GraphFile(
    file="locator.onnx",
    spacing_mm=4.0,
    shape_multiple=8,
    smallest_length=64,
    normalised_by="brain",
)
OPSET = 20
REGISTRATION_LOG = "torch.onnx._internal.exporter._registration"
LARGEST_FOLDED = 16
"""Tensors of more numbers than this are parameters, not constants to compute with."""
HALVED_FROM = 1024
"""Tensors of at least this many numbers are stored as float16."""


def export_segmentation(graph: SegmentationGraph, path: Path) -> None:
    """Write the network as one self-contained ONNX file for any box of allowed lengths."""
    along = [torch.export.Dim(axis, min=2, max=12) for axis in "ijk"]
    shapes = {
        "image": {axis: SHAPE_MULTIPLE * n for axis, n in enumerate(along)},
        "brain": {axis: SHAPE_MULTIPLE // BRAIN_BLOCK * n for axis, n in enumerate(along)},
    }
    example = (torch.zeros(64, 96, 64), torch.ones(16, 24, 16))
    _export(graph, example, shapes, ["labels", "soft_voxels", "confidence"], path)


def export_locator(graph: LocatorGraph, path: Path) -> None:
    """Write the locator as one self-contained ONNX file."""
    along = [LOCATOR.shape_multiple * torch.export.Dim(axis, min=2, max=32) for axis in "ijk"]
    shapes = {"image": dict(enumerate(along))}
    _export(graph, (torch.zeros(64, 72, 48),), shapes, ["brain"], path)


def halve(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store large float32 weights as float16, cast back when the graph is loaded.

    The arithmetic stays float32; the file shrinks to half. Names of weights are kept, so that
    training can go on from a bundle.

    Raises:
        BundleError: a weight is too large for float16.
    """
    graph = model.graph
    casts = []
    for index, tensor in enumerate(graph.initializer):
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < HALVED_FROM:
            continue
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if not np.isfinite(half).all():
            raise BundleError("weights must fit float16", value=float(np.abs(values).max()))
        full = f"{tensor.name}.float32"
        _rename_input(graph, tensor.name, full)
        graph.initializer[index].CopyFrom(numpy_helper.from_array(half, tensor.name))
        casts.append(helper.make_node("Cast", [tensor.name], [full], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    # Stale types of the renamed weights would contradict the graph.
    del graph.value_info[:]
    return model


def _export(
    graph: nn.Module,
    example: tuple[torch.Tensor, ...],
    shapes: dict[str, dict[int, Any]],
    outputs: list[str],
    path: Path,
) -> None:
    # It says what it would do for torchvision, which nobody needs, and warns of its own calls.
    logging.getLogger(REGISTRATION_LOG).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        program = torch.onnx.export(
            graph,
            example,
            dynamo=True,
            input_names=list(shapes),
            output_names=outputs,
            dynamic_shapes=shapes,
            opset_version=OPSET,
            verbose=False,
            optimize=False,
        )
    if program is None:
        raise BundleError("the graph must be exportable to ONNX", subject=path)
    # Folding a parameter into a constant would lose its name, and training goes on from names.
    optimizer.optimize(program.model, input_size_limit=LARGEST_FOLDED)
    model = halve(_without_traces(program.model_proto))
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def _without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop the exporter's notes: they hold source paths and stack traces of this machine."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.metadata_props[:]
    del model.metadata_props[:]
    for function in model.functions:
        del function.metadata_props[:]
    return model


def _rename_input(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        for position, name in enumerate(node.input):
            if name == old:
                node.input[position] = new
