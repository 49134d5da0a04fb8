"""What a worker makes of failures, and what the service keeps of a scan."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from fibromorph.errors import TableError
from fibromorph.grid import Grid
from fibromorph.scans import read_scan
from fibromorph.serving.service.clean import read_clean, write_clean
from fibromorph.serving.service.views import brain_image
from fibromorph.serving.service.work import Order, attempt
from tests.serving.service.server import Server
from tests.serving.service.tiny import write_head

DISK_MB = 12
TORCH = "import fibromorph.serving.service.study, sys; print('torch' in sys.modules)"


@pytest.fixture
def order(tmp_path: Path) -> Order:
    (tmp_path / "input").mkdir()
    return Order(
        kind="scan",
        job_id="0" * 32,
        attempt=1,
        input=str(tmp_path / "input"),
        work=str(tmp_path / "work"),
        cancel_flag="cancel",
        seconds=60,
        memory=1 << 30,
    )


def test_where_no_brain_was_found_no_face_is_shown() -> None:
    head, labels = np.ones((24, 24, 24), np.float32), np.zeros((24, 24, 24), np.uint8)
    grid = Grid(head.shape, np.eye(4))
    assert not np.any(brain_image(head, labels, grid).dataobj)
    labels[8:16, 8:16, 8:16] = 2
    shown = np.asarray(brain_image(head, labels, grid).dataobj) > 0
    assert shown[12, 12, 12]
    assert not shown[0, 0, 0]


def test_a_full_disk_is_said_to_be_one(order: Order) -> None:
    def write(_: Order) -> dict[str, Any]:
        with Path("/dev/full").open("wb", buffering=0) as full:
            full.write(b"x")
        return {}

    outcome = attempt(order, write)
    assert outcome.reason == "disk_full"
    assert outcome.problem is not None
    assert outcome.problem.status == 507


def test_files_out_of_reach_are_an_outcome(order: Order) -> None:
    outcome = attempt(order, lambda order: {"size": Path(order.input, "voxels").stat().st_size})
    assert outcome.reason == "storage"
    assert outcome.problem is not None
    assert outcome.problem.status == 500


def test_memory_runs_out_as_a_reason_not_as_a_death(order: Order) -> None:
    def fill(_: Order) -> dict[str, Any]:
        return {"sum": float(np.ones(4 << 27).sum())}

    outcome = attempt(order, fill)
    assert outcome.reason == "memory"
    assert np.ones(1 << 20).sum() == 1 << 20


def test_errors_name_files_without_the_service_s_folders(order: Order) -> None:
    def fail(order: Order) -> dict[str, Any]:
        subject = f"{order.input}/participants.tsv, line 3"
        raise TableError("cells must be numbers", value="x", subject=subject)

    outcome = attempt(order, fail)
    assert outcome.problem is not None
    assert outcome.problem.detail == "participants.tsv, line 3: cells must be numbers (found: x)"


def test_no_text_of_an_error_has_the_service_s_folders(order: Order) -> None:
    def fail(order: Order) -> dict[str, Any]:
        raise TableError(
            f"every scan's participant must be in {order.input}/participants.tsv; add the row",
            value=f"{order.work}/sub-01.tsv",
            subject=order.input,
        )

    problem = attempt(order, fail).problem
    assert problem is not None
    assert problem.rule == "every scan's participant must be in participants.tsv; add the row"
    assert problem.value == "sub-01.tsv"
    assert str(Path(order.input).parent) not in problem.model_dump_json()


def test_workers_do_without_torch() -> None:
    out = subprocess.run([sys.executable, "-c", TORCH], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_a_clean_scan_is_the_scan_without_its_header(tmp_path: Path) -> None:
    scan = read_scan(write_head(tmp_path / "DOE_JANE.nii.gz"))
    write_clean(scan, tmp_path / "clean")
    again = read_clean(tmp_path / "clean", "scan-1")
    assert np.array_equal(again.data, scan.data)
    assert np.array_equal(again.grid.affine_ijk_to_ras, scan.grid.affine_ijk_to_ras)
    assert (again.sha256, again.findings, again.stem) == (scan.sha256, scan.findings, "scan-1")
    assert b"JANE" not in b"".join(p.read_bytes() for p in (tmp_path / "clean").iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small disk")
def test_a_disk_that_fills_up_is_a_507(tmp_path: Path, tiny_settings: dict[str, object]) -> None:
    (tmp_path / "data").mkdir()
    mount = f'mount -t tmpfs -o size={DISK_MB}m none {tmp_path / "data"} && exec "$@"'
    prefix = ["unshare", "--mount", "sh", "-c", mount, "sh"]
    if subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount")
    server = Server(tmp_path, **tiny_settings)
    server.prefix = prefix
    server.start()
    noise = np.random.default_rng(0).bytes((DISK_MB + 4) << 20)
    answer = httpx.post(f"{server.url}/v1/scans", content=noise)
    assert answer.status_code == 507
    assert answer.headers["content-type"] == "application/problem+json"
    with server.client() as client:
        head = write_head(tmp_path / "head.nii.gz")
        assert client.wait(client.submit(head).id).state == "done"
    assert server.stop() == 0
