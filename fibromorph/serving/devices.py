"""Which engines there are, and which of them a bundle runs on.

ONNX Runtime on the CPU is the reference. Any other engine may be measured against it
(`serving.parity`); the manifest keeps what was found, and an engine whose labels differ too much is
refused.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

from fibromorph.errors import BundleError, ConfigError, MissingExtraError
from fibromorph.manifest import LARGEST_DIFFERING_SHARE, Bundle

Device = Literal["auto", "cpu", "cuda", "openvino", "openvino-bf16"]
GPU_DEVICES = ("/dev/nvidiactl", "/dev/dxg")
"""NVIDIA's driver, on Linux and under WSL."""
log = logging.getLogger(__name__)


def package_on(device: Device) -> str:
    """Package, version and device, such as 'openvino 2026.4.1 on openvino-bf16'."""
    package = "onnxruntime" if device in ("cpu", "cuda") else "openvino"
    version = str(importlib.import_module(package).__version__).partition("-")[0]
    return f"{package} {version} on {device}"


def available_cpus() -> int:
    """CPUs that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def require_agreement(bundle: Bundle, device: str) -> None:
    """Refuse an engine that was measured to label too many voxels otherwise than the reference.

    Raises:
        BundleError: it was.
    """
    share = bundle.manifest.engines.get(device, 0.0)
    if share > LARGEST_DIFFERING_SHARE:
        raise BundleError(
            f"labels of {device} may differ from the reference's on "
            f"{LARGEST_DIFFERING_SHARE:.1%} of the voxels; take another --device",
            value=f"{share:.3%}",
            subject=bundle.folder,
        )


def resolve_device(device: str, measured: Mapping[str, float] = MappingProxyType({})) -> Device:
    """Turn 'auto' into what is there, and refuse what is not.

    Args:
        device: one of `Device`.
        measured: engine -> share of voxels that it labels otherwise than the reference.

    Raises:
        ConfigError, MissingExtraError: see `Engine`.
    """
    if device not in get_args(Device):
        raise ConfigError(
            f"must be one of {', '.join(get_args(Device))}", value=device, subject="--device"
        )
    if device == "auto":
        return fastest(measured, gpu=_has_cuda())
    if device.startswith("openvino") and (reason := _openvino_fails()):
        if importlib.util.find_spec("openvino") is None:
            raise MissingExtraError("openvino", "openvino")
        raise ConfigError("openvino must be importable", value=reason, subject="--device")
    if device == "cuda" and not _has_cuda():
        raise ConfigError(
            "onnxruntime must be its build for GPUs, see docs/operating.md, and there must be one",
            value="CPU only",
            subject="--device",
        )
    return device  # type: ignore[return-value]  # a member of Device, checked above


def fastest(measured: Mapping[str, float], *, gpu: bool) -> Device:
    """The fastest engine that is there and agrees with the reference, see `resolve_device`."""
    agreeing = {name for name, share in measured.items() if share <= LARGEST_DIFFERING_SHARE}
    if gpu and "cuda" not in measured.keys() - agreeing:
        return "cuda"
    has_openvino = not _openvino_fails()
    if has_openvino and "openvino-bf16" in agreeing and _has_bfloat16():
        return "openvino-bf16"
    return "openvino" if has_openvino and "openvino" not in measured.keys() - agreeing else "cpu"


@cache
def _openvino_fails() -> str:
    """Why OpenVINO cannot be used; empty where it can.

    It may be there and broken: a library that it needs is missing, or of another version.
    """
    try:
        importlib.import_module("openvino")
    except Exception as error:
        if importlib.util.find_spec("openvino") is not None:
            log.warning("openvino is left aside, it cannot be imported: %s", error)
        return str(error)
    return ""


def _has_bfloat16() -> bool:
    """True where the CPU computes in bfloat16 itself; elsewhere it would be emulated, slowly."""
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _has_cuda() -> bool:
    """True where the package can use a GPU and there is one: it lists what it was built for."""
    import onnxruntime

    built = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    return built and (os.name == "nt" or any(Path(device).exists() for device in GPU_DEVICES))
