"""Thickness in place of volumes: read from every tool, analysed, and called what it is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fibromorph.errors import TableError
from fibromorph.postprocessing.stats import (
    Design,
    Results,
    analyse,
    build_study,
    load_design,
    read_cohort,
    read_people,
    run_study,
)
from fibromorph.postprocessing.stats.designs.starter import write_starter
from fibromorph.postprocessing.stats.report import write_study
from fibromorph.postprocessing.thickness import ThicknessRow, write_thickness
from fibromorph.postprocessing.volumes import VolumeRow, sd_of_sum, write_volumes
from tests.postprocessing.stats.cohorts import (
    INSULA,
    MEANS_MM,
    Cohort,
    design,
    write,
    write_cohort,
    write_thickness_cohort,
)

SCORES = {"pain_intensity": "pain", "depression_bdi": "bdi"}
FAMILIES = {"cortex": ["*-Insula", "*-Gyrus", "Left-Insula"], "whole": ["Mean-Thickness"]}
COMBINED = {"Left-Insula": ["Left-Anterior-Insula", "Left-Posterior-Insula"]}


def run(folder: Path, **changes: object) -> Results:
    asked = design(**changes)
    cohort = read_cohort([folder / "thickness.tsv"], asked.ids, asked.measure)
    return analyse(asked, cohort, read_people(asked, folder / "participants.tsv"), progress=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_thickness_cohort(tmp_path, Cohort(effects={INSULA: -0.08}))
    return tmp_path


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything asked at once: two sites, two sessions, two arms, scores that change."""
    folder = tmp_path_factory.mktemp("trial")
    study = Cohort(
        patients=44,
        controls=40,
        effects={INSULA: -0.08},
        sessions=("ses-01", "ses-02"),
        growth={INSULA: -0.04},
        sites=("a", "b"),
    )
    people = write_thickness_cohort(folder, study)
    later = people.assign(pain=lambda t: (t["pain"] - t.index % 3).clip(lower=0))
    sessions = [
        t.assign(session_id=s) for t, s in zip((people, later), study.sessions, strict=True)
    ]
    write(folder / "participants.tsv", pd.concat(sessions))
    # In those who wait, the insula gets thinner still.
    table = pd.read_csv(folder / "thickness.tsv", sep="\t")
    waiting = table["participant_id"].map(people.set_index("participant_id")["arm"]) == "waiting"
    table.loc[waiting & (table["session_id"] == "ses-02"), INSULA] *= 0.88
    write(folder / "thickness.tsv", table)
    return folder


@pytest.fixture(scope="module")
def results(trial: Path) -> Results:
    return run(
        trial,
        families=FAMILIES,
        combined=COMBINED,
        scores=SCORES,
        site={"column": "site", "method": "meta"},
        sessions={
            **{"baseline": "ses-01", "follow_up": ["ses-02"], "bootstraps": 400},
            **{"arm": "arm", "treated": "therapy", "untreated": "waiting"},
        },
    )


