"""The page and the tables: complete, self-contained, and honest in words."""

from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Browser

from fibromorph.errors import LabelError
from fibromorph.labels import NEUROMORPHOMETRICS
from fibromorph.postprocessing.stats import Results
from fibromorph.postprocessing.stats.designs.contract import score_in_prose
from fibromorph.postprocessing.stats.groups.model import GroupModel, centred
from fibromorph.postprocessing.stats.report import figures, forest, write_study
from fibromorph.postprocessing.stats.report.brain import PaintedBrain, paint
from fibromorph.postprocessing.stats.report.limits import limits
from fibromorph.postprocessing.stats.report.methods import methods_text
from fibromorph.postprocessing.stats.report.page import render
from fibromorph.postprocessing.stats.report.people_figures import (
    adjusted,
    groups_figure,
    scores_figure,
)
from fibromorph.postprocessing.stats.report.wording import signed
from fibromorph.postprocessing.stats.results import to_tsv
from tests.postprocessing.stats.cohorts import PUTAMEN, Cohort, write_cohort
from tests.postprocessing.stats.conftest import run


@pytest.fixture(scope="module")
def written(results: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    write_study(results, out)
    return out


@pytest.fixture(scope="module")
def page(written: Path) -> str:
    return (written / "report.html").read_text()


def test_tables_are_written_as_named(written: Path) -> None:
    names = {path.name for path in written.iterdir()}
    assert names == {
        "group_comparison.tsv",
        "assumptions.tsv",
        "asymmetry.tsv",
        "deviations.tsv",
        "associations.tsv",
        "sensitivity.tsv",
        "report.html",
    }
    table = pd.read_csv(written / "group_comparison.tsv", sep="\t")
    assert table.columns[0] == "region"
    assert table.loc[table["region"] == PUTAMEN, "conclusion"].item() == "lower in patients"


def test_the_page_needs_nothing_from_elsewhere(page: str) -> None:
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)
    assert not re.search(r"<script src|fetch\(|import\(", page)


