"""A bundle that takes milliseconds: thresholds instead of a network, everything else real."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from fibromorph.labels import FREESURFER, Label
from fibromorph.manifest import (
    CARD_NAME,
    GraphFile,
    LabelEntry,
    Manifest,
    Training,
    file_sha256,
    write_manifest,
)

OPSET = 20
WHITE, GREY = (2, 41), (3, 42)


@dataclass(frozen=True)
class Seen:
    """What the stand-in sees.

    Attributes:
        white_above: standard deviations above the mean from which a voxel is white matter.
        grey_above: the same of cortex.
        brain_above: the same of the locator's brain.
        network_mm, locator_mm: voxels of both.
    """

    white_above: float = 1.6
    grey_above: float = -0.2
    brain_above: float = 0.5
    network_mm: float = 3.0
    locator_mm: float = 6.0


def write_stand_in(
    folder: Path, *, name: str = "stand-in", version: str = "1.0", seen: Seen = Seen()
) -> Path:
    """Write the bundle: bright voxels are white matter, darker ones cortex, lower i is left.

    Args:
        folder: of the bundle, made or written over.
        name, version: in its manifest; another version is another network file.
        seen: what it calls what; another one is another bundle.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _save(_segmentation(seen), folder / "network.onnx", version)
    _save(_locator(seen.brain_above), folder / "locator.onnx", version)
    (folder / CARD_NAME).write_text("Thresholds, for tests\n")
    entries = tuple(
        LabelEntry(
            id=label.id,
            name=label.name,
            hemisphere=label.hemisphere,
            tissue=label.tissue,
            colour=label.colour,
            relative_sd=0.01,
            reference_confidence=0.9,
        )
        for label in _labels()
    )
    manifest = Manifest(
        name=name,
        version=version,
        description="Thresholds, for tests",
        licence="Apache-2.0",
        protocol="freesurfer",
        network=_file(folder, "network.onnx", seen.network_mm, 32),
        locator=_file(folder, "locator.onnx", seen.locator_mm, 8),
        labels=entries,
        training=Training(data=("none",), steps=0),
    )
    write_manifest(folder, manifest)
    return folder


def _labels() -> list[Label]:
    return [label for label in FREESURFER if label.id in (*WHITE, *GREY)]


def _file(folder: Path, name: str, spacing_mm: float, smallest: int) -> GraphFile:
    digest = file_sha256(folder / name)
    return GraphFile(
        file=name, sha256=digest, spacing_mm=spacing_mm, shape_multiple=8, smallest_length=smallest
    )


def _segmentation(seen: Seen) -> onnx.GraphProto:
    """Ids by threshold; the right twin where i is beyond the middle; soft sums are counts."""
    ids = [label.id for label in _labels()]
    nodes = [
        helper.make_node("Greater", ["image", "white_above"], ["is_white"]),
        helper.make_node("Greater", ["image", "grey_above"], ["is_brain"]),
        helper.make_node("Where", ["is_white", "white", "grey"], ["tissue"]),
        helper.make_node("Shape", ["image"], ["lengths"], start=0, end=1),
        helper.make_node("Squeeze", ["lengths"], ["length"]),
        helper.make_node("Range", ["zero", "length", "one"], ["i"]),
        helper.make_node("Add", ["i", "i"], ["twice_i"]),
        helper.make_node("GreaterOrEqual", ["twice_i", "length"], ["on_right"]),
        helper.make_node("Where", ["on_right", "twin", "zero"], ["shift"]),
        helper.make_node("Unsqueeze", ["shift", "last_axes"], ["shift_ijk"]),
        helper.make_node("Add", ["tissue", "shift_ijk"], ["sided"]),
        helper.make_node("Where", ["is_brain", "sided", "zero"], ["numbers"]),
        helper.make_node("Cast", ["numbers"], ["labels"], to=TensorProto.UINT8),
    ]
    for number in ids:
        nodes += [
            helper.make_node("Equal", ["numbers", f"id_{number}"], [f"is_{number}"]),
            helper.make_node("Cast", [f"is_{number}"], [f"f_{number}"], to=TensorProto.FLOAT),
            helper.make_node("ReduceSum", [f"f_{number}", "axes"], [f"n_{number}"], keepdims=0),
            helper.make_node("Unsqueeze", [f"n_{number}", "first_axis"], [f"row_{number}"]),
        ]
    nodes += [
        helper.make_node("Concat", [f"row_{i}" for i in ids], ["soft_voxels"], axis=0),
        helper.make_node("Where", ["is_brain", "sure", "unsure"], ["confidence"]),
    ]
    return helper.make_graph(
        nodes,
        "stand-in",
        [_value("image", TensorProto.FLOAT, ["i", "j", "k"])],
        [
            _value("labels", TensorProto.UINT8, ["i", "j", "k"]),
            _value("soft_voxels", TensorProto.FLOAT, [len(ids)]),
            _value("confidence", TensorProto.UINT8, ["i", "j", "k"]),
        ],
        [
            _scalar("white_above", TensorProto.FLOAT, seen.white_above),
            _scalar("grey_above", TensorProto.FLOAT, seen.grey_above),
            *(_scalar(f"id_{i}", TensorProto.INT64, i) for i in ids),
            *(_scalar(n, TensorProto.INT64, v) for n, v in CONSTANTS.items()),
            _scalar("sure", TensorProto.UINT8, 230),
            _scalar("unsure", TensorProto.UINT8, 255),
            helper.make_tensor("axes", TensorProto.INT64, [3], [0, 1, 2]),
            helper.make_tensor("last_axes", TensorProto.INT64, [2], [1, 2]),
            helper.make_tensor("first_axis", TensorProto.INT64, [1], [0]),
        ],
    )


CONSTANTS = {"white": WHITE[0], "grey": GREY[0], "twin": 39, "zero": 0, "one": 1}


def _locator(brain_above: float) -> onnx.GraphProto:
    nodes = [
        helper.make_node("Greater", ["image", "above"], ["is_brain"]),
        helper.make_node("Where", ["is_brain", "yes", "no"], ["probability"]),
    ]
    constants = [
        _scalar("above", TensorProto.FLOAT, brain_above),
        _scalar("yes", TensorProto.UINT8, 255),
        _scalar("no", TensorProto.UINT8, 0),
    ]
    return helper.make_graph(
        nodes,
        "stand-in-locator",
        [_value("image", TensorProto.FLOAT, ["i", "j", "k"])],
        [_value("probability", TensorProto.UINT8, ["i", "j", "k"])],
        constants,
    )


def _value(name: str, kind: int, shape: list[str | int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _scalar(name: str, kind: int, value: float) -> onnx.TensorProto:
    return helper.make_tensor(name, kind, [], [value])


def _save(graph: onnx.GraphProto, path: Path, version: str) -> None:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    model.doc_string = version
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
