"""A study whose scans are divided by an atlas, and whose regions are compared."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from fibromorph.cli import main
from fibromorph.file_names import atlas_endings
from fibromorph.postprocessing.volumes import VolumeRow, write_volumes
from fibromorph.serving.cohort.tasks import task_from
from tests.serving.cohort.conftest import Finished, Run
from tests.serving.cohort.study import Study
from tests.serving.cohort.test_group import DESIGN
from tests.two_halves import LEFT_CORTEX, halves, write_atlas

pytest.importorskip("SimpleITK")
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def atlas(tmp_path: Path) -> str:
    return str(write_atlas(tmp_path))


def test_every_scan_that_was_asked_for_is_divided(
    participant: Run, study: Study, tmp_path: Path, atlas: str
) -> None:
    out, scan = tmp_path / "out", study.good[0]
    subject = scan.partition("/")[0].removeprefix("sub-")
    asked = ("--participant-label", subject, "--session-label", "01")
    assert participant(out, "--atlas", atlas, *asked).status == 0
    ends = atlas_endings("TwoHalves").values()
    paths = [out / scan.replace("_T1w.nii.gz", end) for end in ends]
    assert all(path.is_file() for path in paths)
    assert "1 present" in participant(out, "--atlas", atlas, "--dry-run", *asked).said
    write_atlas(Path(atlas).parent, np.where(halves() == 5, 0, halves()))
    told = participant(out, "--atlas", atlas, "--dry-run", *asked).said
    assert "1 again" in told
    assert "atlases TwoHalves" in told
    assert participant(out, *asked).status == 0
    assert not any(path.exists() for path in paths)


def test_the_regions_of_a_cohort_are_gathered_and_compared(
    finished: Finished, study: Study, tmp_path: Path, atlas: str, capsys: Capture
) -> None:
    out, design = tmp_path / "out", tmp_path / "design.yaml"
    shutil.copytree(finished.out, out)
    design.write_text(DESIGN.replace("'*-Cerebral-Cortex'", "'*_L'"))
    call = ["bids", str(study.root), str(out), "group", "--atlas", atlas]
    assert main(call) == 2
    assert "give --design too" in capsys.readouterr().err
    call += ["--design", str(design)]
    assert main(call) == 2
    assert "run it again with --atlas" in capsys.readouterr().err
    divide(out)
    assert main(call) == 1  # some scans of this study had failed before
    assert "regions of TwoHalves of 20 scans" in capsys.readouterr().out
    soft, volumes = (read(out / name) for name in ("seg-TwoHalves.tsv", "volumes.tsv"))
    assert list(soft.columns[:5]) == [*soft.columns[:3], "front_L", "back_L"]
    assert np.array_equal(soft.eTIV, volumes.eTIV, equal_nan=True)
    assert read(out / "seg-TwoHalves_sd.tsv").front_L.notna().all()
    compared = read(out / "stats_TwoHalves" / "group_comparison.tsv")
    assert list(compared.region) == ["front_L", "back_L"]
    page = (out / "stats_TwoHalves" / "report.html").read_text()
    assert "The template has none of these regions" not in page
    assert "Regions are those of the atlas TwoHalves" in page
    assert not (out / "stats").exists()


def test_a_scan_whose_labels_were_corrected_has_no_regions(
    finished: Finished, study: Study, tmp_path: Path
) -> None:
    out, scan = tmp_path / "out", study.good[0]
    shutil.copytree(finished.out, out)
    divide(out)
    path = out / scan.replace("_T1w.nii.gz", "_desc-fibromorph_dseg.nii.gz")
    image = nib.load(path)
    labels = np.asarray(image.dataobj).copy()
    labels[labels == LEFT_CORTEX] = np.where(
        np.arange((labels == LEFT_CORTEX).sum()) % 2, LEFT_CORTEX, 0
    )
    nib.save(nib.Nifti1Image(labels, image.affine), path)
    main(["bids", str(study.root), str(out), "group"])
    lost = read(out / "seg-TwoHalves.tsv").front_L.isna()
    assert list(np.flatnonzero(lost)) == [0]


def divide(out: Path) -> None:
    """As if every scan had been divided by an atlas."""
    rng = np.random.default_rng(1)
    for path in sorted((out / ".fibromorph" / "done").rglob("*.json")):
        record = json.loads(path.read_text())
        record["task"]["atlases"] = ["TwoHalves"]
        path.write_text(json.dumps(record))
        rows = [
            VolumeRow(n, name, "left", "grey", ml, ml, 1.0, 0.9)
            for (n, name), ml in zip(
                ((7, "front_L"), (8, "back_L")), rng.normal(150, 5, 2).tolist(), strict=True
            )
        ]
        write_volumes(out / task_from(record["task"]).files["atlas_TwoHalves_volumes"], rows)


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", na_values="n/a")