@pytest.fixture(scope="module")
def written(results: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    write_study(results, out)
    return out


def quick(asked: Design) -> Design:
    inference = asked.inference.model_copy(update={"permutations": 200})
    return asked.model_copy(update={"inference": inference})


def test_what_was_planted_is_found(results: Results) -> None:
    row = results.groups.loc[INSULA]
    assert row["conclusion"] == "lower in patients"
    assert row["ci_low_mm"] < -0.08 * 3.4 < row["ci_high_mm"] < 0
    assert (results.groups.drop(index=[INSULA, "Left-Insula"])["p_fwe"] > 0.05).all()
    assert 0 < row["reliability"] < 1
    assert row["meta_difference_mm"] < 0


def test_the_change_of_a_thinning_cortex_is_told_in_its_words(results: Results) -> None:
    assert results.change is not None
    row = results.change.set_index("region").loc[INSULA]
    assert row["change_mm"] > 0
    assert row["conclusion"].startswith("thinned less than in the waiting arm (-")
    assert row["conclusion"].endswith(" mm)")
    assert row["verdict"] == "loss slowed"


def test_every_table_is_in_mm(written: Path) -> None:
    tables = {path.name: path.read_text() for path in written.glob("*.tsv")}
    assert len(tables) == 11
    for name, text in tables.items():
        assert not re.search(r"_ml\b|volume", text), name
    for name in ("group_comparison", "change", "change_individuals", "sensitivity", "sites"):
        assert re.search(r"_mm\b", tables[f"{name}.tsv"].partition("\n")[0]), name
    for name in ("associations", "change_associations"):
        assert "slope_mm" in tables[f"{name}.tsv"].partition("\n")[0]
    assert "weighted by sd_mm" in tables["sensitivity.tsv"]


def test_the_page_says_thickness_and_mm_and_never_volume(written: Path) -> None:
    page = re.sub(r"base64,[^\"]*", "", (written / "report.html").read_text())
    page = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)  # nobody reads that
    assert not re.search(r"(?<![a-z])ml\b|volume|eTIV|shrank|grew", page, re.IGNORECASE)
    for words in (
        "<title>Regional cortical thickness",
        "difference, mm",
        "mm, adjusted",
        "change, mm, adjusted",
        "slope, mm a point",
        "Does therapy bring the thickness back?",
        "Regional thickness values (fibromorph) of 44 patients",
        "Thickness values were not adjusted for head size.",
        "the parts&#39; unweighted mean was taken: Left-Insula",
        "adjusted for age, sex[M] in level",
    ):
        assert words in page


def test_no_choice_of_head_size_or_kind_is_made_up(results: Results) -> None:
    assert set(results.sensitivity["etiv"]) == {"none"}
    assert "volumes" not in results.sensitivity
    assert results.sensitivity["exclusions"].nunique() > 1


def test_combat_and_imputation_run_on_thickness(trial: Path) -> None:
    people = pd.read_csv(trial / "participants.tsv", sep="\t")
    people.loc[people["participant_id"] == "sub-003", "age"] = np.nan
    folder = trial.with_name("gaps")
    folder.mkdir()
    write(folder / "participants.tsv", people)
    for name in ("thickness.tsv", "thickness_sd.tsv"):
        (folder / name).write_text((trial / name).read_text())
    found = run(
        folder,
        families=FAMILIES,
        combined=COMBINED,
        site={"column": "site", "method": "combat"},
        sessions={"baseline": "ses-01"},
        missing={"method": "impute", "imputations": 5},
    )
    assert float(found.groups["adjusted_difference_mm"][INSULA]) < 0
    assert "control_mean_mm" in found.groups


def test_a_combined_region_is_the_mean_of_its_parts(folder: Path) -> None:
    cohort = read_cohort([folder / "thickness.tsv"])
    asked = design(combined=COMBINED, families={"one": ["Left-Insula"]})
    study = build_study(asked, cohort, read_people(asked, folder / "participants.tsv"))[0]
    parts = [cohort.soft[part] for part in COMBINED["Left-Insula"]]
    assert cohort.sd is not None
    assert study.sd is not None
    errors = [cohort.sd[part] for part in COMBINED["Left-Insula"]]
    assert np.allclose(study.volumes["Left-Insula"], (parts[0] + parts[1]) / 2)
    assert np.allclose(study.sd["Left-Insula"], sd_of_sum(errors) / 2)


def test_the_mean_is_a_total_which_patterns_leave(folder: Path) -> None:
    assert "Mean-Thickness" not in run(folder, families={"all": ["*"]}).groups.index


def test_head_size_is_taken_out_where_that_is_asked_for_and_known(folder: Path) -> None:
    with pytest.raises(
        TableError, match=r"thickness.tsv: .*eTIV.*this table lacks; set etiv: none"
    ):
        run(folder, etiv="covariate")
    table = pd.read_csv(folder / "thickness.tsv", sep="\t")
    heads = np.random.default_rng(0).normal(1500, 100, len(table))
    write(folder / "thickness.tsv", table.assign(eTIV=heads))
    assert "eTIV" not in run(folder).model.nuisance
    asked = run(folder, etiv="covariate")
    assert "eTIV" in asked.model.nuisance
    assert set(asked.sensitivity["etiv"]) == {"covariate", "none"}
    assert any("hardly goes with it" in note for note in asked.notes)


