from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fibromorph.errors import ScanError
from fibromorph.scans import Scan, read_scan
from tests.scans import phantoms

GRID = phantoms.ras_grid((24, 28, 22), (6.0, 6.0, 6.0))
HEAD = phantoms.head(GRID)


def _read(folder: Path, data: NDArray[Any]) -> Scan:
    return read_scan(phantoms.save(phantoms.nifti(GRID, data), folder / "a.nii"))


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_few_broken_voxels_become_zero_and_are_counted(tmp_path: Path, broken: float) -> None:
    data = HEAD.copy()
    data[12, 14, 10:13] = broken
    scan = _read(tmp_path, data)
    assert np.isfinite(scan.data).all()
    assert (scan.data[12, 14, 10:13] == 0).all()
    [finding] = [f for f in scan.findings if f.code == "nonfinite_voxels"]
    assert (finding.severity, finding.value) == ("mended", 3)


def test_a_nan_background_is_a_mask(tmp_path: Path) -> None:
    scan = _read(tmp_path, np.where(HEAD > 50, HEAD, np.nan).astype(np.float32))
    [finding] = [f for f in scan.findings if f.code == "nonfinite_voxels"]
    assert "outside the head" in finding.message


def test_many_broken_voxels_in_the_head_are_refused_with_the_share(tmp_path: Path) -> None:
    data = HEAD.copy()
    data[8:16, 10:18, 8:14] = np.nan
    with pytest.raises(ScanError, match=r"at most 1%.*2\.6%"):
        _read(tmp_path, data)


def test_floats_beyond_32_bits_are_broken_voxels(tmp_path: Path) -> None:
    data = HEAD.astype(np.float64)
    data[12, 14, 10] = 1e300
    assert "nonfinite_voxels" in phantoms.codes(_read(tmp_path, data))


@pytest.mark.parametrize(("value", "kind"), [(0.0, "empty"), (7.0, "constant")])
def test_an_image_that_shows_nothing_is_refused(tmp_path: Path, value: float, kind: str) -> None:
    with pytest.raises(ScanError, match=kind):
        _read(tmp_path, np.full(GRID.shape, value, np.float32))


def test_padding_far_below_the_head_does_not_flatten_it(tmp_path: Path) -> None:
    dark = HEAD.copy()
    dark[HEAD < 5] = 5
    padded = dark.copy()
    padded[:4] = -32768
    scan = _read(tmp_path, padded)
    [finding] = [f for f in scan.findings if f.code == "padding"]
    assert finding.value == -32768
    assert scan.data.min() >= 0
    untouched = _read(tmp_path, (HEAD - HEAD.mean()) / HEAD.std())
    assert not [f for f in untouched.findings if f.code in ("padding", "spikes")]


def test_the_background_of_a_centred_brain_is_no_padding(tmp_path: Path) -> None:
    """Grey and white matter alone, mean off: the one value below all others is the background."""
    noise = np.random.default_rng(0).normal(0, 1, HEAD.shape)
    brain = np.where(np.percentile(HEAD, 80) < HEAD, 100 + 10 * noise, 0)
    known = brain[brain > 0]
    for scaled in (brain - known.mean(), (brain - known.mean()) / known.std()):
        scan = _read(tmp_path, scaled)
        assert not [f for f in scan.findings if f.code == "padding"]
        np.testing.assert_allclose(scan.data, scaled, rtol=1e-5)


def test_a_few_hot_voxels_do_not_darken_the_head(tmp_path: Path) -> None:
    hot = HEAD.astype(np.float32)
    hot[2, 3, 4] = 1e6
    scan = _read(tmp_path, hot)
    [finding] = [f for f in scan.findings if f.code == "spikes"]
    assert finding.value == 1
    assert scan.data.max() < 20 * HEAD.max()
    rest = np.ones(HEAD.shape, dtype=bool)
    rest[2, 3, 4] = False
    assert (scan.data[rest] == HEAD[rest]).all()


def test_a_background_far_below_a_stripped_brain_is_padding(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 1, HEAD.shape)
    brain = np.where(np.percentile(HEAD, 80) < HEAD, 100 + 10 * noise, -1000)
    scan = _read(tmp_path, brain)
    assert "padding" in [f.code for f in scan.findings]
    assert scan.data.min() > 0


@pytest.mark.parametrize("factor", [1e-9, 1e15])
def test_the_unit_of_intensities_says_nothing(tmp_path: Path, factor: float) -> None:
    scan = _read(tmp_path, HEAD.astype(np.float64) * factor)
    assert "scale" in [f.code for f in scan.findings]
    ratio = scan.data[HEAD > 0] / HEAD[HEAD > 0]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)
    assert 1 < np.percentile(scan.data, 99) < 1e4


def test_a_segmentation_is_suspected(tmp_path: Path) -> None:
    assert "few_grey_values" in phantoms.codes(_read(tmp_path, phantoms.head_labels(GRID)))


def test_a_whole_head_gets_no_warning_about_its_field_of_view(tmp_path: Path) -> None:
    found = phantoms.codes(_read(tmp_path, HEAD))
    assert not [c for c in found if c.startswith("cut_") or c == "short_field_of_view"]


@pytest.mark.parametrize("codes", ["RAS", "LPI", "PIR"])
def test_a_cut_vertex_is_named_however_the_scan_is_stored(tmp_path: Path, codes: str) -> None:
    whole = phantoms.ras_grid((36, 42, 33), (4.0, 4.0, 4.0))
    grid = phantoms.stored_as(whole.box((0, 0, 0), (36, 42, 20)), codes)
    scan = read_scan(phantoms.save(phantoms.nifti(grid), tmp_path / "a.nii"))
    assert "cut_upper" in phantoms.codes(scan)
    assert "short_field_of_view" in phantoms.codes(scan)


def test_noise_around_the_head_is_not_taken_for_a_cut_brain(tmp_path: Path) -> None:
    """As MP2RAGE has it: the air is as bright as tissue, and so are all faces of the image."""
    noise = np.random.default_rng(0).uniform(0, 300, HEAD.shape)
    found = phantoms.codes(_read(tmp_path, np.where(HEAD > 50, HEAD, noise).astype(np.float32)))
    assert "bright_all_around" in found
    assert not [code for code in found if code.startswith("cut_")]


def test_what_lies_outside_a_standardised_brain_is_dark(tmp_path: Path) -> None:
    inside = HEAD > 50
    standard = (HEAD - HEAD[inside].mean()) / HEAD[inside].std()
    scan = _read(tmp_path, np.where(inside, standard, np.nan).astype(np.float32))
    assert scan.data.min() < -0.5
    assert scan.data.min() == pytest.approx(np.median(scan.data[~inside]), abs=0.2)
