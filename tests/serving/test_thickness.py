"""Thickness of the cortex of a real head, with both bundles that ship."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fibromorph.cli import main
from fibromorph.errors import ConfigError
from fibromorph.labels import NEUROMORPHOMETRICS
from fibromorph.manifest import Bundle, open_bundle
from fibromorph.postprocessing.thickness import ThicknessRow, read_thickness
from fibromorph.scans import read_scan
from fibromorph.serving.beyond import beyond_volumes
from fibromorph.serving.bundles import find_bundle
from fibromorph.serving.engine import Engine
from fibromorph.serving.extras import Extras
from fibromorph.serving.pipeline import Segmented, segment_scan
from fibromorph.serving.ribbon import ribbon_bundle
from tests.serving.stand_in import write_stand_in


@pytest.fixture(scope="module")
def thick(template: Path, engine: Engine) -> Segmented:
    return segment_scan(
        read_scan(template), engine, beyond=beyond_volumes(engine, extras=Extras(thickness=True))
    )


@pytest.fixture(scope="module")
def with_regions(template: Path) -> Segmented:
    engine = Engine(find_bundle("t1-research"), "auto")
    return segment_scan(
        read_scan(template), engine, beyond=beyond_volumes(engine, extras=Extras(thickness=True))
    )


def thickness_mm(result: Segmented) -> dict[str, float]:
    assert result.cortex is not None
    return {
        row.name: row.thickness_mm for row in result.cortex.rows if row.thickness_mm is not None
    }


def test_a_head_has_the_thickness_of_a_head(thick: Segmented) -> None:
    found = thickness_mm(thick)
    # The template is an average, larger and smoother than any head.
    assert 2.0 < found["Mean-Thickness"] < 3.5
    left, right = found["Left-Cerebral-Cortex"], found["Right-Cerebral-Cortex"]
    assert left == pytest.approx(right, rel=0.05)


def test_regions_are_as_thick_as_anatomy_has_them(with_regions: Segmented) -> None:
    found = thickness_mm(with_regions)
    for side in ("Left", "Right"):
        thin = [found[f"{side}-{name}"] for name in ("Calcarine-Cortex", "Cuneus")]
        usual = found[f"{side}-Middle-Frontal-Gyrus"]
        thickest = [
            found[f"{side}-{name}"]
            for name in ("Temporal-Pole", "Anterior-Insula", "Entorhinal-Area")
        ]
        assert max(thin) < usual < min(thickest)


def test_regions_divide_the_ribbon_of_the_other_bundle(
    thick: Segmented, with_regions: Segmented
) -> None:
    assert with_regions.cortex is not None
    assert with_regions.cortex.ribbon.startswith("t1-open")
    mean = thickness_mm(with_regions)["Mean-Thickness"]
    assert mean == pytest.approx(thickness_mm(thick)["Mean-Thickness"], rel=0.01)
    rows = with_regions.cortex.rows
    parts = {label.id for label in NEUROMORPHOMETRICS if label.parent == "Cerebral-Cortex"}
    divided = sum(row.area_cm2 or 0 for row in rows if row.region_id in parts)
    assert divided == pytest.approx(rows[-1].area_cm2, rel=0.03)


def test_files_of_a_call(template: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["segment", str(template), "--out", str(out), "--thickness"]) == 0
    rows = {row.name: row for row in read_thickness(out / f"{stem(template)}_thickness.tsv")}
    mean = rows["Mean-Thickness"]
    assert isinstance(mean, ThicknessRow)
    image = nib.load(out / f"{stem(template)}_space-conformed_thickness.nii.gz")
    values = np.asarray(image.dataobj)
    assert 1 / np.mean(1 / values[values > 0].clip(0.5)) == pytest.approx(mean.thickness_mm, 1e-3)
    facts = json.loads((out / f"{stem(template)}.json").read_text())
    assert facts["thickness"]["ribbon"].startswith("t1-open")
    assert set(facts["outputs"]) >= {path.name for path in out.glob("*thickness*")}
    assert "Thickness of the cortex" in (out / f"{stem(template)}_report.html").read_text()
    # A later call without it leaves none of an earlier one's beside results that are not theirs.
    assert main(["segment", str(template), "--out", str(out)]) == 0
    assert not list(out.glob("*thickness*"))


def stem(scan: Path) -> str:
    return scan.name.removesuffix(".nii.gz")


def test_the_ribbon_needs_voxels_of_its_size(tmp_path: Path) -> None:
    coarse = open_bundle(write_stand_in(tmp_path / "stand-in"))
    other = coarse.manifest.model_copy(update={"protocol": "neuromorphometrics"})
    assert ribbon_bundle(coarse) is coarse
    with pytest.raises(ConfigError, match=r"must work at 1 mm.*3 mm"):
        ribbon_bundle(Bundle(folder=coarse.folder, manifest=other))
