"""Maps: which are found, whose they are, and what is refused."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from fibromorph.errors import ConfigError, FibromorphError, ScanError, TableError
from fibromorph.file_names import MAP_OF
from fibromorph.postprocessing.stats.designs.sections import Vbm
from fibromorph.postprocessing.stats.tables import ScanIds
from fibromorph.postprocessing.voxelwise.maps import find_maps, load_maps
from tests.postprocessing.voxelwise.conftest import run
from tests.postprocessing.voxelwise.heads import Heads, map_path, save, template, write_heads

BEFORE_AFTER = ScanIds(
    r"^(?P<participant>sub-[0-9]+)(?P<session>fu)?$", {"": "before", "fu": "after"}, strict=True
)


def touched(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / f"{name}{MAP_OF['grey']}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def test_maps_are_matched_as_tables_are(tmp_path: Path) -> None:
    touched(tmp_path, "a/sub-01_ses-1", "b/sub-01_ses-2_acq-x", "sub-02", "scan7")
    found = find_maps([tmp_path], ScanIds())
    assert {*found} == {
        ("sub-01", "ses-1"),
        ("sub-01", "ses-2"),
        ("sub-02", ""),
        ("sub-scan7", ""),
    }


def test_a_studys_own_rule_splits_names(tmp_path: Path) -> None:
    touched(tmp_path, "sub-01", "sub-01fu_run-1")
    found = find_maps([tmp_path], BEFORE_AFTER)
    assert {*found} == {("sub-01", "before"), ("sub-01", "after")}
    with pytest.raises(TableError, match=r"sessions.rule"):
        find_maps([touched(tmp_path, "other")], BEFORE_AFTER)


def test_of_several_runs_that_of_the_table_counts(tmp_path: Path) -> None:
    touched(tmp_path, "sub-01_run-1", "sub-01_run-2")
    with pytest.raises(TableError, match="one map"):
        find_maps([tmp_path], ScanIds())
    table = tmp_path / "volumes.tsv"
    table.write_text("participant_id\tsession_id\trun\tA\nsub-01\tn/a\trun-2\t1\n")
    (path,) = find_maps([tmp_path], ScanIds(), [table]).values()
    assert path.name.startswith("sub-01_run-2_")


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"maps of grey matter must be there, files"):
        find_maps([tmp_path], ScanIds())
    with pytest.raises(ConfigError, match=r"nowhere: a folder of maps"):
        find_maps([tmp_path / "nowhere"], ScanIds())


def test_only_maps_of_the_tissue_that_was_asked_for_are_found(tmp_path: Path) -> None:
    touched(tmp_path, "sub-01", "sub-02")
    with pytest.raises(ConfigError, match=r"maps of white matter must be there, files.*label-WM"):
        find_maps([tmp_path], ScanIds(), tissue="white")
    (tmp_path / f"sub-02{MAP_OF['white']}").touch()
    assert {*find_maps([tmp_path], ScanIds(), tissue="white")} == {("sub-02", "")}
    assert {*find_maps([tmp_path], ScanIds())} == {("sub-01", ""), ("sub-02", "")}
    grey = tmp_path / f"sub-01{MAP_OF['grey']}"
    with pytest.raises(ConfigError, match=r"must be of white matter.*vbm.tissue.*label-GM"):
        find_maps([grey], ScanIds(), tissue="white")


def test_maps_on_finer_voxels_are_brought_to_the_spacing(tmp_path: Path) -> None:
    grey, _, affine = template()
    save(tmp_path / "one.nii.gz", grey)
    paths = {("sub-01", ""): tmp_path / "one.nii.gz"}
    maps = load_maps(paths, Vbm(spacing_mm=6, smoothing_mm=8), "design")
    assert [*maps.spacing_mm] == [6, 6, 6]
    kept = float(maps.values.sum(dtype=float)) * maps.voxel_ml
    assert kept == pytest.approx(float(grey.sum()) * 0.064, rel=0.1)
    assert maps.sums_ml["sub-01", ""] == pytest.approx(float(grey.sum()) * 0.064, rel=1e-3)
    centre = nibabel.affines.apply_affine(maps.affine, np.argwhere(maps.mask)).mean(axis=0)
    truth = nibabel.affines.apply_affine(affine, np.argwhere(grey > 0.3)).mean(axis=0)
    assert np.linalg.norm(centre - truth) < 3


def test_a_mask_that_leaves_nothing(tmp_path: Path) -> None:
    save(tmp_path / "one.nii.gz", template()[0])
    with pytest.raises(ConfigError, match=r"vbm.mask_above: the mean map .*found: 0.99"):
        load_maps({("a", ""): tmp_path / "one.nii.gz"}, Vbm(mask_above=0.99), "design, key vbm")


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("heads")
    write_heads(folder, Heads(6, 6))
    return folder


def spoilt(kind: str) -> tuple[np.ndarray, np.ndarray | None]:
    grey, _, affine = template()
    if kind == "grid":
        return grey, affine @ np.diag([1, 1, 1.1, 1])
    if kind == "nan":
        values = grey.copy()
        values[3, 4, 5] = np.nan
        return values, None
    return {"4d": grey[..., None, None].repeat(2, 4), "unit": grey * 1000}[kind], None


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("grid", r"one grid, that of sub-01.*found: 50 x 59 x 48 voxels of 4 x 4 x 4.4 mm"),
        ("nan", r"finite value \(found: nan at \(3, 4, 5\)\)"),
        ("4d", r"three dimensions"),
        ("unit", r"50 to 3000 ml \(found: "),
    ],
)
def test_wrong_maps_are_named(heads: Path, kind: str, message: str) -> None:
    path = map_path(heads, "sub-05")
    whole = path.read_bytes()
    save(path, *spoilt(kind))
    with pytest.raises(ScanError, match=message) as caught:
        run(heads)
    path.write_bytes(whole)
    assert "sub-05" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (heads / "out").exists()


@pytest.mark.parametrize("content", [b"text", b"", None])
def test_files_that_are_no_images(heads: Path, content: bytes | None) -> None:
    path = map_path(heads, "sub-05")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(ScanError, match=r"sub-05.*readable NIfTI"):
        run(heads)
    path.write_bytes(whole)


def test_too_few_people_with_maps(tmp_path: Path) -> None:
    write_heads(tmp_path, Heads(6, 6))
    for number in (1, 2):
        map_path(tmp_path, f"sub-0{number}").unlink()
    with pytest.raises(
        FibromorphError, match=r"5 patients.*4; without a map: sub-0[12], sub-0[12]\)"
    ):
        run(tmp_path)
