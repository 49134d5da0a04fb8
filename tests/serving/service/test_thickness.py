"""A service that is set to measure thickness, and one that is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

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


def test_the_page_shows_it_beside_the_volumes(thick: Server, head: Path, browser: Browser) -> None:
    with thick.client() as client:
        job = client.wait(client.submit(head, label="sub-07").id)
        # The same bytes as before under another name: a result that is taken over.
        assert job.links
        told = httpx.get(f"{thick.url}{job.links['thickness']}").json()
    mm = next(r["thickness_mm"] for r in told["regions"] if r["name"] == "Left-Cerebral-Cortex")
    page = browser.new_page()
    page.goto(thick.url)
    page.click("#jobs button >> text=sub-07")
    page.fill("#filter", "left cerebral cortex")
    expect(page.locator("#columns")).to_contain_text("mm thick")
    expect(page.locator("#rows tr td").last).to_have_text(f"{mm:.2f}")
    with page.expect_download() as downloading:
        page.click("text=Thickness (TSV)")
    assert downloading.value.suggested_filename == "sub-07_thickness.tsv"
    page.close()
