"""A bundle scored against its own answer must be perfect, and one shifted must not."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from fibromorph.cli import main
from fibromorph.errors import ConfigError, LabelError
from fibromorph.labels import FREESURFER, NEUROMORPHOMETRICS
from fibromorph.manifest import open_bundle, write_manifest
from fibromorph.scans import read_reference, read_scan
from fibromorph.serving.bundles import DEFAULT_BUNDLE, shipped_folder
from fibromorph.serving.engine import Engine
from fibromorph.serving.measuring.evaluation import (
    EvaluationRequest,
    evaluate,
    find_pairs,
    views_of,
)
from fibromorph.serving.measuring.rescan import apply_rescan, draw_rescan, with_dark_air
from fibromorph.serving.measuring.scores import people_sd, repeat_sd, summarise
from fibromorph.serving.pipeline import segment_scan
from tests.serving.stand_in import write_stand_in


def request_for(folder: Path) -> EvaluationRequest:
    return EvaluationRequest(folder, "*_t1.nii.gz", "_t1.nii.gz", "_labels.nii.gz", "freesurfer")


def test_its_own_labels_score_one(template: Path, engine: Engine, tmp_path: Path) -> None:
    folder, out, bundle = tmp_path / "scans", tmp_path / "out", tmp_path / "bundle"
    folder.mkdir()
    shutil.copy(template, folder / "head_t1.nii.gz")
    shutil.copytree(shipped_folder() / DEFAULT_BUNDLE, bundle)
    labels = segment_scan(read_scan(template), engine).labels_on_scan_grid
    image = nib.Nifti1Image(labels, nib.load(template).affine)
    nib.save(image, folder / "head_labels.nii.gz")
    text = evaluate(request_for(folder), out, model=str(bundle), update_bundle=True)
    scores = pd.read_csv(out / "scores.tsv", sep="\t")
    assert scores.dice.min() == 1.0
    assert scores.hd95_mm.max() == 0.0
    assert (out / "scores.png").is_file()
    assert "dice_27" in text
    manifest = open_bundle(bundle).manifest
    assert manifest.scores["scans: dice_27"] == 1.0
    assert "| Left-Thalamus | 1.000 |" in (bundle / "card.md").read_text()


def _learnt_from(scans: Sequence[Path], folder: Path) -> str:
    """A stand-in bundle that has learnt from scans."""
    bundle = open_bundle(write_stand_in(folder))
    digests = {scan.name: read_scan(scan).sha256 for scan in scans}
    training = bundle.manifest.training.model_copy(update={"data_sha256": digests})
    write_manifest(bundle.folder, bundle.manifest.model_copy(update={"training": training}))
    return str(folder)


def test_a_scan_that_was_learnt_from_is_no_test(template: Path, tmp_path: Path) -> None:
    shutil.copy(template, tmp_path / "head_t1.nii.gz")
    shutil.copy(template, tmp_path / "head_labels.nii.gz")
    model = _learnt_from([template], tmp_path / "bundle")
    with pytest.raises(ConfigError, match=r"has learnt from cannot score it.*--skip.*head"):
        evaluate(request_for(tmp_path), tmp_path / "out", model=model)


def test_what_was_learnt_from_can_be_left_out(template: Path, tmp_path: Path) -> None:
    head = nib.load(template)
    labels = segment_scan(
        read_scan(template), Engine(open_bundle(write_stand_in(tmp_path / "b")), "cpu")
    ).labels_on_scan_grid
    for number, person in enumerate("ab"):
        folder = tmp_path / "study" / person
        folder.mkdir(parents=True)
        image = nib.Nifti1Image(head.get_fdata() + number, head.affine)
        nib.save(image, folder / "x_t1.nii.gz")
        nib.save(nib.Nifti1Image(labels, head.affine), folder / "x_labels.nii.gz")
    model = _learnt_from([tmp_path / "study" / "a" / "x_t1.nii.gz"], tmp_path / "bundle")
    call = ["evaluate", str(tmp_path / "study"), "--scans", "**/*_t1.nii.gz", "--model", model]
    call += ["--labels", "_t1.nii.gz=_labels.nii.gz", "--protocol", "freesurfer"]
    for option in (["--skip", "a/*"], ["--only", "b/x"]):
        assert main([*call, *option, "--out", str(tmp_path / "out")]) == 0
        assert set(pd.read_csv(tmp_path / "out" / "scores.tsv", sep="\t").scan) == {"b/x"}
    assert main([*call, "--only", "b", "--out", str(tmp_path / "out")]) == 2


def test_each_scan_is_scored_by_a_fold_that_has_not_seen_it(
    template: Path, engine: Engine, tmp_path: Path
) -> None:
    labels = segment_scan(read_scan(template), engine).labels_on_scan_grid
    head = nib.load(template)
    heads = [tmp_path / f"{name}_t1.nii.gz" for name in "ab"]
    for number, path in enumerate(heads):
        nib.save(nib.Nifti1Image(head.get_fdata() + number, head.affine), path)
        answer = path.with_name(path.name.replace("_t1", "_labels"))
        nib.save(nib.Nifti1Image(labels, head.affine), answer)
    model = _learnt_from(heads, tmp_path / "final")
    folds = [_learnt_from(heads[n : n + 1], tmp_path / f"fold{n}") for n in (0, 1)]
    request, out = request_for(tmp_path), tmp_path / "out"
    with pytest.raises(ConfigError, match=r"all folds have learnt from.*found: a"):
        evaluate(request, out, model=model, folds=folds[:1])
    untold = str(write_stand_in(tmp_path / "untold"))
    with pytest.raises(ConfigError, match=r"untold: by training.data_sha256.*learnt from 0 of 2"):
        evaluate(request, out, model=model, folds=[untold, *folds])
    evaluate(request, out, model=model, folds=folds, update_bundle=True)
    scores = open_bundle(Path(model)).manifest.scores
    assert scores[f"{tmp_path.name}, cross-validated in 2 folds: scans"] == 2
    assert set(pd.read_csv(out / "scores.tsv", sep="\t").scan) == {"a", "b"}
    kept = replace(request, only=("b",))
    evaluate(kept, out, model=model, folds=folds[:1], update_bundle=True)
    scores = open_bundle(Path(model)).manifest.scores
    title = f"{tmp_path.name}, 1 kept from a bundle trained alike"
    assert {key.rpartition(": ")[0] for key in scores} == {title}


def test_every_scan_needs_labels(tmp_path: Path) -> None:
    (tmp_path / "a_t1.nii.gz").touch()
    with pytest.raises(ConfigError, match=r"every scan must have labels.*a_labels\.nii\.gz"):
        find_pairs(request_for(tmp_path))


def test_labels_on_another_grid_are_refused(template: Path, tmp_path: Path) -> None:
    path = tmp_path / "labels.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((5, 5, 5), np.uint8), np.eye(4)), path)
    with pytest.raises(LabelError, match=r"grid of their scan.*\(5, 5, 5\) voxels, not \("):
        read_reference(path, read_scan(template), "freesurfer")


def test_a_finer_bundle_is_also_scored_in_the_structures_that_all_share() -> None:
    assert views_of(FREESURFER, "neuromorphometrics") == (FREESURFER,)
    assert views_of(NEUROMORPHOMETRICS, "neuromorphometrics") == (NEUROMORPHOMETRICS, FREESURFER)
    assert views_of(NEUROMORPHOMETRICS, "freesurfer") == (FREESURFER,)
    rows = [
        {"scan": "a", "protocol": protocol, "region_id": region, "dice": dice, "hd95_mm": 1.0,
         "assd_mm": 0.5, "hard_volume_error": error}
        for protocol, region, dice, error in (
            ("freesurfer", 3, 0.8, 0.3),
            ("freesurfer", 3, 1.0, -0.1),
            ("neuromorphometrics", 100, 0.6, 0.0),
            ("neuromorphometrics", 12, 0.8, 0.0),
        )
    ]  # fmt: skip
    found = summarise(pd.DataFrame(rows))
    assert found["dice_27"] == pytest.approx(0.9)
    assert found["absolute_volume_error_27"] == pytest.approx(0.2)
    assert found["volume_bias_27"] == pytest.approx(0.1)
    assert found["dice_regions"] == pytest.approx(0.7)
    assert found["dice_cortical_regions"] == pytest.approx(0.6)


def test_repeat_sd_is_within_scans() -> None:
    rows = [
        {"scan": scan, "region_id": 10, "soft_volume_ml": mean * factor}
        for scan, mean in (("a", 5.0), ("b", 9.0))
        for factor in (0.98, 1.0, 1.02)
    ]
    assert repeat_sd(pd.DataFrame(rows), "region_id", "soft_volume_ml").loc[10] == pytest.approx(
        0.02
    )


def test_the_spread_of_people_is_what_their_brains_do_not_explain() -> None:
    rng = np.random.default_rng(0)
    rows = []
    for number in range(400):
        size = rng.normal(0, 0.1)
        logs = {3: size, 42: size, 17: size + rng.normal(0, 0.05)}
        rows += [
            {
                "scan": number,
                "region_id": i,
                "soft_volume_ml": (4 if i == 17 else 250) * np.exp(log),
            }
            for i, log in logs.items()
        ]
        rows.append({"scan": number, "region_id": 15, "soft_volume_ml": float(number > 0)})
    found = people_sd(pd.DataFrame(rows), FREESURFER)
    assert found.loc[17] == pytest.approx(0.05, rel=0.1)
    assert 15 not in found.index, "one scan lacks it"
    assert people_sd(pd.DataFrame(rows[:36]), FREESURFER).empty


def test_a_rescan_moves_the_head_and_keeps_its_volumes(template: Path, engine: Engine) -> None:
    scan = read_scan(template)
    again = apply_rescan(scan, draw_rescan(np.random.default_rng(1)))
    assert again.data.shape == scan.data.shape
    assert not np.array_equal(again.data, scan.data)
    first, second = (
        {r.name: r.soft_volume_ml for r in segment_scan(s, engine).rows} for s in (scan, again)
    )
    for label in FREESURFER:
        if (volume := first[label.name]) is not None and volume > 5:
            assert second[label.name] == pytest.approx(volume, rel=0.1), label.name


def test_scans_of_one_name_in_two_folders_stay_apart(template: Path, tmp_path: Path) -> None:
    bundle = write_stand_in(tmp_path / "bundle")
    scan = read_scan(template)
    labels = segment_scan(scan, Engine(open_bundle(bundle), "cpu")).labels_on_scan_grid
    for person in ("a", "b"):
        folder = tmp_path / "study" / person
        folder.mkdir(parents=True)
        shutil.copy(template, folder / "head_t1.nii.gz")
        nib.save(
            nib.Nifti1Image(labels, scan.grid.affine_ijk_to_ras), folder / "head_labels.nii.gz"
        )
    request = replace(request_for(tmp_path / "study"), scan_glob="*/*_t1.nii.gz")
    evaluate(request, tmp_path / "out", model=str(bundle))
    scores = pd.read_csv(tmp_path / "out" / "scores.tsv", sep="\t")
    assert set(scores.scan) == {"a/head", "b/head"}


def test_labels_without_a_structure_of_the_bundle_are_named(template: Path, tmp_path: Path) -> None:
    shutil.copy(template, tmp_path / "head_t1.nii.gz")
    image = nib.load(template)
    nib.save(
        nib.Nifti1Image(np.zeros(image.shape, np.uint8), image.affine),
        tmp_path / "head_labels.nii.gz",
    )
    with pytest.raises(LabelError, match=r"head_labels\.nii\.gz: reference labels must hold"):
        evaluate(request_for(tmp_path), tmp_path / "out", model=str(write_stand_in(tmp_path / "b")))


def test_a_scan_of_zero_mean_keeps_its_brain_when_disturbed(template: Path) -> None:
    scan = read_scan(template)
    offset = replace(scan, data=scan.data - scan.data.mean())
    params = draw_rescan(np.random.default_rng(1))
    plain, moved = (apply_rescan(with_dark_air(s), params).data for s in (scan, offset))
    np.testing.assert_allclose(moved, plain, atol=1e-3 * plain.max())


def test_damaged_labels_are_named(template: Path, tmp_path: Path) -> None:
    scan = read_scan(template)
    path = tmp_path / "labels.nii.gz"
    rng = np.random.default_rng(0)
    nib.save(nib.Nifti1Image(rng.integers(0, 90, scan.data.shape, np.uint8), np.eye(4)), path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 99] = bytes(99)
    path.write_bytes(bytes(content))
    with pytest.raises(LabelError, match=r"labels\.nii\.gz: labels must be a readable image"):
        read_reference(path, scan, "freesurfer")


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (["evaluate", ".", "--scans", "/data/*.nii.gz"], "must be a pattern"),
        (["evaluate", ".", "--labels", "_seg.nii.gz"], "OLD=NEW"),
        (["evaluate", ".", "--repeats", "-1"], "--repeats"),
        (["reliability", "a/T1.nii", "b/T1.nii"], "different names"),
        (["reliability", "T1.nii", "--seed", "-1"], "--seed"),
        (["reliability", "T1.nii", "--labels", "_seg.nii"], "OLD=NEW"),
        (["reliability", "T1.nii", "--threads", "-1"], "--threads"),
        (["responsiveness", "T1.nii", "--seed", "-1"], "--seed"),
    ],
)
def test_a_wrong_option_is_one_clear_error(
    call: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*call, "--out", str(tmp_path / "out")]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