@pytest.mark.parametrize(
    ("factor", "message"),
    [
        (0.1, r"column Left-Anterior-Insula: the median thickness.*0.5 to 8 mm"),
        (-1, "thickness must not be negative"),
    ],
)
def test_another_unit_is_refused(folder: Path, factor: float, message: str) -> None:
    table = pd.read_csv(folder / "thickness.tsv", sep="\t")
    table[INSULA] *= factor
    write(folder / "thickness.tsv", table)
    with pytest.raises(TableError, match=message):
        read_cohort([folder / "thickness.tsv"])


def test_single_values_that_no_cortex_has_are_named(folder: Path) -> None:
    table = pd.read_csv(folder / "thickness.tsv", sep="\t")
    table.loc[4, INSULA], table.loc[5, INSULA] = 9.3, 0
    write(folder / "thickness.tsv", table)
    notes = " ".join(run(folder).notes)
    assert "outside 0.5 to 8 mm something has gone wrong" in notes
    assert "sub-005 Left anterior insula 9.3" in notes
    assert "1 thickness values of 0 mm were taken as missing" in notes


def test_thickness_does_not_follow_corrected_labels(folder: Path) -> None:
    (folder / "corrected.tsv").write_text("participant_id\tsession_id\nsub-001\tn/a\n")
    note = read_cohort([folder / "thickness.tsv"]).notes[0]
    assert note.startswith("Labels of one scan were corrected by hand (corrected.tsv)")


def freesurfer(folder: Path, side: str, atlas: str = "aparc", people: int = 2) -> Path:
    columns = f"{side}_bankssts_thickness\t{side}_MeanThickness_thickness\tBrainSegVolNotVent\teTIV"
    rows = [f"sub-{i:02d}\t2.{i}\t2.5{i}\t1090000\t15{i:02d}000" for i in range(1, people + 1)]
    path = folder / f"{side}.{atlas}.tsv"
    path.write_text("\n".join([f"{side}.{atlas}.thickness\t{columns}", *rows]) + "\n")
    return path


@pytest.mark.parametrize("atlas", ["aparc", "aparc.DKTatlas", "aparc.a2009s"])
def test_tables_of_freesurfer_for_both_hemispheres(tmp_path: Path, atlas: str) -> None:
    cohort = read_cohort([freesurfer(tmp_path, side, atlas) for side in ("lh", "rh")])
    assert cohort.measure.name == "thickness"
    assert cohort.tool == "FreeSurfer"
    means = ["Left-Mean-Thickness", "Right-Mean-Thickness"]
    assert cohort.regions == ["ctx-lh-bankssts", means[0], "ctx-rh-bankssts", means[1]]
    assert cohort.soft["ctx-lh-bankssts"].tolist() == [2.1, 2.2]
    assert cohort.etiv_ml is not None
    assert cohort.etiv_ml.tolist() == [1501, 1502]


def test_volumes_beside_thickness_are_refused(folder: Path, tmp_path: Path) -> None:
    write_cohort(tmp_path, Cohort())
    with pytest.raises(TableError, match=r"volumes.tsv: .*must all hold the thickness.*: volume"):
        read_cohort([folder / "thickness.tsv", tmp_path / "volumes.tsv"])
    with pytest.raises(TableError, match=r"volumes.tsv: .*asks for thickness.*found: volume"):
        read_cohort([tmp_path / "volumes.tsv"], measure="thickness")
    with pytest.raises(TableError, match=r"thickness.tsv: .*asks for volume.*found: thickness"):
        read_cohort([folder / "thickness.tsv"], measure="volume")


def test_what_arrives_of_a_thinner_cortex_is_said(folder: Path) -> None:
    known = {"responsiveness": {INSULA: {"mean": 0.8, "sd": 0.05}}}
    (folder / "thickness_responsiveness.json").write_text(json.dumps(known))
    found = run(folder)
    row = found.groups.loc[INSULA]
    assert row.alone_percent < row.difference_percent < 0
    write_study(found, folder / "out")
    page = (folder / "out" / "report.html").read_text()
    assert "Of a thinner cortex these thickness values show 80 %" in page
    assert "on heads whose cortex was made thinner from outside" in page


