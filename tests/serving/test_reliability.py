"""A bundle's reliability, measured from end to end on a real head with a bundle of thresholds."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from nilearn.datasets import load_mni152_template

from fibromorph.cli import main
from fibromorph.manifest import open_bundle
from fibromorph.serving.measuring.perturbations import perturbations
from tests.serving.stand_in import write_stand_in


def test_every_perturbation_is_measured_and_the_bundle_learns_its_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    template, out = tmp_path / "head.nii.gz", tmp_path / "out"
    load_mni152_template(resolution=3).to_filename(template)
    bundle = write_stand_in(tmp_path / "bundle")
    call = ["reliability", str(template), "--out", str(out), "--model", str(bundle)]
    assert main([*call, "--update-bundle"]) == 0
    assert "within two sd" in capsys.readouterr().out
    table = pd.read_csv(out / "reliability.tsv", sep="\t")
    assert set(table.perturbation) == {"undisturbed", *(p.name for p in perturbations())}
    assert (out / "reliability.png").stat().st_size > 5000
    undisturbed = table[table.perturbation == "undisturbed"]
    assert undisturbed.drift.abs().max() == 0
    assert undisturbed.dice_27.iloc[0] == 1.0
    assert undisturbed.pose_deg.max() < 0.01
    noise = table[table.perturbation == "noise only"]
    assert set(noise.verdict) <= {"refused", "bad", "check"}
    manifest = open_bundle(bundle).manifest
    assert all(e.relative_sd and e.relative_sd != 0.01 for e in manifest.labels)
    assert manifest.scores["reliability: scans"] == 1
    assert 0 < manifest.totals["Total-Brain"] < 1
