"""Voxelwise statistics: what is planted is found where it is, and nothing else."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Browser, expect

from fibromorph.postprocessing.stats.models.linear import fit
from fibromorph.postprocessing.voxelwise import VoxelResults
from fibromorph.postprocessing.voxelwise.inference import permute
from fibromorph.postprocessing.voxelwise.report import write_voxelwise
from fibromorph.postprocessing.voxelwise.report.picture import cuts
from tests.postprocessing.voxelwise.conftest import run
from tests.postprocessing.voxelwise.heads import Heads, Person, design, map_path, write_heads


def test_a_loss_is_found_where_it_is(found: VoxelResults) -> None:
    answer = found.answers[0]
    cluster = answer.clusters.iloc[0]
    assert cluster["region"] == "Left thalamus"
    assert cluster["regions"].startswith("Left thalamus")
    assert cluster["direction"] == "lower in patients"
    assert cluster["value"] < cluster["ci_high"] < 0
    assert np.linalg.norm(cluster[["x_mm", "y_mm", "z_mm"]].astype(float) - [-12, -20, 8]) < 12
    assert cluster["p_fwe"] == pytest.approx(1 / 101)
    assert "Left thalamus (lower in patients" in found.summary


def test_what_did_not_survive_is_told_as_such(found: VoxelResults, page: str) -> None:
    peaks = found.answers[0].peaks_below
    assert len(peaks) == 5
    assert (peaks["p_fwe"] > 0.05).all()
    assert (peaks["p_uncorrected"] < 0.05).all()
    assert "Not findings" in page


@pytest.fixture(scope="module")
def page(folder: Path, found: VoxelResults) -> str:
    assert found.answers
    return (folder / "out" / "report.html").read_text()


def test_t_is_that_of_the_regression(found: VoxelResults) -> None:
    question, inference = found.answers[0].question, found.answers[0].inference
    outcomes = question.outcomes(found.maps)[:, ::1000].astype(float)
    fitted = fit(question.matrix, outcomes)
    assert inference.t[::1000] == pytest.approx(fitted.beta[-1] / fitted.se[-1], rel=1e-3)
    assert fitted.df == question.df


def test_images_lie_where_the_maps_do(found: VoxelResults, folder: Path) -> None:
    t = nibabel.load(folder / "out" / "patients-controls_t.nii.gz")
    values = t.get_fdata()
    peak = np.unravel_index(np.abs(values).argmax(), values.shape)
    place = nibabel.affines.apply_affine(t.affine, peak)
    cluster = found.clusters.iloc[0]
    assert place == pytest.approx(cluster[["x_mm", "y_mm", "z_mm"]].astype(float).to_numpy())
    names = {path.name for path in (folder / "out").iterdir()}
    statistics = ("t", "d", "logp", "logp_tfce", "logp_cluster")
    images = {f"patients-controls_{name}.nii.gz" for name in statistics}
    assert names == {*images, "mask.nii.gz", "clusters.tsv", "report.html", "results.json"}


def test_numbers_of_the_summary_are_there_for_programs(folder: Path, found: VoxelResults) -> None:
    content = json.loads((folder / "out" / "results.json").read_text())
    assert content["summary"] == found.summary
    assert content["maps"]["count"] == 20
    (asked,) = content["questions"]
    assert asked["df"] == 15
    assert asked["adjusted_for"] == ["age", "sex[M]", "eTIV"]
    assert asked["detectable"] > 1
    assert 0 <= asked["share"] <= 1
    assert 8 < asked["smoothness_mm"] < 30


def test_processes_share_the_work_with_the_same_result(found: VoxelResults) -> None:
    asked, settings = found.answers[0].question, design().vbm
    one = permute(asked, found.maps, settings, (1, 2))
    two = permute(asked, found.maps, settings, (1, 2), workers=2)
    assert one.largest == pytest.approx(two.largest)
    assert one.p["voxel"] == pytest.approx(two.p["voxel"])


def test_where_nothing_differs_nothing_is_found(tmp_path: Path) -> None:
    write_heads(tmp_path, Heads(seed=3))
    results = run(tmp_path)
    assert not len(results.answers[0].clusters)
    assert "no voxel differs; what could have been found" in results.summary
    page = (tmp_path / "out" / "report.html").read_text()
    assert "nothing survives, and no colour here is a finding" in page


def test_a_score_is_found_with_its_sign(tmp_path: Path) -> None:
    def with_pain(person: Person) -> dict[str, float]:
        return {"Right-Putamen": -0.05 * person.pain * person.patient}

    write_heads(tmp_path, Heads(patients=16, controls=6, change=with_pain))
    results = run(tmp_path, scores={"pain_intensity": "pain"})
    (answer,) = (a for a in results.answers if a.question.effect == "r")
    assert answer.question.people == "16 patients"
    cluster = answer.clusters.iloc[0]
    assert cluster["region"] == "Right putamen"
    assert -1 <= cluster["value"] < -0.8
    assert cluster["direction"] == "less with higher pain intensity (NRS)"
    assert any("every control has 0" in note for note in results.notes)


def test_smaller_heads_are_no_finding_once_adjusted(tmp_path: Path) -> None:
    write_heads(tmp_path, Heads(small_patients=0.12, growing=True))
    assert len(run(tmp_path, etiv="none").answers[0].clusters)
    assert not len(run(tmp_path, etiv="covariate").answers[0].clusters)
    divided = run(tmp_path, etiv="ratio")
    assert not len(divided.answers[0].clusters)
    assert any("divided by eTIV" in note for note in divided.notes)
    power = run(tmp_path, etiv="power")
    assert not len(power.answers[0].clusters)
    assert any("eTIV was a covariate" in note for note in power.notes)


SESSIONS = {
    "baseline": "ses-1",
    "follow_up": ["ses-2"],
    "arm": "arm",
    "treated": "therapy",
    "untreated": "waiting",
}


@pytest.fixture(scope="module")
def therapy(tmp_path_factory: pytest.TempPathFactory) -> VoxelResults:
    def grows(person: Person) -> dict[str, float]:
        return {"Left-Hippocampus": 0.15 * (person.treated and person.session == "ses-2")}

    folder = tmp_path_factory.mktemp("therapy")
    write_heads(folder, Heads(16, 6, change=grows, sessions=("ses-1", "ses-2")))
    return run(folder, covariates=["age"], sessions=SESSIONS)


def test_change_is_found_in_the_treated_only(therapy: VoxelResults) -> None:
    by_name = {answer.question.name: answer for answer in therapy.answers}
    gain = by_name["change-ses-2-therapy"].clusters
    assert gain["direction"].tolist() == ["gain in therapy"]
    assert gain["region"].item() == "Left hippocampus"
    assert not len(by_name["change-ses-2-waiting"].clusters)
    assert not len(by_name["patients-controls"].clusters)
    difference = by_name["change-ses-2-therapy-waiting"]
    assert difference.clusters["region"].iloc[0] == "Left hippocampus"
    assert difference.question.people == "8 therapy, 8 waiting"
    assert by_name["change-ses-2-therapy"].question.of_mean


def test_t_of_a_mean_is_that_of_the_intercept(therapy: VoxelResults) -> None:
    by_name = {answer.question.name: answer for answer in therapy.answers}
    for name in ("change-ses-2-therapy", "change-ses-2-therapy-waiting"):
        question = by_name[name].question
        outcomes = question.outcomes(therapy.maps)[:, ::1000].astype(float)
        fitted = fit(question.matrix, outcomes)
        t = by_name[name].inference.t[::1000]
        assert t == pytest.approx(fitted.beta[-1] / fitted.se[-1], rel=1e-3, abs=1e-3)


def test_change_is_adjusted_where_people_are_enough(therapy: VoxelResults) -> None:
    by_name = {answer.question.name: answer for answer in therapy.answers}
    columns = by_name["change-ses-2-therapy-waiting"].question.nuisance.columns
    assert [*columns] == ["age", "eTIV"]
    assert by_name["change-ses-2-waiting"].question.nuisance.empty
    assert any("not adjusted for anything" in note for note in therapy.notes)


def test_a_follow_up_without_maps_is_told(tmp_path: Path) -> None:
    write_heads(tmp_path, Heads(6, 6, sessions=("ses-1", "ses-2")))
    for path in (tmp_path / "maps").rglob("*_ses-2_*"):
        path.unlink()
    results = run(tmp_path, covariates=[], sessions={"baseline": "ses-1", "follow_up": ["ses-2"]})
    assert [answer.question.name for answer in results.answers] == ["patients-controls"]
    text = " ".join(results.notes)
    assert "Follow-up scans without a map, left out: sub-" in text
    assert "Change in patients until ses-2 is not tested: 0 people have both maps" in text


def test_maps_that_do_not_fit_the_table_are_told(tmp_path: Path) -> None:
    write_heads(tmp_path, Heads())
    table = pd.read_csv(tmp_path / "volumes.tsv", sep="\t", keep_default_na=False)
    # Another protocol may count more as grey matter, but of everybody.
    share = 1.2 * (1 + 0.2 * (table["participant_id"] == "sub-05"))
    table["Total-Grey-Matter"] = table["Total-Grey-Matter"].astype(float) * share
    table.to_csv(tmp_path / "volumes.tsv", sep="\t", index=False)
    shutil.rmtree(tmp_path / "maps" / "sub-03")
    shutil.copytree(tmp_path / "maps" / "sub-01", tmp_path / "maps" / "more")
    stray = map_path(tmp_path, "more").parent
    (source,) = stray.iterdir()
    source.rename(source.with_name(source.name.replace("sub-01", "sub-77")))
    results = run(tmp_path)
    text = " ".join(results.notes)
    assert "1 of 19 differ from that by more than 5 %, most sub-05 (-16.7 %)" in text
    assert "Left out for want of a map: sub-03." in text
    assert "Maps of scans that are not analysed (excluded, or of other sessions): sub-77" in text
    assert results.study.flow[-1].left_out == ("sub-03",)


def test_images_of_an_earlier_analysis_do_not_stay(found: VoxelResults, tmp_path: Path) -> None:
    write_voxelwise(found, tmp_path)
    assert (tmp_path / "patients-controls_logp_cluster.nii.gz").exists()
    (tmp_path / "mine.nii.gz").touch()
    before = (tmp_path / "patients-controls_t.nii.gz").read_bytes()
    (answer,) = found.answers
    only_t = replace(answer.inference, p={"voxel": answer.inference.p["voxel"]})
    write_voxelwise(replace(found, answers=(replace(answer, inference=only_t),)), tmp_path)
    assert not (tmp_path / "patients-controls_logp_cluster.nii.gz").exists()
    assert (tmp_path / "mine.nii.gz").exists()
    assert (tmp_path / "patients-controls_t.nii.gz").read_bytes() == before


def test_the_page_needs_nothing_from_elsewhere(page: str) -> None:
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)
    assert not re.search(r"<script src|fetch\(|import\(", page)
    assert "10 patients, 10 controls were compared in every voxel by linear regression" in page
    assert "threshold-free cluster enhancement [3]" in page


def test_the_page_fits_the_window(folder: Path, page: str, browser: Browser) -> None:
    assert page
    window = browser.new_page(viewport={"width": 1100, "height": 900})
    window.goto((folder / "out" / "report.html").as_uri())
    assert window.evaluate("document.documentElement.scrollWidth") <= 1100
    window.close()


def test_a_peak_leads_to_its_place_in_every_slice(
    folder: Path, page: str, found: VoxelResults, browser: Browser
) -> None:
    assert page
    answer = found.answers[0]
    window = browser.new_page(viewport={"width": 1100, "height": 900})
    window.goto((folder / "out" / "report.html").as_uri())
    expect(window.locator(".viewer")).to_be_visible()
    place = window.locator(".place b")
    for row, said in ((answer.clusters.iloc[0], "survives"), (answer.peaks_below.iloc[0], "not a")):
        mm = " ".join(str(row[f"{axis}_mm"]) for axis in "xyz")
        window.select_option(".controls select", label="regions")
        window.click(f'[data-mm="{mm}"]')
        expect(place).to_contain_text(said)
        effect = float(place.inner_text().split()[2].rstrip(",").replace("\u2212", "-"))
        # Drawn on other voxels, between which a peak is a little lower.
        assert effect == pytest.approx(row["value"], rel=0.3)
    window.close()


def test_slices_run_through_the_peaks() -> None:
    clusters = pd.DataFrame({"z_mm": [7.9, 9.0, -30.0]})
    places = cuts(clusters, "z")
    assert len(places) == 8
    assert {7.9, -30.0} < {*places}
