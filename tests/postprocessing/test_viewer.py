"""The viewer as a reader meets it: in a browser, offline, under the page's own policy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from fibromorph.labels import FREESURFER
from fibromorph.postprocessing.names import plain_name
from fibromorph.postprocessing.report import ReportContent, render
from fibromorph.postprocessing.scan_view import draw_scan, scan_view, thickness_layer
from tests.postprocessing.conftest import rows_of, scored
from tests.postprocessing.phantoms import Head

HIPPOCAMPUS, CORTEX = 17, 3
PLACE = ".place b"


@pytest.fixture(scope="module")
def content(head: Head) -> ReportContent:
    rows = rows_of(head)
    pictures = draw_scan(head.image, head.labels, head.grid, FREESURFER)
    thickness = np.where(head.labels == CORTEX, np.float32(2.5), np.float32(0))
    layer = thickness_layer(thickness, head.labels, head.grid)
    return ReportContent(
        name="sub-01",
        created="",
        version="1",
        model="t1-open 9",
        scan_facts=(),
        findings=(),
        mosaic_png=pictures.mosaic_png,
        rows=rows,
        quality=scored(head),
        steps=(),
        model_facts=(),
        view=scan_view(pictures, rows, FREESURFER, [layer]),
    )


@pytest.fixture
def page(content: ReportContent, browser: Browser, tmp_path: Path) -> Iterator[Page]:
    path = tmp_path / "report.html"
    path.write_text(render(content), encoding="utf-8")
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(path.as_uri())
    expect(page.locator(".viewer")).to_be_visible()
    yield page
    assert errors == []
    page.close()


def volume_of(page: Page, region: int) -> str:
    return page.locator(f'[data-region="{region}"]').inner_text().partition(" ±")[0].strip()


def test_a_volume_leads_to_its_region(page: Page) -> None:
    page.click(f'[data-region="{HIPPOCAMPUS}"]')
    expect(page.locator(PLACE)).to_contain_text("Left hippocampus, ")
    expect(page.locator(PLACE)).to_contain_text(volume_of(page, HIPPOCAMPUS))


def test_the_reader_walks_through_the_head(page: Page) -> None:
    page.click(f'[data-region="{HIPPOCAMPUS}"]')
    expect(page.locator(PLACE)).to_contain_text("Left hippocampus")
    before = page.inner_text(".place span")
    axial = page.locator(".plane canvas").first
    axial.focus()
    page.keyboard.press("PageUp")
    expect(page.locator(".place span")).not_to_have_text(before)
    page.keyboard.press("PageDown")
    expect(page.locator(".place span")).to_have_text(before)
    axial.click(position={"x": 3, "y": 3})
    expect(page.locator(PLACE)).to_have_text("nothing here")


def test_left_is_left(page: Page, head: Head) -> None:
    page.click(f'[data-region="{HIPPOCAMPUS}"]')
    expect(page.locator(PLACE)).to_contain_text("Left hippocampus")
    sagittal = page.locator(".plane input").nth(2)
    assert int(sagittal.input_value()) < int(sagittal.get_attribute("max") or 0) / 2
    x_mm = float(page.inner_text(".place span").split()[1].rstrip(",").replace("\u2212", "-"))
    voxels = np.argwhere(head.labels == HIPPOCAMPUS)
    corners = head.grid.affine_ijk_to_ras[:3, :3] @ voxels.T + head.grid.affine_ijk_to_ras[:3, 3:]
    assert corners[0].min() - 1 <= x_mm <= corners[0].max() + 1


def test_thickness_is_another_layer_and_is_said_beside_the_region(page: Page) -> None:
    page.click(f'[data-region="{CORTEX}"]')
    expect(page.locator(PLACE)).to_contain_text("2.5 mm thick")
    expect(page.get_by_label("fill regions")).not_to_be_checked()
    page.select_option(".controls select", label="thickness of the cortex")
    expect(page.locator(PLACE)).to_contain_text("2.5 mm thick \u00b7 Left cerebral cortex")
    expect(page.get_by_label("fill regions")).to_be_hidden()


def test_every_voxel_arrives(content: ReportContent, page: Page, head: Head) -> None:
    """The page's script finds the region at the very voxel that the labels have it at."""
    view = content.view
    assert view is not None
    origin = view.grid.affine_ijk_to_ras[:3, 3]
    shift = np.rint(np.linalg.solve(head.grid.affine_ijk_to_ras, [*origin, 1.0])[:3]).astype(int)
    for label in FREESURFER.labels:
        voxels = np.argwhere(head.labels == label.id)
        if not len(voxels):
            continue
        page.click(f'[data-region="{label.id}"]')
        expect(page.locator(PLACE)).to_contain_text(plain_name(label.name))
        seen = [int(page.locator(".plane input").nth(n).input_value()) for n in (2, 1, 0)]
        assert head.labels[tuple(np.array(seen) + shift)] == label.id


def test_far_from_the_brain_nothing_is_shown(head: Head) -> None:
    """Whoever gets the page must not see a face."""
    everywhere = np.full_like(head.image, 1e3)
    everywhere[: head.image.shape[0] // 8] = 0  # air, so that the rest is bright
    pictures = draw_scan(everywhere, head.labels, head.grid, FREESURFER)
    shown = np.asarray(Image.open(BytesIO(pictures.head_jpeg))) > 100
    brain = int((head.labels > 0).sum())
    assert brain < shown.sum() < 1.8 * brain
    assert shown.sum() < 0.5 * head.labels.size


def test_without_a_view_no_script_may_run(content: ReportContent) -> None:
    text = render(replace(content, view=None))
    assert "script-src 'none'" in text
    assert "<script" not in text
