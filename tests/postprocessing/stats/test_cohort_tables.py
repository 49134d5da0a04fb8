"""Volumes of every tool, recognised by their headers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fibromorph.errors import TableError
from fibromorph.postprocessing.stats import read_cohort
from fibromorph.postprocessing.volumes import VolumeRow, write_volumes


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_own_wide_table_with_its_companions(folder: Path) -> None:
    cohort = read_cohort([folder / "volumes.tsv"])
    assert len(cohort.soft) == 44
    assert cohort.tool == "fibromorph"
    assert cohort.sd is not None
    assert cohort.hard is not None
    assert cohort.quality is not None
    assert cohort.etiv_ml is not None
    assert "quality" not in cohort.regions


def test_companions_must_hold_the_same_scans(folder: Path) -> None:
    lines = (folder / "volumes_sd.tsv").read_text().splitlines()
    (folder / "volumes_sd.tsv").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(TableError, match=r"volumes_sd.tsv.*every scan.*sub-044"):
        read_cohort([folder / "volumes.tsv"])


def test_a_folder_of_single_scans(tmp_path: Path) -> None:
    for name, soft in (("sub-1_ses-a_T1w", 5.0), ("sub-2_ses-a_T1w", 6.0)):
        rows = (
            VolumeRow(12, "Left-Putamen", "left", "grey", 5.1, soft, 0.1, 0.9),
            VolumeRow(None, "eTIV", "both", "n/a", 1500.0, 1490.0, 9.0, 0.9),
        )
        write_volumes(tmp_path / f"{name}_volumes.tsv", rows)
    cohort = read_cohort([tmp_path])
    assert cohort.soft["Left-Putamen"].tolist() == [5.0, 6.0]
    assert cohort.regions == ["Left-Putamen"]
    assert cohort.etiv_ml is not None
    assert cohort.etiv_ml.iloc[0] == 1500.0


@pytest.mark.parametrize("desc", ["", "_desc-fibromorph"])
def test_a_folder_with_the_regions_of_an_atlas(tmp_path: Path, desc: str) -> None:
    for number, name in enumerate(("sub-1_ses-a", "sub-2_ses-a")):
        putamen = VolumeRow(12, "Left-Putamen", "left", "grey", 5.1, 5.0 + number, 0.1, 0.9)
        head = VolumeRow(None, "eTIV", "both", "n/a", 1500.0, 1490.0, 9.0, 0.9)
        insula = VolumeRow(7, "Insula_L", "left", "grey", 7.0, 7.5 + number, 0.1, 0.9)
        write_volumes(tmp_path / f"{name}{desc}_volumes.tsv", (putamen, head))
        write_volumes(tmp_path / f"{name}_seg-Aal_volumes.tsv", (insula,))
    own, of_atlas = read_cohort([tmp_path]), read_cohort([tmp_path], atlas="Aal")
    assert own.regions == ["Left-Putamen"]
    assert of_atlas.soft["Insula_L"].tolist() == [7.5, 8.5]
    assert of_atlas.etiv_ml is not None
    assert of_atlas.etiv_ml.tolist() == [1500.0, 1500.0]
    assert "the atlas Aal" in of_atlas.notes[0]
    assert read_cohort([tmp_path], atlas="Destrieux").regions == ["Left-Putamen"]


def test_freesurfer_aseg_with_aparc(tmp_path: Path) -> None:
    aseg = write(
        tmp_path / "aseg.tsv",
        "Measure:volume\tLeft-Thalamus-Proper\tBrainSegVol\tEstimatedTotalIntraCranialVol",
        "sub-01\t7500.0\t1100000\t1500000.0",
    )
    aparcs = [
        write(
            tmp_path / f"{side}.tsv",
            f"{side}.aparc.volume\t{side}_bankssts_volume\tBrainSegVolNotVent\teTIV",
            "sub-01\t2400\t1090000\t1500000",
        )
        for side in ("lh", "rh")
    ]
    cohort = read_cohort([aseg, *aparcs])
    assert cohort.soft["BrainSegVolNotVent"].tolist() == [1090.0]
    assert cohort.tool == "FreeSurfer"
    assert cohort.soft["Left-Thalamus"].iloc[0] == 7.5
    assert cohort.soft["ctx-lh-bankssts"].iloc[0] == 2.4
    assert cohort.etiv_ml is not None
    assert cohort.etiv_ml.iloc[0] == 1500.0


def test_synthseg(tmp_path: Path) -> None:
    path = write(
        tmp_path / "vol.csv",
        "subject,total intracranial,left thalamus,left ventral DC,3rd ventricle,brain-stem",
        "sub-01_ses-02_T1w.nii.gz,1500000,7500,3900,1000,20000",
    )
    cohort = read_cohort([path])
    names = {"Left-Thalamus", "Left-VentralDC", "3rd-Ventricle", "Brain-Stem"}
    assert set(cohort.regions) == names
    assert cohort.soft.index.tolist() == [("sub-01", "ses-02")]


def test_enigma(data_root: Path) -> None:
    cohort = read_cohort([data_root / "studies" / "enigma" / "metr1_SubVol.csv"])
    assert len(cohort.soft) == 20
    assert cohort.soft["Left-Thalamus"].iloc[0] == pytest.approx(7.7002)


def test_zeros_are_missing_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "v.tsv", "participant_id\tLeft-Putamen", "a\t0", "b\t5")
    cohort = read_cohort([path])
    assert cohort.zeros == 1
    assert cohort.soft["Left-Putamen"].isna().tolist() == [True, False]


def test_zeros_of_voxels_and_of_heads_are_missing_too(tmp_path: Path) -> None:
    path = write(
        tmp_path / "v.tsv", "participant_id\tLeft-Putamen\teTIV", "a\t0.02\t0", "b\t5\t1500"
    )
    write(tmp_path / "v_hard.tsv", "participant_id\tLeft-Putamen", "a\t0", "b\t5")
    cohort = read_cohort([path])
    assert cohort.zeros == 1
    assert cohort.hard is not None
    assert cohort.hard["Left-Putamen"].isna().tolist() == [True, False]
    assert cohort.soft["Left-Putamen"].tolist() == [0.02, 5.0]
    assert cohort.etiv_ml is not None
    assert cohort.etiv_ml.isna().tolist() == [True, False]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("subject\tfoo", "a\t1"), "header must be one of.*FreeSurfer"),
        (("lh.aparc.area\tlh_bankssts_area", "a\t2.4"), "must hold volumes or thickness"),
        (("participant_id\tx", "a\t1", "a\t2"), r"one row only.*line 3.*|line 3.*one row only"),
        (("participant_id\tx", "a\t-1"), r"column x.*must not be negative"),
        (("participant_id\tx", "a\tlots"), r"line 2, column x.*must be a number"),
        (("participant_id\tx",), "a header and rows"),
    ],
)
def test_what_is_refused(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    with pytest.raises(TableError, match=message):
        read_cohort([write(tmp_path / "v.tsv", *lines)])


def test_a_volume_of_another_unit_is_named(folder: Path) -> None:
    header, first, *rest = (folder / "volumes.tsv").read_text().splitlines()
    where = header.split("\t").index("Left-Putamen")
    cells = first.split("\t")
    cells[where] = str(1000 * float(cells[where]))
    (folder / "volumes.tsv").write_text("\n".join((header, "\t".join(cells), *rest)) + "\n")
    with pytest.raises(TableError, match=r"another unit.*"):
        read_cohort([folder / "volumes.tsv"])


def test_a_person_decides_in_the_exclusions(folder: Path) -> None:
    rows = ["sub-001\tn/a\tyes\t", "002\tn/a\tno\t", "sub-777\tn/a\tyes\t"]
    text = "\n".join(("participant_id\tsession_id\texclude\treason", *rows))
    (folder / "exclusions.tsv").write_text(text)
    cohort = read_cohort([folder / "volumes.tsv"])
    assert {p for p, _ in cohort.excluded} == {"sub-001"}
    assert {p for p, _ in cohort.kept} == {"sub-002"}
    assert "sub-777" in cohort.notes[0]


@pytest.mark.parametrize("word", ["YES", "Yes", "TRUE"])
def test_a_spreadsheet_writes_yes_as_it_likes(folder: Path, word: str) -> None:
    text = f"participant_id\tsession_id\texclude\nsub-001\tn/a\t{word}\nsub-002\tn/a\tFALSE\n"
    (folder / "exclusions.tsv").write_text(text)
    cohort = read_cohort([folder / "volumes.tsv"])
    assert {p for p, _ in cohort.excluded} == {"sub-001"}
    assert {p for p, _ in cohort.kept} == {"sub-002"}


def test_scans_of_several_models_are_noted(tmp_path: Path) -> None:
    for name, version in (("sub-1", "0.1"), ("sub-2", "0.2")):
        row = VolumeRow(12, "Left-Putamen", "left", "grey", 5.1, 5.0, 0.1, 0.9)
        write_volumes(tmp_path / f"{name}_volumes.tsv", (row,))
        facts = {"model": {"name": "t1-open", "version": version}}
        (tmp_path / f"{name}.json").write_text(json.dumps(facts))
    assert "t1-open 0.1, t1-open 0.2" in read_cohort([tmp_path]).notes[0]


def test_joined_tables_must_hold_the_same_scans(tmp_path: Path) -> None:
    one = write(tmp_path / "1.tsv", "participant_id\tx", "a\t1")
    two = write(tmp_path / "2.tsv", "participant_id\ty", "b\t1")
    with pytest.raises(TableError, match="must hold the same scans"):
        read_cohort([one, two])


def test_quality_comes_from_what_lies_beside_the_tables_of_single_scans(tmp_path: Path) -> None:
    for stem, overall in (("sub-01", 0.9), ("sub-02", 0.1), ("sub-03", None)):
        write_volumes(
            tmp_path / f"{stem}_volumes.tsv",
            [VolumeRow(12, "Left-Putamen", "left", "grey", 5.1, 5.0, 0.1, 0.9)],
        )
        content = {} if overall is None else {"quality": {"overall": overall}}
        (tmp_path / f"{stem}.json").write_text(json.dumps(content))
    quality = read_cohort([tmp_path]).quality
    assert quality is not None
    assert quality.fillna(-1).tolist() == [0.9, 0.1, -1]
    (tmp_path / "sub-02.json").write_text('{"quality": "poor"}')
    with pytest.raises(TableError, match=r"sub-02.json: .*quality.overall"):
        read_cohort([tmp_path])


def test_tables_of_a_bids_run_bring_their_quality(tmp_path: Path) -> None:
    stem = "sub-01_desc-fibromorph"
    write_volumes(
        tmp_path / f"{stem}_volumes.tsv",
        [VolumeRow(12, "Left-Putamen", "left", "grey", 5.1, 5.0, 0.1, 0.9)],
    )
    facts = {"quality": {"overall": 0.3}, "responsiveness": {"Left-Putamen": {"mean": 1, "sd": 0}}}
    (tmp_path / f"{stem}_dseg.json").write_text(json.dumps({"Fibromorph": facts}))
    cohort = read_cohort([tmp_path])
    assert cohort.quality is not None
    assert cohort.quality.tolist() == [0.3]
    assert list(cohort.shares) == ["Left-Putamen"]
    (tmp_path / "volumes.tsv").touch()
    with pytest.raises(TableError, match=r"pass volumes.tsv itself"):
        read_cohort([tmp_path])


def test_tabs_at_the_end_of_lines_are_no_region(tmp_path: Path) -> None:
    lines = ("Measure:volume\tLeft-Putamen\t", "sub-01\t5000\t", "", "sub-02\t6000")
    assert read_cohort([write(tmp_path / "aseg.tsv", *lines)]).regions == ["Left-Putamen"]


ASEG = """\
# Title Segmentation Statistics
# Measure BrainSeg, BrainSegVol, Brain Segmentation Volume, 1100000.5, mm^3
# Measure SurfaceHoles, SurfaceHoles, Total number of defect holes in surfaces, 15, unitless
# Measure EstimatedTotalIntraCranialVol, eTIV, Estimated Total Intracranial Volume, {etiv}, mm^3
# ColHeaders  Index SegId NVoxels Volume_mm3 StructName normMean normStdDev
  1  10     7280     7280.7  Left-Thalamus-Proper   92.1     8.3
  2  17     4112     4112.9  Left-Hippocampus       66.8     7.4
