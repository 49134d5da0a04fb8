"""Whatever is killed, and when: every accepted job ends, once."""

from __future__ import annotations

import gzip
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import nibabel as nib
import numpy as np
import pytest

from fibromorph.client import Client, Job, ServiceError
from tests.serving.service.server import Server
from tests.serving.service.tiny import write_head

JOBS = 20
ENOUGH_SECONDS = 300.0
CLIENTS, UPLOADS_EACH = 20, 10


@pytest.fixture
def client(fragile: Server) -> Iterator[Client]:
    with fragile.client() as client:
        yield client


@pytest.fixture(scope="module")
def fragile(
    tmp_path_factory: pytest.TempPathFactory, tiny_settings: dict[str, object]
) -> Iterator[Server]:
    """A service that the tests of this module may kill, and start again."""
    server = Server(tmp_path_factory.mktemp("fragile"), **tiny_settings).start()
    yield server
    if server.process is not None and server.process.poll() is None:
        server.kill()


def large_head(path: Path, seed: int) -> Path:
    """A head that keeps a worker busy for a second or more."""
    small = nib.load(write_head(path, seed))
    data = np.asarray(small.dataobj).repeat(4, 0).repeat(4, 1).repeat(4, 2)
    affine = small.affine @ np.diag([0.25, 0.25, 0.25, 1.0])
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


def ended(client: Client) -> list[Job]:
    return client.jobs(["done", "failed", "cancelled"], limit=200)


def wait_for(condition: object, seconds: float = ENOUGH_SECONDS) -> None:
    until = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.02)


def kill_worker(server: Server) -> None:
    wait_for(server.workers)
    for worker in server.workers():
        worker.kill()


def endings(server: Server) -> Counter[str]:
    """How often each job was recorded as done, by the audit log."""
    with sqlite3.connect(server.data / "ledger.sqlite") as ledger:
        return Counter(
            row[0]
            for row in ledger.execute(
                "SELECT subject FROM audit WHERE action IN ('done', 'failed', 'cancelled')"
            )
        )


def test_twenty_jobs_survive_three_kills(fragile: Server, client: Client, tmp_path: Path) -> None:
    jobs = [client.submit(write_head(tmp_path / f"{n}.nii.gz", 100 + n)).id for n in range(JOBS)]
    for done in (3, 8):
        wait_for(lambda done=done: len(ended(client)) >= done)
        kill_worker(fragile)
    wait_for(lambda: len(ended(client)) >= 12)
    fragile.kill()
    fragile.start()
    wait_for(lambda: len(ended(client)) == JOBS)
    assert {job.id for job in ended(client)} == set(jobs)
    assert all(job.state == "done" or job.problem for job in ended(client))
    assert Counter(job.state for job in ended(client))["done"] >= JOBS - 2
    assert endings(fragile) == Counter(jobs)
    for job in client.jobs(["done"], limit=200):
        path = client.download(job.id, "segmentation", tmp_path / "labels.nii.gz")
        assert gzip.decompress(path.read_bytes())
    assert not list((fragile.data / "work").iterdir())
    assert not list((fragile.data / "inputs").iterdir())


def test_a_scan_that_kills_its_workers_fails_alone(
    fragile: Server, client: Client, tmp_path: Path
) -> None:
    killer = client.submit(large_head(tmp_path / "killer.nii.gz", 1)).id
    others = [client.submit(write_head(tmp_path / f"{n}.nii.gz", n)).id for n in (201, 202)]
    for _ in range(2):
        wait_for(lambda: client.job(killer).stage not in (None, "start"))
        kill_worker(fragile)
        wait_for(lambda: client.job(killer).stage in (None, "start"))
    job = next(job for job in iter(lambda: client.job(killer), None) if job.has_ended)
    assert job.state == "failed"
    assert job.reason == "worker_died"
    assert "must not end the worker" in (job.problem or {})["rule"]
    assert [client.wait(other).state for other in others] == ["done", "done"]


def test_a_job_over_its_limits_fails_with_the_reason(
    tmp_path: Path, tiny_settings: dict[str, object]
) -> None:
    server = Server(
        tmp_path / "service", **{**tiny_settings, "job_seconds": 0.2, "worker_memory_mb": 4096}
    ).start()
    with server.client() as client:
        job = client.submit(large_head(tmp_path / "slow.nii.gz", 5)).id
        with pytest.raises(ServiceError, match=r"must end within 0\.2 s"):
            client.wait(job)
        assert client.job(job).reason == "time_limit"
    server.kill()


def test_two_services_cannot_share_a_folder(fragile: Server) -> None:
    other = Server(fragile.folder / "other", data_dir=str(fragile.data))
    with pytest.raises(AssertionError, match="did not start"):
        other.start()
    assert other.process is not None
    assert other.process.returncode == 2


def test_cancelling_and_draining(fragile: Server, client: Client, tmp_path: Path) -> None:
    # Made before any is sent, and some of them first: what is to be cancelled must still wait.
    heads = [large_head(tmp_path / f"{seed}.nii.gz", seed) for seed in range(7, 13)]
    *_, running, waiting, last = (client.submit(head).id for head in heads)
    client.end(waiting)
    assert client.job(waiting).state == "cancelled"
    wait_for(lambda: client.job(running).stage not in (None, "start"))
    client.end(running)
    wait_for(lambda: client.job(running).state == "cancelled")
    wait_for(lambda: client.job(last).stage not in (None, "start"))
    assert fragile.process is not None
    fragile.process.terminate()
    wait_for(lambda: httpx.get(f"{fragile.url}/health/ready").status_code == 503)
    refused = httpx.post(f"{fragile.url}/v1/scans", content=b"x")
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    assert fragile.process.wait(120) == 0
    with sqlite3.connect(fragile.data / "ledger.sqlite") as ledger:
        (state,) = ledger.execute("SELECT state FROM jobs WHERE id = ?", (last,)).fetchone()
    assert state == "done"


def test_two_hundred_uploads_from_twenty_clients(server: Server, tmp_path: Path) -> None:
    heads = [
        write_head(tmp_path / f"{n}.nii.gz", 300 + n).read_bytes() for n in range(UPLOADS_EACH)
    ]
    statuses: Counter[int] = Counter()
    peak = [0.0]
    over = threading.Event()

    def watch_memory() -> None:
        while not over.wait(0.1):
            peak[0] = max(peak[0], server.memory_mb())

    def send_all(number: int) -> list[int]:
        with httpx.Client(timeout=60) as http:
            return [
                http.post(f"{server.url}/v1/scans?label=c{number}", content=head).status_code
                for head in heads
            ]

    watcher = threading.Thread(target=watch_memory)
    watcher.start()
    with ThreadPoolExecutor(CLIENTS) as pool:
        for found in pool.map(send_all, range(CLIENTS)):
            statuses.update(found)
    over.set()
    watcher.join()
    assert set(statuses) <= {202, 429}
    assert statuses[202] == CLIENTS * UPLOADS_EACH
    assert peak[0] < 400
    with server.client() as client:
        wait_for(lambda: not client.jobs(["queued", "running"]))
        assert not client.jobs(["failed"])
