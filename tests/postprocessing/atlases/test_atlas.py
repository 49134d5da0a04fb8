"""Atlases as they come: images with tables of names beside them, good ones and bad ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fibromorph.errors import ConfigError, LabelError, TableError
from fibromorph.postprocessing.atlases import read_atlas
from fibromorph.postprocessing.atlases.atlas import collection
from fibromorph.postprocessing.atlases.placing import place
from tests.two_halves import NAMES, halves, write_atlas

needs_collection = pytest.mark.skipif(not collection(), reason="needs the extra atlases")
LISTS = {
    "of BIDS": (".tsv", "index\tname\tabbreviation\n", "{id}\t{name}\tX\n"),
    "of CAT12": (".csv", "ROIid;ROIabbr;ROIname\n", "{id};X;{name}\n"),
    "with commas": (".csv", "label,region\n", "{id},{name}\n"),
    "of FreeSurfer": (".txt", "#No. Label R G B A\n\n", "{id} {name} 10 20 30 0\n"),
}


@pytest.mark.parametrize("kind", LISTS)
def test_names_are_read_as_others_write_them(tmp_path: Path, kind: str) -> None:
    suffix, header, line = LISTS[kind]
    text = header + "".join(line.format(id=n, name=name) for n, name in NAMES.items())
    atlas = read_atlas(str(write_atlas(tmp_path, names=text, suffix=suffix)))
    assert {region.id: region.name for region in atlas.regions} == NAMES
    assert atlas.name == "TwoHalves"


def test_an_xml_of_fsl_counts_from_nought(tmp_path: Path) -> None:
    lines = "".join(f'<label index="{n - 1}" x="1">{name}</label>' for n, name in NAMES.items())
    text = f"<atlas><data>{lines}</data></atlas>"
    atlas = read_atlas(str(write_atlas(tmp_path, names=text, suffix=".xml")))
    assert {region.id: region.name for region in atlas.regions} == NAMES


def test_without_names_regions_are_called_by_atlas_and_id(tmp_path: Path) -> None:
    atlas = read_atlas(str(write_atlas(tmp_path, names="")))
    assert [region.name for region in atlas.regions][:2] == ["TwoHalves-5", "TwoHalves-7"]


def test_what_has_no_name_is_no_region(tmp_path: Path) -> None:
    text = "index,name\n7,front\n8,back of the head\n300,both\n5,WM-hypointensities\n"
    atlas = read_atlas(str(write_atlas(tmp_path, names=text, suffix=".csv")))
    assert [region.name for region in atlas.regions] == ["front", "back_of_the_head", "both"]


@pytest.mark.parametrize(
    ("names", "rule"),
    [
        ("index\tname\n1\tA\n2\tB\n", "most of its ids have none"),
        ("index\tname\n7\tA\n8\tA\n300\tC\n", "must not have one name"),
        ("index\tname\n7\tA\n7\tB\n300\tC\n", "an id may have one name"),
        ("index\tname\nseven\tA\n", "whole number"),
        ("number\tcolour\n7\tred\n", "a column index and a column name"),
    ],
)
def test_names_that_do_not_fit_are_refused(tmp_path: Path, names: str, rule: str) -> None:
    with pytest.raises((LabelError, TableError), match=rule) as refused:
        read_atlas(str(write_atlas(tmp_path, names=names)))
    assert "two_halves.tsv" in str(refused.value)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("whole", [1, 100])
def test_of_a_probabilistic_atlas_the_likeliest_region_counts(
    tmp_path: Path, first: int, whole: int
) -> None:
    here = halves() > 0
    shares = np.stack([np.where(here, 0.3, 0), np.where(here, 0.6, 0), np.where(here, 0.1, 1)], -1)
    shares[:3, ..., 1] = 0.2
    shares[:3, ..., 2] = np.where(here[:3], 0.1, 0)
    names = ["front", "back", "rest"]
    rows = "".join(f"{n}\t{name}\n" for n, name in enumerate(names, start=first))
    scaled = np.round(shares * whole, 3).astype(np.float32)
    atlas = read_atlas(str(write_atlas(tmp_path, scaled, names=f"index\tname\n{rows}")))
    called = {region.id: region.name for region in atlas.regions}
    labels = np.vectorize(lambda n: called.get(n, ""))(atlas.labels)
    assert (labels[3:][here[3:]] == "back").all()
    assert (labels[3:][~here[3:]] == "rest").all()
    assert (labels[:3][here[:3]] == "front").all()
    assert (labels[:3][~here[:3]] == "").all()


@pytest.mark.parametrize(
    ("ids", "rule"),
    [
        (-halves(), "between 1 and 32767"),
        (np.zeros_like(halves()), "a labelled voxel"),
        (np.stack([halves()] * 2, axis=-1), "must hold probabilities"),
    ],
)
def test_images_that_are_no_atlas_are_refused(tmp_path: Path, ids: np.ndarray, rule: str) -> None:
    with pytest.raises(LabelError, match=rule):
        read_atlas(str(write_atlas(tmp_path, ids)))


def test_a_structure_that_the_average_head_lacks_is_no_sliver_of_another(tmp_path: Path) -> None:
    names = "index\tname\n7\tfront\n8\tback\n300\tCSF\n5\tctx-lh-unknown\n"
    placed = place(read_atlas(str(write_atlas(tmp_path, names=names))))
    assert [region.name for region in placed.regions] == ["front", "back"]
    assert placed.lost == ("CSF",)


@needs_collection
def test_an_unknown_name_is_told_with_what_there_is() -> None:
    with pytest.raises(ConfigError, match="desikan_killiany"):
        read_atlas("desikan")


@needs_collection
def test_an_atlas_of_the_collection_is_found_by_its_name() -> None:
    atlas = read_atlas("desikan_killiany")
    assert atlas.name == "DesikanKilliany"
    assert "ctx-lh-insula" in {region.name for region in atlas.regions}
