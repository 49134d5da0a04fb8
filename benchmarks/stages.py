"""Seconds and peak memory of every stage of one scan.

All numbers of one run come from one process on one machine; compare ratios, not machines.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from fibromorph.postprocessing.components import keep_main_components
from fibromorph.preprocess import conform
from fibromorph.scans import read_scan, restore_labels
from fibromorph.serving.bundles import find_bundle
from fibromorph.serving.demo.scan import write_template
from fibromorph.serving.devices import available_cpus
from fibromorph.serving.engine import Engine
from fibromorph.serving.outputs.writing import write_outputs
from fibromorph.serving.pipeline import segment_scan

LINE = "{:<34} {:>9} {:>10}"
T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scan", type=Path, help="default: the template that nilearn carries")
    parser.add_argument("--model", default="t1-open")
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    print(f"{options.threads or available_cpus()} threads")
    print(LINE.format("stage", "seconds", "peak GB"))
    with tempfile.TemporaryDirectory() as folder:
        scan_path = options.scan or Path(folder) / "template.nii.gz"
        if options.scan is None:
            write_template(scan_path)
        seconds = {
            device: bench_device(device, scan_path, Path(folder), options)
            for device in ("cpu", "openvino")
            if device == "cpu" or importlib.util.find_spec("openvino")
        }
        if len(seconds) == 2:
            ratio = seconds["cpu"] / seconds["openvino"]
            print(f"network: onnxruntime takes {ratio:.1f} times as long as openvino")


def bench_device(device: str, path: Path, folder: Path, options: argparse.Namespace) -> float:
    """Print every stage; returns the seconds of the network."""
    print(f"-- {device}")
    engine = timed(
        "load bundle", lambda: Engine(find_bundle(options.model), device, options.threads)
    )
    manifest = engine.bundle.manifest
    scan = timed("read", lambda: read_scan(path))
    conformed = timed(
        "conform (locate, sample)",
        lambda: conform(scan, manifest.network, manifest.locator, engine.locate),
    )
    print(f"   box {' x '.join(map(str, conformed.grid.shape))}")
    started = time.perf_counter()
    prediction = timed("network", lambda: engine.segment(conformed.network_input, conformed.brain))
    network = time.perf_counter() - started
    labels = timed("components", lambda: keep_main_components(prediction.labels, manifest.table))
    timed("restore to the scan's grid", lambda: restore_labels(labels, conformed.grid, scan.grid))
    result = timed("all of these again, and volumes", lambda: segment_scan(scan, engine))
    timed("write four files", lambda: write_outputs(result, folder / device))
    return network


def timed(name: str, work: Callable[[], T]) -> T:
    """Do the work, print its seconds and the peak of the process's memory during it."""
    started = time.perf_counter()
    with peak_memory() as peak:
        out = work()
    print(LINE.format(name, f"{time.perf_counter() - started:.2f}", f"{peak():.2f}"), flush=True)
    return out


@contextmanager
def peak_memory() -> Iterator[Callable[[], float]]:
    """Peak resident memory, in GB, since entering; Linux can forget an earlier peak."""
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5")
    yield _resident_peak


def _resident_peak() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1e6
    return float("nan")


if __name__ == "__main__":
    main()
