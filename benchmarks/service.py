"""What the service costs beside `fibromorph segment`, and what hostile uploads cost it.

Compares one process that segments scans one after the other with a service that gets the same
scans, both with the same threads, on the same machine, in turns; on a machine that has other things
to do, look at the processor seconds. Then sends the hostile uploads of
the tests and prints the slowest answer and the memory of the API's process.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import httpx
import nibabel as nib
import numpy as np

from fibromorph.scans import read_scan
from fibromorph.serving.bundles import DEFAULT_BUNDLE, find_bundle
from fibromorph.serving.demo.scan import write_template
from fibromorph.serving.devices import available_cpus
from fibromorph.serving.engine import Engine
from fibromorph.serving.outputs.writing import write_outputs
from fibromorph.serving.pipeline import segment_scan
from tests.serving.service.corpus import hostile_uploads
from tests.serving.service.server import Server

LINE = "{:<44} {:>10}"
ANSWER_SECONDS = 5.0
LARGEST_MEMORY_MB = 400


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scans", type=int, default=5, help="in each of the comparisons")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scans = [write_scan(folder / f"{n}.nii.gz", n) for n in range(2 * options.scans)]
        server = Server(
            folder / "service",
            device=options.device,
            workers=1,
            uploads_per_minute=10_000,
            requests_per_minute=100_000,
        ).start()
        compare(scans, server, options.device, folder / "out")
        refuse(server, folder)
        server.stop()


def write_scan(path: Path, seed: int) -> Path:
    """The template at 1 mm with a little noise, so that no two have the same bytes."""
    write_template(path)
    image = nib.load(path)
    data = np.asanyarray(image.dataobj)
    noise = np.random.default_rng(seed).normal(0, 0.002 * float(data.max()), data.shape)
    nib.save(nib.Nifti1Image((data + noise).astype(np.float32), image.affine), path)
    return path


def compare(scans: list[Path], server: Server, device: str, out: Path) -> None:
    """Single scans in turns, then all at once against one after the other."""
    engine = Engine(find_bundle(DEFAULT_BUNDLE), device, available_cpus())
    bare(scans[:1], engine, out)
    half = len(scans) // 2
    served(scans[:1], server)
    used = server.processor_seconds()
    singles = [(bare([scan], engine, out), served([scan], server)) for scan in scans[1:half]]
    used = server.processor_seconds() - used
    print(LINE.format("bare, seconds a scan (median)", f"{median(singles, 0):.2f}"))
    print(LINE.format("through the service, seconds a scan", f"{median(singles, 1):.2f}"))
    overhead = statistics.median(b - a for a, b in singles)
    print(LINE.format("overhead, seconds (median; goal < 1)", f"{overhead:.2f}"))
    before = time.process_time()
    bare(scans[1:half], engine, out)
    more = (used - (time.process_time() - before)) / len(singles)
    print(LINE.format("the same in processor seconds", f"{more:.2f}"))
    rest = scans[half:]
    one_by_one, queued = bare(rest, engine, out), served(rest, server)
    print(LINE.format("throughput of the bare engine (goal >= 90 %)", f"{one_by_one / queued:.0%}"))


def median(pairs: list[tuple[float, float]], which: int) -> float:
    """The middle of one side."""
    return statistics.median(pair[which] for pair in pairs)


def bare(scans: list[Path], engine: Engine, out: Path) -> float:
    """Seconds of what `fibromorph segment` does for these scans."""
    started = time.perf_counter()
    for scan in scans:
        write_outputs(segment_scan(read_scan(scan), engine), out)
    return time.perf_counter() - started


def served(scans: list[Path], server: Server) -> float:
    """Seconds from the first upload to the last result."""
    with server.client() as client:
        started = time.perf_counter()
        jobs = [client.submit(scan).id for scan in scans]
        for job in jobs:
            client.wait(job, every=0.05)
        return time.perf_counter() - started


def refuse(server: Server, folder: Path) -> None:
    """Every hostile upload: status, seconds, memory of the API."""
    slowest = largest = 0.0
    for name, content in hostile_uploads(folder).items():
        started = time.perf_counter()
        status = httpx.post(f"{server.url}/v1/scans", content=content, timeout=60).status_code
        seconds, memory = time.perf_counter() - started, server.memory_mb()
        slowest, largest = max(slowest, seconds), max(largest, memory)
        print(LINE.format(f"{status} {name}", f"{seconds:.2f} s"))
    print(LINE.format(f"slowest refusal (goal < {ANSWER_SECONDS:g} s)", f"{slowest:.2f} s"))
    print(LINE.format(f"memory of the API (goal < {LARGEST_MEMORY_MB} MB)", f"{largest:.0f} MB"))


if __name__ == "__main__":
    main()
