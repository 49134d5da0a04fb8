"""The README's pictures: pages of the demonstration study, as Chromium shows them.

    make pictures

needs what `make demo` and `make demo-study` leave in `demo/`, and Chromium.
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent / "pictures"
WIDTH, SHOWN, MARGIN, QUALITY = 1200, 960, 16.0, 88


def main(demo: Path) -> None:
    """Write every picture into `docs/pictures`."""
    HERE.mkdir(exist_ok=True)
    [scan] = demo.glob("*_report.html")
    [study] = demo.glob("**/report.html")
    with sync_playwright() as playwright:
        found = shutil.which("chromium") or shutil.which("chromium-browser")
        flags = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=found, args=flags)
        page = browser.new_page(viewport={"width": WIDTH, "height": 900}, color_scheme="light")
        page.goto(scan.resolve().as_uri())
        page.wait_for_timeout(1000)
        _write(page, "scan", "header", "section.viewer")
        page.goto(study.resolve().as_uri())
        page.wait_for_timeout(1000)
        _write(page, "study", "h2:text('Groups')", "figure:has(img)")
        browser.close()


def _write(page: Page, name: str, first: str, last: str) -> None:
    """The page from the top of `first` to the end of `last`."""
    above, below = (page.locator(one).first.bounding_box() for one in (first, last))
    assert above is not None
    assert below is not None
    top = max(above["y"] - MARGIN, 0.0)
    height = below["y"] + below["height"] + MARGIN - top
    clip = {"x": 0.0, "y": top, "width": float(WIDTH), "height": height}
    image = Image.open(io.BytesIO(page.screenshot(full_page=True, clip=clip))).convert("RGB")
    image = image.resize((SHOWN, round(image.height * SHOWN / WIDTH)), Image.Resampling.LANCZOS)
    image.save(HERE / f"{name}.jpg", quality=QUALITY, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
