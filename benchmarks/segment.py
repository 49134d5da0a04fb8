"""From scan to report: wall time and peak memory of `fibromorph segment`, Python's start included.

Every round runs each model with each option once, one after the other, so that a slow hour of the
machine is everyone's. Prints the median of the rounds and the share of the first column.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from tqdm import tqdm

OPTIONS = {
    "volumes": [],
    "`--thickness`": ["--thickness"],
    "`--tissue`": ["--tissue"],
    "`--vbm`": ["--vbm"],
    "`--atlas desikan_killiany`": ["--atlas", "desikan_killiany"],
}
KIB_PER_GB = 1e9 / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scan", type=Path)
    parser.add_argument("--model", action="append", help="bundles (default: both that ship)")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    models = options.model or ["t1-open", "t1-research"]
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for _ in tqdm(range(options.rounds), unit="round"):
        for model in models:
            for name, added in OPTIONS.items():
                found.setdefault((model, name), []).append(_run(options.scan, model, added))
    print(f"| model | {' | '.join(OPTIONS)} |\n|---{'|---' * len(OPTIONS)}|")
    for model in models:
        print(f"| `{model}` | {' | '.join(_cell(found, model, name) for name in OPTIONS)} |")


def _run(scan: Path, model: str, added: list[str]) -> tuple[float, float]:
    """Seconds, and peak memory in GB, of one call."""
    with tempfile.TemporaryDirectory() as out:
        call = [sys.executable, "-m", "fibromorph", "segment", str(scan), "--out", out]
        started = time.monotonic()
        process = subprocess.Popen([*call, "--model", model, *added], stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
    if status:
        sys.exit(f"fibromorph segment ended with {os.waitstatus_to_exitcode(status)}")
    return seconds, used.ru_maxrss / KIB_PER_GB


def _cell(found: dict[tuple[str, str], list[tuple[float, float]]], model: str, name: str) -> str:
    seconds, gigabytes = (median(values) for values in zip(*found[model, name], strict=True))
    first = median(s for s, _ in found[model, next(iter(OPTIONS))])
    return f"{seconds:.1f} s ({seconds / first:.2f}), {gigabytes:.2f} GB"


if __name__ == "__main__":
    main()
