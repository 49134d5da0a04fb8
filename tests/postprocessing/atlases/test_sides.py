"""Left and right, as different atlases write them."""

from __future__ import annotations

import pytest

from fibromorph.postprocessing.atlases.sides import Pair, pairs, region_colours
from fibromorph.postprocessing.volumes import VolumeRow


def row(number: int, name: str, side: str, tissue: str = "grey") -> VolumeRow:
    return VolumeRow(number, name, side, tissue, 1.0, 1.0, 0.1, 0.9)


@pytest.mark.parametrize(
    ("left", "right", "both"),
    [
        ("ctx-lh-insula", "ctx-rh-insula", "ctx-insula"),
        ("ctx_lh_G_and_S_frontomargin", "ctx_rh_G_and_S_frontomargin", "ctx_G_and_S_frontomargin"),
        ("Insula_L", "Insula_R", "Insula"),
        ("Left-Thalamus-Proper", "Right-Thalamus-Proper", "Thalamus-Proper"),
        ("G_Frontal_Sup-1-L", "G_Frontal_Sup-1-R", "G_Frontal_Sup-1"),
        ("L Lateral sulcus", "R Lateral sulcus", "Lateral sulcus"),
    ],
)
def test_twins_stand_side_by_side(left: str, right: str, both: str) -> None:
    one, other = row(1, left, "left"), row(2, right, "right")
    assert pairs([one, row(3, "Vermis", "midline"), other]) == (
        Pair(both, one, other),
        Pair("Vermis", row(3, "Vermis", "midline"), None),
    )
    colours = region_colours([one, row(3, "Vermis", "midline"), other])
    assert colours[1] == colours[2] != colours[3]


def test_a_region_on_one_side_stays_there() -> None:
    alone = row(4, "Broca", "left"), row(5, "Wernicke_R", "right")
    assert pairs(alone) == (Pair("Broca", alone[0], None), Pair("Wernicke_R", None, alone[1]))


def test_white_matter_is_coloured_where_there_is_nothing_else() -> None:
    tract, insula = row(1, "Fornix", "midline", "white"), row(2, "Insula_L", "left")
    assert set(region_colours([tract, insula])) == {2}
    assert set(region_colours([tract])) == {1}