def test_single_tables_are_read_where_the_design_asks_for_them(tmp_path: Path) -> None:
    for name, thick in (("sub-1_ses-a_T1w", 2.5), ("sub-2_ses-a_T1w", None)):
        write_volumes(
            tmp_path / f"{name}_volumes.tsv",
            [VolumeRow(101, INSULA, "left", "grey", 5.1, 5.0, 0.1, 0.9)],
        )
        rows = [
            ThicknessRow(101, INSULA, "left", thick, None if thick is None else 0.1, 12.0),
            ThicknessRow(None, "Mean-Thickness", "both", 2.6, 0.05, 1600.0),
        ]
        write_thickness(tmp_path / f"{name}_thickness.tsv", rows)
        facts = {
            "quality": {"overall": 0.7},
            "responsiveness": {INSULA: {"mean": 0.5, "sd": 0.1}},
            "thickness": {
                "responsiveness": {INSULA: {"mean": 0.9, "sd": 0.1}},
                "repeatability": {INSULA: 0.4},
            },
        }
        (tmp_path / f"{name}.json").write_text(json.dumps(facts))
    assert read_cohort([tmp_path]).soft[INSULA].tolist() == [5.0, 5.0]
    cohort = read_cohort([tmp_path], measure="thickness")
    assert cohort.measure.unit == "mm"
    assert cohort.soft[INSULA].fillna(0).tolist() == [2.5, 0]
    assert cohort.sd is not None
    assert cohort.sd["Mean-Thickness"].tolist() == [0.05, 0.05]
    assert cohort.quality is not None
    assert cohort.quality.tolist() == [0.7, 0.7]
    # What a bundle knows of volumes is not true of thickness.
    assert (cohort.hard, cohort.etiv_ml) == (None, None)
    assert (cohort.shares[INSULA].mean, cohort.repeats) == (0.9, {INSULA: 0.4})
    for path in tmp_path.glob("*_volumes.tsv"):
        path.unlink()
    assert read_cohort([tmp_path]).measure.name == "thickness"


APARC = """\
# Measure Cortex, NumVert, Number of Vertices, 120000, unitless
# Measure Cortex, WhiteSurfArea, White Surface Total Area, 88427.6, mm^2
# Measure Cortex, MeanThickness, Mean Thickness, 2.40852, mm
# ColHeaders StructName NumVert SurfArea GrayVol ThickAvg ThickStd MeanCurv GausCurv FoldInd CurvInd
insula  3000  2000  6543  2.9  0.8  0.1  0.02  20  2.0
"""
ASEG = """\
# Measure EstimatedTotalIntraCranialVol, eTIV, Estimated Total Intracranial Volume, 1500000, mm^3
# ColHeaders  Index SegId NVoxels Volume_mm3 StructName normMean normStdDev
  1  10     7280     7280.7  Left-Thalamus-Proper   92.1     8.3
"""


def test_a_subjects_dir_has_thickness_too(tmp_path: Path) -> None:
    for name, aparc in (("sub-01", "aparc"), ("sub-02", "aparc.DKTatlas.mapped"), ("sub-03", "")):
        stats = tmp_path / name / "stats"
        stats.mkdir(parents=True)
        (stats / "aseg.stats").write_text(ASEG)
        if aparc:
            (stats / f"lh.{aparc}.stats").write_text(APARC)
    assert read_cohort([tmp_path]).measure.name == "volume"
    cohort = read_cohort([tmp_path], measure="thickness")
    assert cohort.regions == ["Left-Mean-Thickness", "ctx-lh-insula"]
    assert cohort.soft.iloc[1].tolist() == [2.40852, 2.9]
    assert cohort.etiv_ml is not None
    assert cohort.etiv_ml.tolist() == [1500, 1500]
    assert any("not taken (1): sub-03" in note for note in cohort.notes)
    for path in tmp_path.glob("*/stats/lh.*"):
        path.unlink()
    with pytest.raises(TableError, match=r"thickness needs \?h.aparc.stats"):
        read_cohort([tmp_path], measure="thickness")