"""
APARC = """\
# Measure Cortex, NumVert, Number of Vertices, 120000, unitless
# Measure BrainSeg, BrainSegVol, Brain Segmentation Volume, 1100000.5, mm^3
# ColHeaders StructName NumVert SurfArea GrayVol ThickAvg ThickStd MeanCurv GausCurv FoldInd CurvInd
insula  3000  2000  6543  2.9  0.8  0.1  0.02  20  2.0
"""


def subject(folder: Path, name: str, etiv: float = 1.5e6) -> Path:
    stats = folder / name / "stats"
    stats.mkdir(parents=True)
    (stats / "aseg.stats").write_text(ASEG.format(etiv=etiv))
    (stats / "lh.aparc.stats").write_text(APARC)
    return stats


def test_a_subjects_dir_needs_no_tables(tmp_path: Path) -> None:
    subject(tmp_path, "sub-01")
    (subject(tmp_path, "sub-02", 1.4e6) / "lh.aparc.stats").unlink()
    fast = subject(tmp_path, "sub-04") / "lh.aparc.stats"
    fast.rename(fast.with_name("lh.aparc.DKTatlas.mapped.stats"))
    subject(tmp_path, "fsaverage")
    (tmp_path / "sub-03" / "mri").mkdir(parents=True)
    cohort = read_cohort([tmp_path])
    assert cohort.participants == ["sub-01", "sub-02", "sub-04"]
    assert cohort.soft.loc["sub-04"].iloc[0]["ctx-lh-insula"] == pytest.approx(6.543)
    first, second = (cohort.soft.loc[name].iloc[0] for name in ("sub-01", "sub-02"))
    assert first["Left-Thalamus"] == pytest.approx(7.2807)
    assert first["ctx-lh-insula"] == pytest.approx(6.543)
    assert np.isnan(second["ctx-lh-insula"])
    assert cohort.etiv_ml is not None
    assert list(cohort.etiv_ml) == [1500, 1400, 1500]
    assert "SurfaceHoles" not in cohort.soft
    assert any("not taken (1): sub-03" in note for note in cohort.notes)


def test_of_a_longitudinal_subjects_dir_the_longitudinal_runs_count(tmp_path: Path) -> None:
    for name in ("sub-01", "sub-01_ses-1", "sub-01_ses-1.long.sub-01", "sub-01_ses-2.long.sub-01"):
        subject(tmp_path, name)
    cohort = read_cohort([tmp_path])
    assert list(cohort.soft.index) == [("sub-01", "ses-1"), ("sub-01", "ses-2")]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "7280.7",
            "many",
            r"aseg\.stats, line 6: what was measured must be a number \(found: many\)",
        ),
        ("Volume_mm3", "Area_mm2", "must name StructName and one of Volume_mm3"),
        ("92.1     8.3", "92.1", "line 6: a row must have 7 cells"),
    ],
)
def test_damaged_statistics_of_a_subject_are_named(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    path = subject(tmp_path, "sub-01") / "aseg.stats"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(TableError, match=told):
        read_cohort([tmp_path])
