"""The page when things go wrong: late clicks, lost connections, stale keys, deleted jobs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Dialog, FilePayload, Page, expect

from tests.serving.service.played import BROKEN, Played, job

PATIENCE_MS = 60_000
"""The page itself looks again every five seconds, which is all that Playwright waits by default."""
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails the test if its script does, or if a promise of it is let go."""
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
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


def test_a_stale_key_is_sent_once_and_the_next_one_resumes(page: Page, played: Played) -> None:
    scan = job(1)
    played.add(scan)
    page.goto(f"{played.url}#{scan['id']}")
    expect(page.locator("#job")).to_be_visible()
    played.answers["GET /v1/jobs"] = 401
    expect(page.locator("#key-dialog")).to_be_visible()
    page.keyboard.press("Escape")
    asked = len(played.asked)
    page.wait_for_timeout(6000)
    assert len(played.asked) == asked
    expect(page.locator("#key-dialog")).to_be_hidden()
    page.click("#key-button")
    page.fill("#key", "fresh")
    played.answers.clear()
    page.keyboard.press("Enter")
    with page.expect_request("**/v1/jobs?**") as look:  # the one after the first
        pass
    assert look.value.headers["authorization"] == "Bearer fresh"


def test_doubtful_quality_and_uncertainty_are_seen(page: Page, played: Played) -> None:
    reasons = ["the image is noisy", "confidence is low"]
    scan = job(1, quality="bad", quality_reasons=reasons, label="sub-01")
    name = "Right-Inferior-Lateral-Ventricle-Of-The-Brain"
    numbers = {"volume_ml": 1234.5, "soft_volume_ml": 1234.5, "sd_ml": 123.4, "confidence": 0.94}
    about = {"region_id": 1, "hemisphere": "right", "centre_mm": [0, 0, 0], "colour": [0, 0, 0]}
    played.regions = [{"name": name} | about | numbers]
    played.add(scan)
    page.goto(f"{played.url}#{scan['id']}")
    expect(page.locator("#jobs .state")).to_have_text("quality bad")
    red = page.locator("#job-problem").evaluate("e => getComputedStyle(e).color")
    for place in ("#jobs .state", "#job-facts"):
        expect(page.locator(place)).to_have_css("color", red)
    expect(page.locator("#job-why")).to_have_text("; ".join(reasons))
    expect(page.get_by_role("status").filter(has_text="sub-01: done, quality bad")).to_have_count(1)
    expect(page.locator("#rows tr")).to_be_visible()
    for width in (1280, 1366, 1441, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        hidden = "e => e.scrollWidth - e.clientWidth"
        assert page.locator(".scroll").evaluate(hidden) == 0, width


def test_every_job_can_be_listed_and_found(page: Page, played: Played) -> None:
    played.add(*(job(number, label=f"sub-{number:02}") for number in range(1, 121)))
    page.goto(played.url)
    items = page.locator("#jobs li")
    expect(items).to_have_count(50)
    page.click("#more")
    page.click("#more")
    expect(items).to_have_count(120)
    expect(page.locator("#more")).to_be_hidden()
    page.fill("#find", "sub-07")
    expect(items).to_have_count(1)
    expect(items).to_contain_text("sub-07")
    page.fill("#find", "Müller Hans")
    expect(page.locator("#no-jobs")).to_have_text("No scan has exactly this id.")
    page.fill("#find", "")
    expect(items).to_have_count(50)


def test_studies_are_all_listed_and_their_list_renews_itself(page: Page, played: Played) -> None:
    played.add(job(200), *(job(number, kind="study") for number in range(1, 61)))
    page.goto(played.url)
    page.click("#tab-study")
    items = page.locator("#studies li")
    expect(items).to_have_count(50)
    page.click("#more-studies")
    expect(items).to_have_count(60)
    expect(page.locator("#more-studies")).to_be_hidden()
    played.add(job(61, "running", kind="study", label="therapy"))
    expect(items).to_have_count(61)
    expect(items.first).to_contain_text("therapy")


def test_the_list_renews_itself_under_the_keyboard(page: Page, played: Played) -> None:
    played.add(job(1), job(2))
    page.goto(played.url)
    page.focus("#jobs button >> nth=1")
    played.add(job(3))
    expect(page.locator("#jobs li")).to_have_count(3)
    assert page.evaluate("document.activeElement.dataset.id") == job(1)["id"]


def test_a_file_s_name_is_kept_only_where_it_is_needed(page: Page, played: Played) -> None:
    page.on("dialog", lambda dialog: dialog.accept())
    kept = "sessionStorage.getItem('fibromorph-names') ?? ''"
    page.goto(played.url)
    page.evaluate("localStorage.setItem('fibromorph-names', '{}')")
    page.reload()
    assert page.evaluate("localStorage.getItem('fibromorph-names')") is None
    scan: FilePayload = {
        "name": "DOE_JANE.nii",
        "mimeType": "application/gzip",
        "buffer": b"a scan",
    }
    for label in ("sub-01", ""):
        page.fill("#label", label)
        page.set_input_files("#file", scan)
        shown = label or "DOE_JANE.nii"
        expect(page.locator("#job-name")).to_have_text(shown)
        assert ("DOE" in page.evaluate(kept)) == (not label)
    page.click("#end")
    expect(page.locator("#nothing")).to_be_visible()
    assert "DOE" not in page.evaluate(kept)


def test_files_dropped_on_the_study_tab_are_laid_into_its_form(page: Page, played: Played) -> None:
    page.goto(played.url)
    page.click("#tab-study")
    names = ["design.YAML", "people.csv", "head.nii.gz"]
    data = page.evaluate_handle(
        """names => {
            const data = new DataTransfer();
            for (const name of names) data.items.add(new File(["group"], name));
            return data;
        }""",
        names,
    )
    page.dispatch_event("#study-form", "drop", {"dataTransfer": data})
    expect(page.locator("#study-problem")).to_contain_text("head.nii.gz is neither a table")
    laid = "id => document.getElementById(id).files[0].name"
    assert [page.evaluate(laid, id) for id in ("participants", "design")] == names[1::-1]
    assert played.count("POST") == 0


def test_a_download_of_a_deleted_scan_says_so(page: Page, played: Played) -> None:
    scan = job(1)
    played.add(scan)
    page.goto(f"{played.url}#{scan['id']}")
    expect(page.locator("#downloads")).to_be_visible()
    played.jobs.clear()
    page.click("text=Volumes (TSV)")
    expect(page.locator("#result-problem")).to_have_text("there must be such a job")
    page.click("summary >> text=Report")
    expect(page.locator("#result-problem")).to_have_text("there must be such a job")


def test_models_come_once_the_service_has_started(page: Page, played: Played) -> None:
    played.answers["GET /v1/models"] = 503
    page.goto(played.url)
    expect(page.locator("#status")).to_have_text("played: 503")
    ready, played.models = played.models, []
    played.answers.clear()
    expect(page.locator("#status")).to_contain_text("is starting")
    played.models = ready
    expect(page.locator("#model option")).to_have_text(["tiny 1"])
    expect(page.locator("#status")).to_have_text("")


def test_an_id_that_none_can_have_is_not_sent(page: Page, played: Played) -> None:
    page.goto(played.url)
    page.fill("#label", "Müller Hans")
    page.set_input_files(
        "#file", {"name": "a.nii", "mimeType": "application/gzip", "buffer": b"a scan"}
    )
    expect(page.locator("#upload-problem")).to_contain_text("the scan was not sent")
    assert played.count("POST") == 0


def test_no_field_is_red_before_it_is_touched(page: Page, played: Played) -> None:
    page.goto(played.url)
    page.click("#tab-study")
    colours = [
        page.locator(field).evaluate("e => getComputedStyle(e).borderTopColor")
        for field in ("#participants", "#design")
    ]
    assert colours[0] == colours[1]
    expect(page.locator("#no-studies")).to_have_text("None yet.")


def test_a_proxy_may_offer_the_page_under_a_path(page: Page) -> None:
    played = Played(page, "/lab/brains")
    scan = job(1)
    played.add(scan)
    outside: list[str] = []
    page.on("request", lambda request: outside.append(request.url))
    page.goto(f"{played.url}#{scan['id']}")
    expect(page.locator("#preview[src]")).to_be_attached()
    assert all(url.startswith((played.url, "blob:")) for url in outside)
