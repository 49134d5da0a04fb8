"""What many tests need: a real head, the bundle that ships, a browser, data beside a checkout."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from fibromorph.serving.bundles import DEFAULT_BUNDLE, find_bundle
from fibromorph.serving.demo.scan import write_template
from fibromorph.serving.engine import Engine

BROWSER_FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The T1 template that nilearn carries: a real, skull-stripped head at 1 mm."""
    path = tmp_path_factory.mktemp("template") / "template.nii.gz"
    write_template(path)
    return path


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The bundle that ships, on the fastest engine that is installed."""
    return Engine(find_bundle(DEFAULT_BUNDLE), "auto")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, as it comes with the system."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("needs Chromium (Debian package chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=BROWSER_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Real scans beside the checkout; tests that need them skip without."""
    default = Path(__file__).parents[1] / ".." / "shared" / "data"
    root = Path(os.environ.get("FIBROMORPH_DATA", default)).resolve()
    if not root.is_dir():
        pytest.skip("needs the data folder ($FIBROMORPH_DATA), which is not part of the project")
    return root