def test_a_design_for_thickness_speaks_of_no_head_and_of_no_structures(folder: Path) -> None:
    path, people = folder / "design.yaml", folder / "participants.tsv"
    told = "\n".join(write_starter(path, [folder / "thickness.tsv"], people))
    assert "23 patients and 21 controls fit" in told
    assert "eTIV" not in told
    text = path.read_text()
    assert not re.search(r"^(etiv|volumes):", text, re.MULTILINE)
    asked = load_design(path)
    assert (asked.title, asked.measure) == ("Regional cortical thickness", "thickness")
    regions = [r for r in MEANS_MM if r.endswith(("Insula", "Gyrus"))]
    assert asked.families["cortex"] == tuple(regions)
    assert asked.families["hemispheres"] == ("Left-Cerebral-Cortex", "Right-Cerebral-Cortex")
    run_study(quick(asked), folder / "thickness.tsv", people, folder / "out", progress=False)
    assert "1 of 8 regions differs" in (folder / "out" / "report.html").read_text()


def test_a_folder_of_both_gives_a_design_for_either(folder: Path) -> None:
    scans = folder / "scans"
    scans.mkdir()
    for _, row in pd.read_csv(folder / "thickness.tsv", sep="\t").iterrows():
        rows = [ThicknessRow(None, n, "both", float(row[n]), 0.1, 9.0) for n in MEANS_MM]
        write_thickness(scans / f"{row['participant_id']}_thickness.tsv", rows)
        volume = VolumeRow(12, "Left-Putamen", "left", "grey", 5.1, float(row[INSULA]), 0.1, 0.9)
        write_volumes(scans / f"{row['participant_id']}_volumes.tsv", [volume])
    people = folder / "participants.tsv"
    told = write_starter(folder / "volumes.yaml", [scans], people)
    assert "volumes were read; for the thickness" in told[0]
    assert load_design(folder / "volumes.yaml").families == {"structures": ("Left-Putamen",)}
    path = folder / "thickness.yaml"
    assert not write_starter(path, [scans], people, measure="thickness")[0].startswith("volumes")
    found = run_study(quick(load_design(path)), scans, people, folder / "out", progress=False)
    assert found.groups.loc[INSULA, "conclusion"] == "lower in patients"


def test_a_design_for_freesurfers_thickness_leaves_the_head_alone(tmp_path: Path) -> None:
    people = write_cohort(tmp_path, Cohort())
    rng = np.random.default_rng(0)
    names = ["lh_insula_thickness", "lh_cuneus_thickness", "lh_MeanThickness_thickness"]
    table = pd.DataFrame({"lh.aparc.thickness": people["participant_id"]})
    table = table.assign(**{n: rng.normal(2.5, 0.1, len(people)) for n in names}, eTIV=1.5e6)
    write(tmp_path / "lh.tsv", table)
    path = tmp_path / "design.yaml"
    write_starter(path, [tmp_path / "lh.tsv"], tmp_path / "participants.tsv")
    assert load_design(path).families == {"cortex": ("ctx-lh-insula", "ctx-lh-cuneus")}
    asked = quick(load_design(path))
    cohort = read_cohort([tmp_path / "lh.tsv"], asked.ids, asked.measure)
    found = analyse(asked, cohort, read_people(asked, tmp_path / "participants.tsv"))
    assert set(found.sensitivity["etiv"]) == {"none"}
    assert "p_slope_eTIV" not in found.assumptions


def test_a_table_of_errors_that_knows_none_is_none(folder: Path) -> None:
    errors = pd.read_csv(folder / "thickness_sd.tsv", sep="\t")
    errors[[str(c) for c in errors if "-" in str(c)]] = np.nan
    errors.to_csv(folder / "thickness_sd.tsv", sep="\t", index=False, na_rep="n/a")
    groups = run(folder, families=FAMILIES, combined=COMBINED).groups
    assert "adjusted_difference_mm" in groups
    assert "weighted_difference_mm" not in groups
