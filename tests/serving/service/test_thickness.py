"""A service that is set to measure thickness, and one that is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from fibromorph.client import Client
from fibromorph.postprocessing.thickness import read_thickness
from tests.serving.service.server import Server


@pytest.fixture(scope="module")
def thick(
    tmp_path_factory: pytest.TempPathFactory, tiny_settings: dict[str, object]
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("thick")
    server = Server(folder, **tiny_settings, thickness=True).start()
    yield server
    assert server.stop() == 0


def test_every_scan_gets_its_table(thick: Server, head: Path, tmp_path: Path) -> None:
    with thick.client() as client:
        files = client.segment(head, tmp_path, label="sub-01")
        job = client.jobs()[0]
    rows = read_thickness(files["thickness"])
    assert files["thickness"] == tmp_path / "sub-01_thickness.tsv"
    assert rows[-1].name == "Mean-Thickness"
    told = httpx.get(f"{thick.url}/v1/jobs/{job.id}/thickness").json()
    assert told["ribbon"] == "tiny 1"
    assert [row["thickness_mm"] for row in told["regions"]] == pytest.approx(
        [row.thickness_mm for row in rows], abs=1e-4
    )


def test_where_it_is_not_measured_that_is_said(
    server: Server, client: Client, head: Path, tmp_path: Path
) -> None:
    assert "thickness" not in client.segment(head, tmp_path)
    answer = httpx.get(f"{server.url}/v1/jobs/{client.jobs()[0].id}/thickness")
    assert answer.status_code == 404
    assert answer.json()["rule"] == "the service must be set to measure thickness"
