"""Tables name every structure once, and agree with each other on what is a part of what."""

from __future__ import annotations

import pytest

from fibromorph.errors import LabelError
from fibromorph.labels import FREESURFER, NEUROMORPHOMETRICS, TABLES, LabelTable, table_of


@pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
def test_ids_and_names_are_given_once_and_fit_a_byte(table: LabelTable) -> None:
    assert len(set(table.ids)) == len(table.ids)
    assert len({label.name for label in table}) == len(table.ids)
    assert 0 < min(table.ids) <= max(table.ids) < 255


def test_the_reference_studys_regions_are_there() -> None:
    assert len(NEUROMORPHOMETRICS.ids_of("Cerebral-Cortex")) == 98
    for name in (
        "Anterior-Cingulate-Gyrus",
        "Middle-Cingulate-Gyrus",
        "Anterior-Insula",
        "Posterior-Insula",
        "Middle-Frontal-Gyrus",
        "Middle-Temporal-Gyrus",
        "Parahippocampal-Gyrus",
        "Central-Operculum",
    ):
        assert len(NEUROMORPHOMETRICS.ids_of(name)) == 2


def test_structures_that_both_protocols_have_keep_freesurfers_ids() -> None:
    fine = {label.name: label.id for label in NEUROMORPHOMETRICS}
    for label in FREESURFER:
        if "Cerebral-Cortex" not in label.name:
            assert fine[label.name] == label.id


def test_one_part_stands_for_all_parts_of_a_coarser_structure() -> None:
    stands = NEUROMORPHOMETRICS.coarse_classes()
    cortex = NEUROMORPHOMETRICS.class_of_name("Cerebral-Cortex")
    assert stands.count(cortex) == 49
    cerebellum = NEUROMORPHOMETRICS.class_of_name("Cerebellum-Cortex")
    assert stands[NEUROMORPHOMETRICS.class_of_name("Vermis-I-V")] == cerebellum
    assert FREESURFER.coarse_classes() == tuple(range(len(FREESURFER.structures) + 1))


def test_an_unknown_protocol_is_named() -> None:
    with pytest.raises(LabelError, match="atlas-x"):
        table_of("atlas-x")
    with pytest.raises(LabelError, match="999"):
        FREESURFER[999]
