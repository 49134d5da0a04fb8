"""The page when things go wrong: late clicks, lost connections, stale keys, deleted jobs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Dialog, Page, expect

from tests.serving.service.played import BROKEN, Played, job


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails the test if its script does, or if a promise of it is let go."""
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        page = context.new_page()
        page.set_default_timeout(60_000)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        yield page
        assert errors == []


@pytest.fixture
def played(page: Page) -> Played:
    return Played(page)


def test_a_click_on_cancel_that_comes_late_leaves_the_result(page: Page, played: Played) -> None:
    scan = job(1, "queued")
    played.add(scan)
    page.goto(f"{played.url}#{scan['id']}")
    expect(page.locator("#end")).to_have_text("Cancel")
    scan["state"] = "done"
    page.click("#end")
    expect(page.locator("#end")).to_have_text("Delete")
    assert scan["id"] in played.jobs


@pytest.mark.parametrize("sure", [True, False])
def test_delete_asks_first(page: Page, played: Played, sure: bool) -> None:
    scan = job(1, label="sub-01")
    played.add(scan)
    asked: list[str] = []

    def on_dialog(dialog: Dialog) -> None:
        asked.append(dialog.message)
        if sure:
            dialog.accept()
        else:
            dialog.dismiss()

    page.on("dialog", on_dialog)
    page.goto(f"{played.url}#{scan['id']}")
    page.click("#end")
    expect(page.locator("#nothing" if sure else "#job")).to_be_visible()
    assert "sub-01" in asked[0]
    assert (scan["id"] not in played.jobs) == sure


@pytest.mark.parametrize("failure", [BROKEN, 503])
def test_details_outlive_a_lost_connection(page: Page, played: Played, failure: int) -> None:
    scan = job(1, "queued")
    events = f"GET /v1/jobs/{scan['id']}/events"
    played.add(scan)
    played.answers[events] = failure
    page.goto(f"{played.url}#{scan['id']}")
    expect(page.locator("#job-facts")).to_contain_text("connection lost, trying again")
    scan["state"] = "running"
    del played.answers[events]
    expect(page.locator("#job-facts")).to_contain_text("starting")
    scan["state"] = "done"
    expect(page.locator("#job-facts")).to_have_text("done · tiny 1")
    asked = played.count(events)
    page.wait_for_timeout(4000)
    assert played.count(events) == asked
