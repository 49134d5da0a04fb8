"""A good scan passes; each thing that can go wrong is found and named in plain words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from fibromorph.labels import FREESURFER, NEUROMORPHOMETRICS
from fibromorph.postprocessing.quality import (
    Quality,
    asymmetric_structures,
    cut_area_mm2,
    image_measures,
    is_t1_weighted,
    missing_structures,
    with_warnings,
)
from fibromorph.postprocessing.volumes import Calibration, VolumeRow
from tests.postprocessing.conftest import rows_of, scored
from tests.postprocessing.phantoms import LEVEL, NOISE, Head

MM = (1.0, 1.0, 1.0)


def codes(quality: Quality) -> set[str]:
    return {flag.code for flag in quality.flags}


def with_labels(head: Head, changes: dict[int, int]) -> Head:
    labels = head.labels.copy()
    for before, after in changes.items():
        labels[head.labels == before] = after
    return replace(head, labels=labels)


def test_a_good_scan_is_good(head: Head) -> None:
    quality = scored(head)
    assert quality.verdict == "good"
    assert quality.overall > 0.95
    assert quality.flags == ()
    assert set(quality.structures) == set(FREESURFER.ids)
    assert min(quality.structures.values()) > 0.95


def test_white_matter_mottled_by_motion_is_seen_and_noise_is_not(head: Head) -> None:
    rng = np.random.default_rng(0)
    step = 0.3 * float(np.median(head.image[head.labels == 2]))
    fine = rng.standard_normal(head.image.shape).astype(np.float32)
    coarse = ndimage.gaussian_filter(fine, 2)
    moved = replace(head, image=head.image + np.float32(step) * coarse / coarse.std())
    noisy = replace(head, image=head.image + np.float32(0.2 * step) * fine)
    assert "motion" in codes(scored(moved))
    assert scored(moved).verdict == "bad"
    assert "motion" not in codes(scored(noisy))


def test_dark_spots_in_the_white_matter_are_named(head: Head) -> None:
    white = np.isin(head.labels, (2, 41))
    grey = np.median(head.image[np.isin(head.labels, (3, 42))])
    deep = np.argwhere(ndimage.distance_transform_edt(white) > 5)
    middles = np.ones(head.image.shape, dtype=bool)
    middles[tuple(deep[:: len(deep) // 8].T)] = False
    away = ndimage.distance_transform_edt(middles)
    found = []
    for radius in (0, 3, 5):
        image = np.where((away < radius) & white, grey, head.image).astype(np.float32)
        quality = scored(replace(head, image=image))
        found.append([(flag.code, flag.severity) for flag in quality.flags])
    assert found == [[], [("dark_white_matter", "note")], [("dark_white_matter", "check")]]


def test_of_two_good_scans_the_less_noisy_has_the_higher_score(head: Head) -> None:
    fine = np.random.default_rng(0).standard_normal(head.image.shape).astype(np.float32)
    by_noise = [scored(replace(head, image=head.image + sd * fine)) for sd in (0.0, 6.0, 9.0)]
    assert [quality.verdict for quality in by_noise] == ["good"] * 3
    assert by_noise[0].overall > by_noise[1].overall > by_noise[2].overall


def test_what_the_header_warns_of_makes_a_scan_one_to_look_at(head: Head) -> None:
    quality = scored(head)
    assert with_warnings(quality, []) == quality
    warned = with_warnings(quality, [("coarse_voxels", "voxels of 5 mm")])
    assert (warned.verdict, warned.overall) == ("check", quality.overall)
    assert [flag.message for flag in warned.flags] == ["voxels of 5 mm"]


def test_an_unsure_model_is_reported_once_for_all_structures(head: Head) -> None:
    quality = scored(replace(head, confidence=np.full_like(head.confidence, 0.5)))
    assert quality.verdict == "bad"
    assert codes(quality) == {"low_confidence", "low_confidence_structure"}
    (unsure,) = (f for f in quality.flags if f.code == "low_confidence_structure")
    assert "Left hippocampus (0.50)" in unsure.message
    assert unsure.value == pytest.approx(0.5)
    assert quality.flags[0].severity == "bad"


def test_what_is_not_estimable_is_not_called_unsure(head: Head) -> None:
    unsure = np.full_like(head.confidence, 0.5)
    rows = rows_of(replace(head, confidence=unsure), etiv_ml=None)
    quality = scored(replace(head, confidence=unsure), rows)
    assert not any("outside the ventricles" in flag.message for flag in quality.flags)


def test_confidence_is_judged_against_the_bundles_reference(head: Head) -> None:
    calibration = Calibration(reference_confidence=dict.fromkeys(FREESURFER.ids, 0.5))
    usual = replace(head, confidence=np.full_like(head.confidence, 0.5))
    quality = scored(usual, calibration=calibration)
    assert quality.verdict == "good"


def test_a_missing_structure_is_named(head: Head) -> None:
    lost = with_labels(head, {17: 2})
    quality = scored(lost)
    assert [r.region_id for r in missing_structures(rows_of(lost), Calibration())] == [17]
    assert quality.structures[17] == 0.0
    assert quality.verdict == "check"
    assert [f.message for f in quality.flags] == ["Left hippocampus was not found"]


def test_what_a_bundle_never_finds_is_not_missed(head: Head) -> None:
    others = {i: 0.9 for i in FREESURFER.ids if i != 17}
    rows = rows_of(with_labels(head, {17: 2}))
    assert missing_structures(rows, Calibration(reference_confidence=others)) == ()


def test_an_implausible_asymmetry_is_named_with_its_side(head: Head) -> None:
    labels = head.labels.copy()
    labels[np.where(labels == 53, np.arange(labels.shape[1])[:, None] % 2, 0) == 1] = 41
    quality = scored(replace(head, labels=labels))
    (flag,) = quality.flags
    assert flag.code == "asymmetry"
    assert flag.message.startswith("Hippocampus: left larger by ")
    assert quality.structures[17] == quality.structures[53] == pytest.approx(0.5)


# Of 15 manually labelled adults no structure differs by more.
@pytest.mark.parametrize(
    ("left_id", "right_id", "index"),
    [(17, 53, 0.13), (10, 49, 0.09), (18, 54, 0.16), (26, 58, 0.36), (4, 43, 0.6), (5, 44, 1.2)],
)
def test_healthy_asymmetry_is_not_flagged(
    rows: tuple[VolumeRow, ...], left_id: int, right_id: int, index: float
) -> None:
    sides = {left_id: 3.0 * (1 + index / 2), right_id: 3.0 * (1 - index / 2)}
    changed = [replace(r, volume_ml=sides.get(r.region_id or 0, r.volume_ml)) for r in rows]
    assert asymmetric_structures(changed, FREESURFER) == ()


def test_regions_of_the_cortex_may_differ_more(rows: tuple[VolumeRow, ...]) -> None:
    structure = next(s for s in NEUROMORPHOMETRICS.structures if s.name == "Occipital-Pole")
    any_row = next(r for r in rows if not r.is_total)
    sides = {structure.left_id: 1.5, structure.right_id: 0.6}
    pair = [replace(any_row, region_id=i, volume_ml=v) for i, v in sides.items()]
    assert asymmetric_structures(pair, NEUROMORPHOMETRICS) == ()
    pair[1] = replace(pair[1], volume_ml=0.3)
    assert [s for s, _ in asymmetric_structures(pair, NEUROMORPHOMETRICS)] == [structure]


def test_a_brain_of_the_wrong_size(head: Head) -> None:
    for factor, code in ((0.45, "brain_volume"), (0.2, "not_a_brain")):
        rows = [replace(r, volume_ml=(r.volume_ml or 0) * factor) for r in rows_of(head)]
        quality = scored(head, rows)
        assert code in codes(quality)
        assert quality.verdict == ("bad" if code == "not_a_brain" else "check")


def test_a_field_of_view_that_cuts_the_brain(head: Head) -> None:
    cut = replace(
        head,
        image=head.image[:, :, :70],
        labels=head.labels[:, :, :70],
        confidence=head.confidence[:, :, :70],
    )
    assert "field_of_view" in codes(scored(cut))
    assert cut_area_mm2(head.labels, MM, FREESURFER) == 0


def test_a_cut_brain_stem_is_usual() -> None:
    labels = np.zeros((20, 20, 20), dtype=np.uint8)
    labels[5:15, 5:15, :10] = 16
    assert cut_area_mm2(labels, MM, FREESURFER) == 0
    labels[5:15, 5:15, 10:] = 2
    assert cut_area_mm2(labels, MM, FREESURFER) == 100
    assert cut_area_mm2(labels, (0.5, 0.5, 2.0), FREESURFER) == 25


def test_an_inverted_contrast_is_not_t1_weighted(head: Head) -> None:
    inverted = replace(head, image=(150.0 - head.image).astype(np.float32))
    quality = scored(inverted)
    assert "not_t1w" in codes(quality)
    assert quality.verdict == "check"


def test_noise_takes_the_contrast(head: Head) -> None:
    noise = np.random.default_rng(3).normal(0, 80, head.image.shape).astype(np.float32)
    quality = scored(replace(head, image=head.image + noise))
    assert "no_contrast" in codes(quality)
    assert quality.verdict == "bad"


def test_measures_are_what_their_definitions_say(head: Head) -> None:
    measures = image_measures(head.image, head.labels, FREESURFER)
    step = LEVEL["white"] - LEVEL["grey"]
    assert measures["median_white"] == pytest.approx(LEVEL["white"], abs=0.5)
    assert measures["snr_white"] == pytest.approx(LEVEL["white"] / NOISE, rel=0.03)
    assert measures["cjv"] == pytest.approx(2 * NOISE / step, rel=0.05)
    assert measures["cnr"] == pytest.approx(step / (np.sqrt(3) * NOISE), rel=0.05)
    assert is_t1_weighted(measures) is True
    assert is_t1_weighted({}) is None


def test_nothing_found_is_bad_and_does_not_fail(head: Head) -> None:
    quality = scored(replace(head, labels=np.zeros_like(head.labels)))
    assert quality.verdict == "bad"
    assert quality.overall == 0.0
    assert {"not_a_brain", "no_tissue"} <= codes(quality)
