"""A bundle that thresholds, and heads of ellipsoids: the whole chain in a fraction of a second."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fibromorph.labels import FREESURFER
from fibromorph.manifest import (
    CARD_NAME,
    GraphFile,
    LabelEntry,
    Manifest,
    Training,
    file_sha256,
    write_manifest,
)
from fibromorph.serving.service.phantom import phantom_scan

GREY, WHITE = 0.3, 1.0
GREY_ID, WHITE_ID = 3, 2
SURE = 230


def make_bundle(folder: Path, version: str = "1") -> Path:
    """Write a bundle whose network calls bright voxels white matter, less bright ones cortex."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(_network(version), folder / "network.onnx")
    onnx.save(_locator(), folder / "locator.onnx")
    (folder / CARD_NAME).write_text("a test\n")
    manifest = Manifest(
        name=folder.name,
        version=version,
        description="thresholds",
        licence="Apache-2.0",
        protocol="freesurfer",
        network=_file(folder, "network.onnx", 4.0),
        locator=_file(folder, "locator.onnx", 4.0),
        labels=tuple(
            LabelEntry(
                id=label.id,
                name=label.name,
                hemisphere=label.hemisphere,
                tissue=label.tissue,
                colour=label.colour,
            )
            for label in FREESURFER
        ),
        training=Training(data=(), steps=0),
    )
    write_manifest(folder, manifest)
    return folder


def write_head(path: Path, seed: int = 0) -> Path:
    """The phantom with other noise; every seed has other bytes."""
    scan = phantom_scan()
    noise = np.random.default_rng(seed).integers(0, 3, scan.data.shape)
    image = nib.Nifti1Image((scan.data + noise).astype(np.int16), scan.grid.affine_ijk_to_ras)
    image.header["descrip"] = b"DOE^JANE 1970-01-01"
    nib.save(image, path)
    return path


def _file(folder: Path, name: str, spacing_mm: float) -> GraphFile:
    return GraphFile(
        file=name,
        sha256=file_sha256(folder / name),
        spacing_mm=spacing_mm,
        shape_multiple=8,
        smallest_length=16,
    )


def _network(version: str) -> onnx.ModelProto:
    counts = [WHITE_ID, GREY_ID]
    rows = np.array([[float(label.id == i) for label in FREESURFER] for i in counts], np.float32)
    nodes = [
        helper.make_node("Greater", ["image", "white_from"], ["white"]),
        helper.make_node("Greater", ["image", "grey_from"], ["bright"]),
        helper.make_node("Cast", ["white"], ["white_f"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["bright"], ["bright_f"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["bright_f", "white_f"], ["grey_f"]),
        helper.make_node("Mul", ["white_f", "white_id"], ["white_ids"]),
        helper.make_node("Mul", ["grey_f", "grey_id"], ["grey_ids"]),
        helper.make_node("Add", ["white_ids", "grey_ids"], ["ids"]),
        helper.make_node("Cast", ["ids"], ["labels"], to=TensorProto.UINT8),
        helper.make_node("ReduceSum", ["white_f"], ["n_white"], keepdims=0),
        helper.make_node("ReduceSum", ["grey_f"], ["n_grey"], keepdims=0),
        helper.make_node("Mul", ["n_white", "white_row"], ["soft_white"]),
        helper.make_node("Mul", ["n_grey", "grey_row"], ["soft_grey"]),
        helper.make_node("Add", ["soft_white", "soft_grey"], ["soft"]),
        helper.make_node("Mul", ["white_f", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "sure"], ["confidence_f"]),
        helper.make_node("Cast", ["confidence_f"], ["confidence"], to=TensorProto.UINT8),
    ]
    constants = {
        "white_from": WHITE,
        "grey_from": GREY,
        "white_id": float(WHITE_ID),
        "grey_id": float(GREY_ID),
        "zero": 0.0,
        "sure": float(SURE),
        "white_row": rows[0],
        "grey_row": rows[1],
    }
    outputs = [
        helper.make_tensor_value_info("labels", TensorProto.UINT8, ["i", "j", "k"]),
        helper.make_tensor_value_info("soft", TensorProto.FLOAT, [len(FREESURFER.ids)]),
        helper.make_tensor_value_info("confidence", TensorProto.UINT8, ["i", "j", "k"]),
    ]
    model = _model(nodes, outputs, constants)
    model.doc_string = version
    return model


def _locator() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Greater", ["image", "from"], ["found"]),
        helper.make_node("Cast", ["found"], ["found_f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["found_f", "full"], ["scaled"]),
        helper.make_node("Cast", ["scaled"], ["probability"], to=TensorProto.UINT8),
    ]
    output = helper.make_tensor_value_info("probability", TensorProto.UINT8, ["i", "j", "k"])
    return _model(nodes, [output], {"from": GREY, "full": 255.0})


def _model(
    nodes: list[onnx.NodeProto],
    outputs: list[onnx.ValueInfoProto],
    constants: dict[str, float | np.ndarray],
) -> onnx.ModelProto:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["i", "j", "k"])
    initial = [numpy_helper.from_array(np.float32(v), name) for name, v in constants.items()]
    graph = helper.make_graph(nodes, "tiny", [image], outputs, initial)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
