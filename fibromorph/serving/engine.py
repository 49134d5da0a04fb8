"""What runs a bundle: ONNX Runtime on CPU or CUDA, or OpenVINO, behind one small interface."""

from __future__ import annotations

import logging
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fibromorph.errors import BundleError, ConfigError
from fibromorph.located import BRAIN_BLOCK, Image, brain_of
from fibromorph.manifest import Bundle, Manifest
from fibromorph.serving.background import begun
from fibromorph.serving.devices import (
    Device,
    available_cpus,
    fastest,
    package_on,
    require_agreement,
    resolve_device,
)

Shapes = tuple[tuple[int, ...], ...]
"""Of a graph's inputs."""
log = logging.getLogger(__name__)

SHAPES_KEPT = 4
"""Shapes that OpenVINO stays compiled for; lengths are multiples of 32, so heads have few."""
OUTPUTS = 3
"""Of the network, see `Prediction`."""
USUAL_BOX = (160, 192, 160)
"""The shape that most heads need at 1 mm: 15 of 18 scans."""


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

    def __call__(self, *inputs: Image) -> list[NDArray[Any]]:
        """The graph's outputs for its inputs, (i, j, k) float32 each; both in the graph's order."""


class Engine:
    """A bundle, loaded.

    Args:
        bundle: verified bundle.
        device: 'auto' takes the fastest that is there and agrees with the reference: CUDA,
            OpenVINO in bfloat16 (only where parity was measured), OpenVINO, the CPU.
        threads: CPU threads; 0 = as many as this process may use.

    Raises:
        ConfigError: unknown device, one that is not there, or fewer than 0 threads.
        MissingExtraError: its package is not installed.
        BundleError: this engine's labels were measured to differ from the reference's, or a graph
            does not load.
    """

    def __init__(self, bundle: Bundle, device: str = "auto", threads: int = 0) -> None:
        if threads < 0:
            raise ConfigError("must be 0 (all) or more", value=threads, subject="--threads")
        self.bundle = bundle
        self.device = resolve_device(device, bundle.manifest.engines)
        self.threads = threads or available_cpus()
        require_agreement(bundle, self.device)
        try:
            self._network, self._locator = self._loaded()
        except ConfigError as error:
            if device != "auto":
                raise
            self.device = _without_gpu(bundle, error)
            self._network, self._locator = self._loaded()

    def _loaded(self) -> tuple[Graph, Graph]:
        """Network and locator.

        Raises:
            ConfigError: the GPU cannot be used.
            BundleError: a file is not a graph.
        """
        network, locator = self.bundle.network_path, self.bundle.locator_path
        try:
            if self.device in ("cpu", "cuda"):
                return (
                    _load_onnxruntime(network, self.device, self.threads),
                    _load_onnxruntime(locator, self.device, self.threads),
                )
            likely = usual_shapes(self.bundle.manifest)
            return (
                _OpenVinoGraph(network, self.device, self.threads, likely=likely),
                # Always float32: it costs little, and another rounding could move the box by a
                # voxel.
                _OpenVinoGraph(locator, "openvino", self.threads),
            )
        except ConfigError:
            raise
        except Exception as error:
            rule = "the bundle's graphs must load; see `fibromorph models verify`"
            raise BundleError(rule, value=error, subject=self.bundle.folder) from error

    @property
    def description(self) -> str:
        """Engine, version and threads, for provenance."""
        return f"{package_on(self.device)}, {self.threads} threads"

    def locate(self, image: Image) -> Image:
        """Share of brain of each voxel of the locator's coarse grid, (i, j, k), 0 to 1.

        Args:
            image: (i, j, k) float32, normalised, at the locator's spacing.
        """
        return brain_of(self._locator(image))

    def segment(self, image: Image, brain: Image) -> Prediction:
        """Label every voxel of a box.

        Args:
            image: (i, j, k) float32, normalised, at the network's spacing, lengths multiples of
                the manifest's `shape_multiple`.
            brain: (i/4, j/4, k/4) float32, the share of brain, see `Conformed.brain`; of no use to
                a bundle whose statistics are the box's.

        Raises:
            BundleError: the network's answer is not the manifest's.
        """
        inputs = (image,) if self.bundle.manifest.statistics == "box" else (image, brain)
        answer = self._network(*inputs)
        if len(answer) != OUTPUTS:
            raise BundleError(
                f"{self.bundle.manifest.network.file} must answer with labels, sums of posteriors"
                " and confidence",
                value=f"{len(answer)} outputs",
                subject=self.bundle.folder,
            )
        labels, soft, confidence = answer
        ids = [entry.id for entry in self.bundle.manifest.labels]
        if len(soft) != len(ids):
            raise BundleError(
                f"the manifest must name all labels of {self.bundle.manifest.network.file}"
                f" ({len(soft)})",
                value=len(ids),
                subject=self.bundle.folder,
            )
        soft_voxels = {i: float(s) for i, s in zip(ids, soft, strict=True)}
        return Prediction(labels, soft_voxels, confidence.astype(np.float32) / 255.0)