class _Balance(HTMLParser):
    """Tags that were opened and not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
        if tag in {"table", "section", "figure", "svg", "ul", "ol", "div", "body"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()


def test_the_page_is_well_formed(page: str) -> None:
    balance = _Balance()
    balance.feed(page)
    assert balance.open == []


def test_the_page_says_who_was_in_it_and_what_was_found(page: str) -> None:
    assert "23 patients, 21 controls" in page
    assert "1 of 8 regions differs" in page
    assert "Left putamen" in page


def test_limits_stand_in_the_summary(results: Results) -> None:
    text = " ".join(limits(results))
    assert "Only large effects can be found" in text
    assert "cross-sectional" in text
    assert "one site" in text
    assert "every control has 0" in text


def test_tables_can_be_taken_from_the_page(page: str, written: Path) -> None:
    found = re.search(r'download="group_comparison.tsv" href="data:[^,]*,([^"]*)"', page)
    assert found is not None
    assert b64decode(found[1]).decode() == (written / "group_comparison.tsv").read_text()


def test_methods_name_seed_versions_and_choices(page: str) -> None:
    assert "every combination of eTIV adjustment, exclusions, kind of volume, weighting" in page
    for words in ("seed 20230325", "fibromorph 0", "400 permutations", "scipy", "HC3 [1]"):
        assert words in page


def test_only_what_is_cited_is_listed_in_the_order_of_the_text(results: Results) -> None:
    paragraphs, citations = methods_text(results)
    cited = [int(number) for number in re.findall(r"\[(\d+)\]", " ".join(paragraphs))]
    assert list(dict.fromkeys(cited)) == list(range(1, len(citations) + 1))
    assert not any("ComBat" in text or "Fortin" in text for text in citations)


def test_every_person_is_a_dot(results: Results, page: str) -> None:
    people = len(results.study.volumes)
    dots = page.count("<use ")
    assert dots > 8 * people


def test_of_very_many_people_some_are_drawn_in_their_group_s_colour(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "MANY_POINTS", 20)
    drawn = groups_figure(results, [PUTAMEN])
    dots = re.findall(r"<use [^>]*fill: var\(--(left|right)\)", drawn)
    assert len(dots) == 20
    assert set(dots) == {"left", "right"}
    assert "<image" not in drawn


def test_the_interval_beside_the_dots_holds_the_mean_as_often_as_it_says() -> None:
    rng, hits, studies = np.random.default_rng(5), 0, 500
    patients = np.arange(11) < 6
    for _ in range(studies):
        volumes = pd.DataFrame({PUTAMEN: 5 + 0.3 * rng.standard_normal(11)})
        nuisance = centred(pd.DataFrame(rng.standard_normal((11, 3))))
        found = adjusted(GroupModel(volumes, volumes, None, patients, nuisance), PUTAMEN, 0.95)
        hits += (np.abs(np.subtract(found.means, 5)) <= found.reach).sum()
    assert 0.94 < hits / (2 * studies) <= 0.99


def test_bars_say_the_same_as_the_numbers_beside_them(results: Results) -> None:
    for row in forest.group_rows(results.groups.assign(g_ci_low=9.0, g_ci_high=9.0)):
        _, low, high = (
            float(text.replace("\N{MINUS SIGN}", "-"))
            for text in re.findall(r"[+\N{MINUS SIGN}][0-9.]+", row.numbers)
        )
        assert (low > 0, high < 0) == (row.low > 0, row.high < 0)


@pytest.mark.parametrize("name", ["price $5 and $6", "cost $a{$ b"])
def test_a_dollar_in_a_name_is_a_dollar(results: Results, name: str) -> None:
    named = {PUTAMEN: name}
    groups, volumes = results.groups.rename(index=named), results.model.volumes
    model = replace(results.model, volumes=volumes.rename(columns=named))
    assert name in forest.groups_forest(groups)
    assert name in groups_figure(replace(results, model=model), [name])


def test_each_family_of_the_forest_has_a_title(results: Results) -> None:
    assert "Forest plot" in forest.groups_forest(results.groups)
    assert ">regions</text>" not in forest.groups_forest(results.groups)
    family = ["deep_grey"] * 4 + ["fluid"] * 4
    drawn = forest.groups_forest(results.groups.assign(family=family))
    assert drawn.count(">deep grey</text>") == drawn.count(">fluid</text>") == 1
    names = [row.name for row in forest.group_rows(results.groups.assign(family=family))]
    first = drawn.index(">deep grey</text>")
    assert len(names) == 8
    assert first < drawn.index(">fluid</text>")


def test_long_names_take_several_lines(results: Results) -> None:
    name = "Right inferior frontal gyrus, triangular part, as drawn by hand"
    groups = results.groups.rename(index={PUTAMEN: name})
    drawn = forest.groups_forest(groups)
    assert name not in drawn
    assert "Right inferior frontal gyrus," in drawn


def test_long_names_break_no_page(folder: Path, tmp_path: Path, browser: Browser) -> None:
    name = "ctx_lh_" + 8 * "G_and_S_cingul-Mid-Ant_" + "volume"
    for path in folder.glob("volumes*.tsv"):
        path.write_text(path.read_text().replace(PUTAMEN, name))
    write_study(run(folder, families={"all": [name, "Left-*", "Right-*"]}), tmp_path / "out")
    for width in (1400, 390):
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.goto((tmp_path / "out" / "report.html").as_uri())
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width
        assert (
            page.locator("tbody th", has_text="cingul").first.evaluate("e => e.offsetWidth") < 340
        )
        brain = page.get_by_alt_text("Axial slices").evaluate("e => e.offsetWidth")
        assert brain >= 680
        page.close()


def test_the_summary_names_six_findings_and_counts_the_rest(results: Results) -> None:
    groups = results.groups.assign(conclusion="lower in patients")
    page = render(replace(results, groups=groups), PaintedBrain("", (), ""))
    summary = page[page.index("Summary") : page.index("All regions")]
    assert "8 of 8 regions differ between" in summary
    assert "; and 2 more, in the table below." in summary
    assert summary.count('class="found"') == 6


def test_what_rounds_to_nought_has_no_minus() -> None:
    assert signed(-0.04, 1) == "+0.0"


def test_titles_are_escaped(folder: Path, tmp_path: Path) -> None:
    write_study(run(folder, title="<b>&"), tmp_path / "out")
    assert "&lt;b&gt;&amp;" in (tmp_path / "out" / "report.html").read_text()


def test_regions_are_painted_and_strangers_named(results: Results) -> None:
    groups = pd.concat([results.groups, results.groups.iloc[:1].rename(index=lambda _: "Nowhere")])
    brain = paint(groups, 0.05, None)
    assert b64decode(brain.png_base64).startswith(b"\x89PNG")
    assert brain.view is not None
    said = brain.view.layers[0].texts[brain.ids[PUTAMEN]]
    effect = signed(groups.loc[PUTAMEN, "hedges_g"])
    assert said.startswith(f"Left putamen: g = {effect}, p ")
    assert said.endswith("corrected")
    assert brain.not_drawn == ("Nowhere",)


def test_regions_of_the_cortex_are_painted() -> None:
    regions = [label.name for label in NEUROMORPHOMETRICS if label.parent == "Cerebral-Cortex"]
    groups = pd.DataFrame({"hedges_g": 0.4, "p_fwe": 0.2}, index=regions)
    assert paint(groups, 0.05, None).not_drawn == ()


def test_an_atlas_that_is_no_image(results: Results, tmp_path: Path) -> None:
    path = tmp_path / "atlas.nii.gz"
    path.write_text("no image")
    with pytest.raises(LabelError, match="readable image"):
        paint(results.groups, 0.05, str(path))


def test_a_longitudinal_page(tmp_path: Path) -> None:
    write_cohort(tmp_path, Cohort(sessions=("ses-01", "ses-02")))
    sessions = {"follow_up": ["ses-02"], "bootstraps": 200}
    smallest = {"value": 5, "unit": "percent"}
    found = run(tmp_path, sessions=sessions, smallest_effect=smallest)
    write_study(found, tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "patients against controls" in page
    assert "the same change as in controls: within" in page
    assert "No arms were compared: the study cannot tell whether" in page
    assert "down of 23; 1.2 by chance" in page
    assert "<dd>ses-01, ses-02</dd>" in page
    assert "lost<br>of each" in page
    assert "interval by the bootstrap" in page
    assert "cross-sectional" not in page
    write_study(run(tmp_path), tmp_path / "out")
    assert not (tmp_path / "out" / "change.tsv").exists()


def dots(figure: str, colour: str) -> int:
    return len(re.findall(rf"<use [^>]*fill: var\(--{colour}\)", figure))


def test_only_who_was_analysed_is_drawn_beside_a_score(results: Results) -> None:
    pain = scores_figure(results, [(PUTAMEN, "pain_intensity")])
    assert (dots(pain, "right"), dots(pain, "left")) == (23, 0)
    mood = scores_figure(results, [(PUTAMEN, "depression_bdi")])
    assert (dots(mood, "right"), dots(mood, "left")) == (23, 21)


def test_the_person_on_whom_a_slope_rests_is_ringed(results: Results) -> None:
    table = results.associations.assign(cooks_distance=0.1)
    question = [(PUTAMEN, "pain_intensity")]
    none = scores_figure(replace(results, associations=table), question)
    one = scores_figure(replace(results, associations=table.assign(cooks_distance=0.9)), question)
    assert one.count("<use ") == none.count("<use ") + 1


def test_scores_are_called_alike_all_over_the_page(page: str, results: Results) -> None:
    assert "pain_intensity" not in page
    assert "depression_bdi" not in page
    assert "related to pain intensity (NRS), depression (BDI) by partial correlations" in page
    assert any(text.startswith("Pain intensity (NRS): patients only") for text in limits(results))
    assert any(text.startswith("Depression (BDI) differs") for text in limits(results))
    assert "<h3>With and without depression (BDI)</h3>" in page


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("duration", "duration of illness"),
        ("catastrophising", "Pain Catastrophizing Scale"),
        ("depression_cesd", "depression (CES-D)"),
        ("PSS_total", "PSS total"),
    ],
)
def test_titles_within_sentences(name: str, title: str) -> None:
    assert score_in_prose(name) == title


def test_p_values_of_a_score_that_disagree_are_marked(results: Results) -> None:
    split = results.associations.assign(p=0.009, p_permutation=0.077, p_fdr=0.9, p_fwe=0.8)
    page = render(replace(results, associations=split), PaintedBrain("", (), ""))
    assert "<td>0.009</td><td>† 0.077</td><td>0.900</td><td>0.800</td>" in page
    assert "lie on different sides of 0.05" in page
    alike = render(replace(results, associations=split.assign(p=0.09)), PaintedBrain("", (), ""))
    assert "<td>0.090</td><td>0.077</td>" in alike


def test_cells_of_tables() -> None:
    table = pd.DataFrame({"a": [1.0, float("nan")], "b": ["x", None], "c": [0.123456789, 1e200]})
    assert to_tsv(table) == "a\tb\tc\n1\tx\t0.123457\nn/a\tn/a\t1e+200\n"


def test_sentences_say_p_as_it_is_written(page: str) -> None:
    assert re.search(r"p (= 0\.0\d\d|&lt;\s0\.001)", page)
    assert "= &lt;" not in page
    assert "= <" not in page
