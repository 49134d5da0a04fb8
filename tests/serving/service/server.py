"""A real service in a process of its own, which tests may kill."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from fibromorph.client import Client

READY_SECONDS = 300.0
STOP_SECONDS = 120.0


class Server:
    """`fibromorph serve` with a configuration of its own, on a free port of loopback."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.prefix: Sequence[str] = ()
        self.folder = folder
        self.data = folder / "data"
        folder.mkdir(parents=True, exist_ok=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = folder / "serve.yaml"
        content = {"port": self.port, "data_dir": str(self.data), "keep_free_mb": 0, **settings}
        self.config.write_text(yaml.safe_dump(content))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Server:
        """Start, and wait until scans are accepted."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *self.prefix,
                    sys.executable,
                    "-m",
                    "fibromorph.cli",
                    "serve",
                    "--config",
                    str(self.config),
                ],
                stderr=log,
            )
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/health/ready").status_code == 200:
                    return self
            time.sleep(0.1)
        self.process.kill()
        raise AssertionError(f"the service did not start:\n{self.log[-3000:]}")

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def client(self, key: str | None = None) -> Client:
        return Client(self.url, key)

    def workers(self) -> list[psutil.Process]:
        """Dask's worker processes: spawned, with threads of their own."""
        assert self.process is not None
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(self.process.pid).children()
            return [child for child in children if _is_worker(child)]
        return []

    def processor_seconds(self) -> float:
        """What the service, its workers and its readers have used so far."""
        assert self.process is not None
        root = psutil.Process(self.process.pid)
        return sum(sum(process.cpu_times()[:4]) for process in [root, *root.children(True)])

    def memory_mb(self) -> float:
        """Resident memory of the API's process."""
        assert self.process is not None
        return float(psutil.Process(self.process.pid).memory_info().rss) / 2**20

    def kill(self) -> None:
        """kill -9, and nothing gets to say goodbye."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(STOP_SECONDS)


def _is_worker(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        line = " ".join(process.cmdline())
        return "multiprocessing.spawn" in line and process.memory_info().rss > 50 * 2**20
    return False
