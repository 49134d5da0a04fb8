"""Looking at every scan: what is decided in the browser is what the group stage does."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Browser, Page, expect

from fibromorph.cli import main
from tests.serving.cohort.study import Study


@pytest.fixture
def page(gathered: Path, browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1300, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.goto((gathered / "look.html").as_uri())
    yield page
    assert errors == []
    page.close()


def read(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path, sep="\t", keep_default_na=False)
    return table.set_index(["participant_id", "session_id"])


def test_the_scan_s_own_report_is_there_with_all_its_slices(page: Page) -> None:
    first = page.inner_text("#name").replace(" ", "_")
    report = page.frame_locator("#report")
    expect(report.locator("h1")).to_contain_text(first.partition("_desc")[0])
    expect(report.locator(".viewer")).to_be_visible()


def test_nobody_s_group_is_told(gathered: Path, study: Study) -> None:
    text = (gathered / "look.html").read_text()
    people = pd.read_csv(study.root / "participants.tsv", sep="\t")
    assert not any(str(group) in text for group in people.group.dropna().unique())


def test_decisions_become_the_table_that_the_group_stage_reads(
    gathered: Path, page: Page, study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = read(gathered / "exclusions.tsv")
    page.select_option("#order", label="by name")
    page.locator("nav button").first.click()
    page.keyboard.press("f")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    page.fill("#note", 'rings, "ghosts"')
    expect(page.locator("#count")).to_contain_text("2 of")
    page.reload()  # nothing is lost before it is saved
    expect(page.locator("#count")).to_contain_text("2 of")
    with page.expect_download() as download:
        page.click("#save")
    saved = tmp_path / "exclusions.tsv"
    download.value.save_as(saved)
    decided = read(saved)
    volumes = pd.read_csv(gathered / "volumes.tsv", sep="\t", keep_default_na=False)
    fine, left_out = (tuple(volumes.iloc[n][["participant_id", "session_id"]]) for n in (0, 1))
    assert tuple(decided.loc[fine]) == ("no", "looked at")
    assert tuple(decided.loc[left_out]) == ("yes", 'looked at: rings, "ghosts"')
    untouched = before.drop([fine, left_out], errors="ignore")
    assert decided.loc[untouched.index].equals(untouched)

    again = tmp_path / "out"
    shutil.copytree(gathered, again)
    shutil.copy(saved, again / "exclusions.tsv")
    capsys.readouterr()
    assert main(["bids", str(study.root), str(again), "group"]) == 1
    excluded = (decided.exclude == "yes").sum()
    assert f"{excluded} excluded" in capsys.readouterr().out
    assert tuple(read(again / "exclusions.tsv").loc[left_out]) == tuple(decided.loc[left_out])
    text = (again / "look.html").read_text()
    assert 'looked at: rings, \\"ghosts\\"' in text.replace("\\u0022", '\\"')