def usable_device(bundle: Bundle, device: str) -> Device:
    """What `Engine` would run on here, for who has to know before anything is loaded.

    That a GPU can be used shows only when it is loaded. A process of its own does that: this one
    would keep memory of the GPU, or all of it where it takes one process at a time, from workers.

    Raises:
        ConfigError, MissingExtraError, BundleError: see `Engine`.
    """
    found = resolve_device(device, bundle.manifest.engines)
    if device != "auto" or found != "cuda":
        return found
    try:
        with ProcessPoolExecutor(1, get_context("spawn")) as apart:
            apart.submit(_load, bundle, found).result()
    except (ConfigError, BrokenProcessPool) as error:
        return _without_gpu(bundle, error)
    return found


def _load(bundle: Bundle, device: Device) -> None:
    Engine(bundle, device)


def _without_gpu(bundle: Bundle, error: Exception) -> Device:
    log.warning("the GPU is left aside: %s", error)
    return fastest(bundle.manifest.engines, gpu=False)


def usual_shapes(manifest: Manifest) -> Shapes | None:
    """Of the network's inputs, for most heads; None where nobody counted."""
    if manifest.network.spacing_mm != 1.0:
        return None
    brain = tuple(length // BRAIN_BLOCK for length in USUAL_BOX)
    return (USUAL_BOX,) if manifest.statistics == "box" else (USUAL_BOX, brain)


def _load_onnxruntime(path: Path, device: Device, threads: int) -> Graph:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    cpu = ["CPUExecutionProvider"]
    providers = ["CUDAExecutionProvider", *cpu] if device == "cuda" else cpu
    # Of its bytes, not of its file: a graph may not fetch weights from files that have no hash.
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=providers)
    if session.get_providers()[0] != providers[0]:
        raise ConfigError(
            "onnxruntime must be able to use the GPU; see its log for the reason",
            value=session.get_providers()[0],
            subject="--device cuda",
        )
    names = [wanted.name for wanted in session.get_inputs()]

    def run(*inputs: Image) -> list[NDArray[Any]]:
        return list(session.run(None, dict(zip(names, inputs, strict=True))))

    return run


class _OpenVinoGraph:
    """A graph in OpenVINO, compiled once for every shape that comes.

    Of a graph that takes any shape OpenVINO plans no memory ahead: it would need twice as much, and
    more time for the first image than it takes to compile.

    Args:
        path: of the ONNX file.
        device: 'openvino' or 'openvino-bf16'.
        threads: CPU threads.
        likely: shapes of inputs that will probably come; compiled in the background meanwhile.
    """

    def __init__(
        self, path: Path, device: Device, threads: int, likely: Shapes | None = None
    ) -> None:
        import openvino

        self._core = openvino.Core()
        self._model = self._core.read_model(path.read_bytes())
        precision = "bf16" if device == "openvino-bf16" else "f32"
        self._options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision}
        self._compiled: dict[Shapes, Any] = {}
        self._early: dict[Shapes, Future[Any]] = {}
        if likely:
            self._early[likely] = begun(self._compile, likely)

    def __call__(self, *inputs: Image) -> list[NDArray[Any]]:
        compiled = self._compiled_for(tuple(image.shape for image in inputs))
        answer = compiled(list(inputs))
        return [answer[n].copy() for n in range(len(compiled.outputs))]

    def _compiled_for(self, shapes: Shapes) -> Any:
        compiled = self._compiled.pop(shapes, None)
        # Only the shape at hand keeps its working memory, and the least recent ones are forgotten.
        for other in self._compiled.values():
            other.release_memory()
        if compiled is None:
            early = self._early.pop(shapes, None)
            self._early.clear()
            compiled = early.result() if early else self._compile(shapes)
        self._compiled[shapes] = compiled
        while len(self._compiled) > SHAPES_KEPT:
            del self._compiled[next(iter(self._compiled))]
        return compiled

    def _compile(self, shapes: Shapes) -> Any:
        model = self._model.clone()
        model.reshape({n: list(shape) for n, shape in enumerate(shapes)})
        return self._core.compile_model(model, "CPU", self._options)
