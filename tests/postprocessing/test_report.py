"""The page: complete, self-contained, escaped, and readable by a person."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fibromorph.labels import FREESURFER
from fibromorph.postprocessing.names import plain_name
from fibromorph.postprocessing.report import (
    ReportContent,
    Step,
    asymmetry,
    render,
    write_report,
)
from fibromorph.postprocessing.scan_view import draw_scan, scan_view
from fibromorph.postprocessing.volumes import VolumeRow
from tests.postprocessing.conftest import rows_of, scored
from tests.postprocessing.phantoms import Head

VOID = {"meta", "img", "br", "link", "hr", "input"}


class Page(HTMLParser):
    """Collects what a reader sees, and what a browser would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag that closes itself, as in SVG, stays nowhere open."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & {*self.open} and data.strip():
            self.words.append(" ".join(data.split()))

    @property
    def text(self) -> str:
        return " ".join(self.words)


@pytest.fixture(scope="module")
def content(head: Head) -> ReportContent:
    rows = rows_of(head)
    quality = scored(head)
    pictures = draw_scan(head.image, head.labels, head.grid, FREESURFER)
    return ReportContent(
        name="sub-01_T1w",
        created="2030-01-02 03:04 UTC",
        version="1.2.3",
        model="t1-open 9",
        scan_facts=(("Voxels", "96 x 112 x 96"),),
        findings=(("warning", "The header has no orientation code."),),
        mosaic_png=pictures.mosaic_png,
        view=scan_view(pictures, rows, FREESURFER),
        rows=rows,
        quality=quality,
        steps=(Step("conform", "to 1 mm", 1.25), Step("network", seconds=2.5), Step("write")),
        model_facts=(("Licence of its weights", "Apache-2.0"),),
    )


@pytest.fixture(scope="module")
def page(content: ReportContent) -> Page:
    return Page(render(content))


def test_every_tag_is_closed(page: Page) -> None:
    assert page.open == []


def test_the_page_needs_nothing_but_itself(page: Page, content: ReportContent) -> None:
    kinds = [source.partition(";base64,")[0] for source in page.fetched]
    assert kinds == ["data:image/png", "data:image/jpeg", "data:image/png"]
    assert not re.search(r"url\(|@import|<script src|<link|fetch\(|import\(", render(content))


def test_every_structure_is_there_in_plain_words(page: Page) -> None:
    for structure in FREESURFER.structures:
        assert plain_name(structure.name) in page.words
    assert "Inferior lateral ventricle" in page.words
    assert not re.search(r"Inf-Lat-Vent|VentralDC|-area", page.text)


@pytest.mark.parametrize(
    "said",
    [
        "sub-01_T1w",
        "Good",
        "Nothing to remark.",
        "Neurological convention: the left of the head is on the left",
        "The header has no orientation code.",
        "For research only. Not a medical device",
        "fibromorph, version 1.2.3, model t1-open 9.",
        "1.2 s",
        "3.8 s",
        "Apache-2.0",
    ],
)
def test_a_reader_is_told(said: str, page: Page) -> None:
    assert said in page.text


def test_steps_that_nobody_timed_have_no_sum(content: ReportContent) -> None:
    untimed = replace(content, steps=(Step("conform", "to 1 mm"), Step("network")))
    assert "Together" in render(content)
    assert "Together" not in render(untimed)


def test_numbers_have_digits_that_make_sense(page: Page, content: ReportContent) -> None:
    etiv = next(r for r in content.rows if r.name == "eTIV")
    hippocampus = next(r for r in content.rows if r.region_id == 17)
    assert f"{etiv.volume_ml:.0f}" in page.words
    assert f"{hippocampus.volume_ml:.2f}" in page.words


def test_what_statistics_use_stands_first(content: ReportContent) -> None:
    rows = tuple(
        replace(r, volume_ml=1111.0, soft_volume_ml=2222.0, sd_ml=33.3) for r in content.rows
    )
    text = render(replace(content, rows=rows))
    found = re.findall(r'<p class="number">(\d+)<small> ml</small></p>', text)
    totals = [row.name for row in rows if row.hemisphere == "both"]
    assert dict(zip(totals, found, strict=True)) == {
        name: "1111" if name == "eTIV" else "2222" for name in totals
    }
    assert "± 33.3, voxels 1111" in text
    assert "for statistics" in text


def test_sides_are_compared_as_the_plot_draws_them(content: ReportContent) -> None:
    def skewed(row: VolumeRow) -> VolumeRow:
        soft = {17: 3.3, 53: 3.0}.get(row.region_id or 0)
        return row if soft is None else replace(row, volume_ml=6.3 - soft, soft_volume_ml=soft)

    page = Page(render(replace(content, rows=tuple(map(skewed, content.rows)))))
    assert "+9.5" in page.words
    assert "\N{MINUS SIGN}9.5" not in page.words


def test_sides_that_are_alike_differ_by_nought(content: ReportContent) -> None:
    hippocampi = {17: 3.0, 53: 3.0003}
    rows = tuple(
        replace(r, soft_volume_ml=hippocampi.get(r.region_id or 0, r.soft_volume_ml))
        for r in content.rows
    )
    page = Page(render(replace(content, rows=rows)))
    assert "+0.0" in page.words
    assert "\N{MINUS SIGN}0.0" not in page.words


def test_what_is_not_estimable_says_so(head: Head, content: ReportContent) -> None:
    note = "The scan is skull-stripped."
    page = Page(render(replace(content, rows=rows_of(head, etiv_ml=None), notes=(note,))))
    assert note in page.words
    assert page.text.count("not estimable") == 2
    assert "n/a" in page.words
    assert "None" not in page.text


def test_a_hostile_file_name_stays_text(content: ReportContent) -> None:
    text = render(replace(content, name="<script>alert(1)</script>"))
    assert "<script>alert" not in text
    assert "&lt;script&gt;" in text


def test_a_structure_that_a_bundle_lacks_is_left_out(content: ReportContent) -> None:
    rows = tuple(r for r in content.rows if r.region_id not in (26, 58))
    assert "Accumbens" not in Page(render(replace(content, rows=rows))).words


def test_the_file_is_moved_into_place(content: ReportContent, tmp_path: Path) -> None:
    path = tmp_path / "a_report.html"
    write_report(path, content)
    assert [p.name for p in tmp_path.iterdir()] == ["a_report.html"]
    assert path.read_text(encoding="utf-8") == render(content)


def test_asymmetry_is_the_difference_over_the_mean() -> None:
    assert asymmetry(3.0, 1.0) == pytest.approx(1.0)
    assert asymmetry(2.0, 2.0) == 0.0
    assert asymmetry(None, 2.0) is None
    assert asymmetry(0.0, 0.0) is None


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("Left-Cerebral-Cortex", "Left cerebral cortex"),
        ("Right-VentralDC", "Right ventral diencephalon"),
        ("Total-Grey-Matter", "Grey matter"),
        ("Total-CSF", "CSF"),
        ("CSF", "CSF outside the ventricles"),
        ("eTIV", "eTIV"),
        ("4th-Ventricle", "4th ventricle"),
        ("Left-PCgG", "Left PCgG"),
        ("CC_Posterior", "CC_Posterior"),
        ("BrainSegVolNotVent", "BrainSegVolNotVent"),
    ],
)
def test_names_in_plain_words(name: str, plain: str) -> None:
    assert plain_name(name) == plain
