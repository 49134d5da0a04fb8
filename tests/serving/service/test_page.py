"""The page in a real browser: from a dropped scan to a downloaded table."""

from __future__ import annotations

import contextlib
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Error, Page, Route, expect

from fibromorph.client import Client
from fibromorph.serving.service.policies import STUDY_POLICY
from fibromorph.serving.service.routes.page import BUILT
from tests.serving.service.server import Server
from tests.serving.service.tiny import write_head

PATIENCE_MS = 60_000
VIEWER = BUILT / "niivue.js"
DROP = """([name, content]) => {
  const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name));
  return data;
}"""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails the test if its script does."""
    with browser.new_context(accept_downloads=True) as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        yield page
        assert errors == []


def drop(page: Page, scan: Path) -> None:
    """What a browser does when a file is dropped."""
    content = b64encode(scan.read_bytes()).decode()
    data = page.evaluate_handle(DROP, [scan.name, content])
    page.dispatch_event("#drop", "drop", {"dataTransfer": data})


def test_from_drop_to_downloaded_table(page: Page, server: Server, tmp_path: Path) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(server.url)
    page.fill("#label", "sub-42")
    drop(page, write_head(tmp_path / "DOE_JANE.nii.gz", 501))
    expect(page.locator("#job-name")).to_have_text("sub-42", timeout=PATIENCE_MS)
    expect(page.locator("#rows tr").first).to_be_visible(timeout=PATIENCE_MS)
    shown = "#canvas[data-ready]" if VIEWER.exists() else "#preview[src]"
    expect(page.locator(shown)).to_be_visible(timeout=PATIENCE_MS)
    page.click("th >> text=ml >> nth=0")
    cells = page.locator("tr:not(.total) td:nth-child(2)").all_inner_texts()
    volumes = [float(text) for text in cells]
    assert volumes == sorted(volumes, reverse=True)
    page.fill("#filter", "cerebral white")
    expect(page.locator("#rows tr")).to_have_count(2)
    page.click("#rows button >> text=Left Cerebral White Matter")
    expect(page.locator("#place")).to_contain_text("Left Cerebral White Matter")
    with page.expect_download() as downloading:
        page.click("text=Volumes (TSV)")
    assert downloading.value.suggested_filename == "sub-42_volumes.tsv"
    assert Path(downloading.value.path()).read_text().startswith("region_id\tname")
    page.click("summary >> text=Report")
    report = page.frame_locator("#report")
    expect(report.locator("h1").first).to_be_visible(timeout=PATIENCE_MS)
    expect(report.locator(".viewer canvas").first).to_be_visible(timeout=PATIENCE_MS)
    assert all(url.startswith((server.url, "blob:", "data:", "about:")) for url in requests)
    assert not any("DOE" in url for url in requests)


def test_a_scan_does_not_go_out_under_the_id_of_one_that_is_being_sent(
    page: Page, server: Server, tmp_path: Path
) -> None:
    held: list[Route] = []
    page.route("**/v1/scans?*", lambda route: held.append(route))  # noqa: PLW0108
    page.goto(server.url)
    page.fill("#label", "sub-77")
    with page.expect_request("**/v1/scans?*"):
        drop(page, write_head(tmp_path / "first.nii.gz", 77))
    drop(page, write_head(tmp_path / "second.nii.gz", 78))
    expect(page.locator("#upload-problem")).to_contain_text("second.nii.gz was not")
    expect(page.locator("#sending")).to_be_visible()
    assert len(held) == 1


def test_without_the_viewer_the_server_s_picture_is_shown(
    page: Page, server: Server, client: Client, head: Path
) -> None:
    job = client.wait(client.submit(head).id)
    page.route("**/static/niivue.js", lambda route: route.abort())
    page.goto(f"{server.url}/#{job.id}")
    expect(page.locator("#preview")).to_be_visible(timeout=PATIENCE_MS)
    # It is visible before all of it has come; the page's policy forbids to poll for that.
    width = "image => image.decode().then(() => image.naturalWidth)"
    assert page.locator("#preview").evaluate(width) > 100


@pytest.mark.skipif(not VIEWER.exists(), reason="the viewer is not built in, see web/")
def test_the_cross_goes_to_the_region_that_was_chosen(
    page: Page, server: Server, client: Client, tmp_path: Path
) -> None:
    # Its image lies along the head's axes, so not along the scanner's.
    tilted = write_head(tmp_path / "tilted.nii.gz", 90, nods_deg=15.0)
    job = client.wait(client.submit(tilted).id)
    page.goto(f"{server.url}/#{job.id}")
    expect(page.locator("#canvas[data-ready]")).to_be_visible(timeout=PATIENCE_MS)
    found = [r for r in client.volumes(job.id) if r["centre_mm"] and r["volume_ml"]]
    assert len(found) > 1
    for region in found:
        name = region["name"].replace("-", " ")
        page.locator("#rows button").get_by_text(name, exact=True).click()
        expect(page.locator("#place")).to_contain_text(name)
        told = page.locator("#place").inner_text().partition(" mm")[0]
        assert np.abs(np.subtract(region["centre_mm"], [*map(float, told.split())])).max() < 1


def test_volumes_that_come_late_are_not_shown_under_another_name(
    page: Page, server: Server, client: Client, tmp_path: Path
) -> None:
    jobs = [
        client.wait(client.submit(write_head(tmp_path / f"{name}.nii.gz", n), label=name).id)
        for n, name in enumerate(("late", "prompt"), 80)
    ]
    held: list[Route] = []
    # A method of a list is not enough for Playwright.
    page.route(f"**/{jobs[0].id}/volumes", lambda route: held.append(route))  # noqa: PLW0108
    page.goto(server.url)
    with page.expect_request(f"**/{jobs[0].id}/volumes"):
        page.locator(f'#jobs li[data-id="{jobs[0].id}"] button').click()
    page.locator(f'#jobs li[data-id="{jobs[1].id}"] button').click()
    expect(page.locator("#rows tr").first).to_be_visible(timeout=PATIENCE_MS)
    volumes = page.locator("#rows").inner_text()
    regions = [row | {"volume_ml": 777.0} for row in client.volumes(jobs[0].id)]
    with contextlib.suppress(Error):  # the page has given it up
        held[0].fulfill(json={"job_id": jobs[0].id, "regions": regions})
    page.wait_for_timeout(300)
    assert page.locator("#job-name").inner_text() == "prompt"
    assert page.locator("#rows").inner_text() == volumes


def test_tables_can_be_taken_from_a_group_report(page: Page, server: Server) -> None:
    page.goto(server.url)
    # Without the word the browser drops every download of the frame, and nobody is told.
    allowed = "allow-scripts allow-downloads"
    assert page.locator("#study-report").get_attribute("sandbox") == allowed
    assert f"sandbox {allowed};" in STUDY_POLICY


def test_a_report_of_its_own_shows_every_slice_and_runs_nothing_else(
    page: Page, server: Server, client: Client, tmp_path: Path
) -> None:
    job = client.wait(client.submit(write_head(tmp_path / "alone.nii.gz", 91)).id)
    page.goto(f"{server.url}/v1/jobs/{job.id}/report")
    expect(page.locator(".viewer canvas").first).to_be_visible(timeout=PATIENCE_MS)
    # Of no origin: what the service keeps in the browser is not the report's.
    assert page.evaluate("self.origin") == "null"
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'),"
        " {textContent: 'self.ran = true'}))"
    )
    assert page.evaluate("self.ran") is None


def test_several_dropped_scans_are_refused_together(
    page: Page, server: Server, client: Client
) -> None:
    before = len(client.jobs(limit=200))
    page.goto(server.url)
    data = page.evaluate_handle(
        "() => { const d = new DataTransfer();"
        " for (const n of ['a.nii', 'b.nii']) d.items.add(new File(['x'], n)); return d; }"
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": data})
    expect(page.locator("#upload-problem")).to_contain_text("2 files were dropped, none was sent")
    assert len(client.jobs(limit=200)) == before


def test_a_refusal_is_shown(page: Page, server: Server, tmp_path: Path) -> None:
    broken = tmp_path / "scan.nii.gz"
    broken.write_bytes(b"this is no scan at all")
    page.goto(server.url)
    drop(page, broken)
    expect(page.locator("#upload-problem")).to_contain_text("a scan must be NIfTI")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_sideways_scrolling(
    browser: Browser, server: Server, client: Client, head: Path, scheme: str
) -> None:
    job = client.wait(client.submit(head).id)
    size = {"width": 390, "height": 844}
    with browser.new_context(viewport=size, color_scheme=scheme) as context:  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(f"{server.url}/#{job.id}")
        expect(page.locator("#rows tr").first).to_be_visible(timeout=PATIENCE_MS)
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (ground == "rgb(20, 23, 28)") == (scheme == "dark")


def test_the_keyboard_reaches_everything(
    page: Page, server: Server, client: Client, head: Path
) -> None:
    client.wait(client.submit(head, label="keys").id)
    page.goto(server.url)
    expect(page.locator("#jobs button").first).to_be_visible(timeout=PATIENCE_MS)
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
    assert {"tab-scans", "file", "label", "model"} <= set(reached)
    page.focus("#jobs button >> nth=0")
    page.keyboard.press("Enter")
    expect(page.locator("#job")).to_be_visible(timeout=PATIENCE_MS)
    page.focus("#tab-scans")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#participants")).to_be_visible()
