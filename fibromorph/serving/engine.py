"""What runs a bundle: ONNX Runtime on CPU or CUDA, or OpenVINO, behind one small interface."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from fibromorph.errors import ConfigError, MissingExtraError
from fibromorph.manifest import Bundle

Device = Literal["auto", "cpu", "cuda", "openvino"]
Image = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the network says of one box.

    Attributes:
        labels: (i, j, k) uint8 label ids.
        soft_voxels: label id -> sum of posteriors, in voxels.
        confidence: (i, j, k) float32 in 0..1, the winning posterior.
    """

    labels: NDArray[np.uint8]
    soft_voxels: dict[int, float]
    confidence: NDArray[np.float32]


class Graph(Protocol):
    """One loaded ONNX graph."""

    def __call__(self, image: Image) -> list[NDArray[Any]]:
        """The graph's outputs, in order, for one (i, j, k) float32 image."""


class Engine:
    """A bundle, loaded.

    Args:
        bundle: verified bundle.
        device: 'auto' takes CUDA, then OpenVINO, then the CPU, whichever is installed first.
        threads: CPU threads; 0 = as many as this process may use.

    Raises:
        ConfigError: unknown device, or one that is not there.
        MissingExtraError: its package is not installed.
    """

    def __init__(self, bundle: Bundle, device: str = "auto", threads: int = 0) -> None:
        self.bundle = bundle
        self.device = resolve_device(device)
        self.threads = threads or available_cpus()
        load = _load_openvino if self.device == "openvino" else _load_onnxruntime
        self._network = load(bundle.network_path, self.device, self.threads)
        self._locator = load(bundle.locator_path, self.device, self.threads)

    @property
    def description(self) -> str:
        """Engine, version and threads, for provenance."""
        package = "openvino" if self.device == "openvino" else "onnxruntime"
        version = str(importlib.import_module(package).__version__).partition("-")[0]
        return f"{package} {version} on {self.device}, {self.threads} threads"

    def locate(self, image: Image) -> NDArray[np.float32]:
        """Probability of brain, 0..1, on the locator's coarse grid.

        Args:
            image: (i, j, k) float32, normalised, at the locator's spacing.
        """
        (probability,) = self._locator(image)
        return probability.astype(np.float32) / 255.0

    def segment(self, image: Image) -> Prediction:
        """Label every voxel of a box.

        Args:
            image: (i, j, k) float32, normalised, at the network's spacing, lengths multiples of
                the manifest's `shape_multiple`.
        """
        labels, soft, confidence = self._network(image)
        ids = (entry.id for entry in self.bundle.manifest.labels)
        soft_voxels = {i: float(s) for i, s in zip(ids, soft, strict=True)}
        return Prediction(labels, soft_voxels, confidence.astype(np.float32) / 255.0)


def available_cpus() -> int:
    """CPUs that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def resolve_device(device: str) -> Device:
    """Turn 'auto' into what is there, and refuse what is not.

    Raises:
        ConfigError, MissingExtraError: see `Engine`.
    """
    if device not in get_args(Device):
        raise ConfigError(
            f"must be one of {', '.join(get_args(Device))}", value=device, subject="--device"
        )
    has_openvino = importlib.util.find_spec("openvino") is not None
    if device == "auto":
        return "cuda" if _has_cuda() else "openvino" if has_openvino else "cpu"
    if device == "openvino" and not has_openvino:
        raise MissingExtraError("openvino", "openvino")
    if device == "cuda" and not _has_cuda():
        raise ConfigError(
            "onnxruntime must have its CUDA provider (pip install 'fibromorph[gpu]')",
            value="CPU only",
            subject="--device",
        )
    return device  # type: ignore[return-value]  # a member of Device, checked above


def _has_cuda() -> bool:
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def _load_onnxruntime(path: Path, device: Device, threads: int) -> Graph:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    cpu = ["CPUExecutionProvider"]
    providers = ["CUDAExecutionProvider", *cpu] if device == "cuda" else cpu
    session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    name = session.get_inputs()[0].name

    def run(image: Image) -> list[NDArray[Any]]:
        return list(session.run(None, {name: image}))

    return run


def _load_openvino(path: Path, device: Device, threads: int) -> Graph:  # noqa: ARG001
    import openvino

    # f32: bf16 is a third faster and moves volumes by a few voxels; parity comes first.
    options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().compile_model(str(path), "CPU", options)

    def run(image: Image) -> list[NDArray[Any]]:
        answer = model([image])
        return [answer[n].copy() for n in range(len(model.outputs))]

    return run
