"""References of one protocol in the ids of another."""

from __future__ import annotations

import numpy as np
import pytest

from fibromorph.errors import LabelError
from fibromorph.labels import (
    FREESURFER,
    NEUROMORPHOMETRICS,
    coarsened,
    to_freesurfer,
    to_table,
)


def line(*ids: int) -> np.ndarray[tuple[int, int, int], np.dtype[np.int32]]:
    return np.array(ids, dtype=np.int32).reshape(-1, 1, 1)


def test_regions_become_the_cortex_of_their_side() -> None:
    image = line(0, 100, 101, 207, 206, 57, 58, 35)
    assert to_freesurfer(image, "neuromorphometrics").ravel().tolist() == [
        *(0, 42, 3, 3, 42, 51, 12, 16)
    ]


def test_the_vermis_goes_to_the_nearer_hemisphere() -> None:
    image = line(39, 71, 71, 71, 71, 38)
    assert to_freesurfer(image, "neuromorphometrics").ravel().tolist() == [8, 8, 8, 47, 47, 47]


def test_regions_are_kept_where_the_table_has_them() -> None:
    image = line(100, 101, 71, 69, 75, 57, 42, 74, 46)
    found = to_table(image, "neuromorphometrics", NEUROMORPHOMETRICS).ravel().tolist()
    assert found == [100, 101, 71, 85, 75, 51, 0, 0, 24]


def test_going_through_the_finer_table_changes_nothing_but_what_no_region_claims() -> None:
    image = line(39, 71, 38, 100, 101, 57, 58, 44, 45, 35, 11, 4, 75, 69)
    fine = to_table(image, "neuromorphometrics", NEUROMORPHOMETRICS)
    direct = to_freesurfer(image, "neuromorphometrics")
    assert coarsened(fine, NEUROMORPHOMETRICS).ravel().tolist() == direct.ravel().tolist()
    assert coarsened(direct, FREESURFER).ravel().tolist() == direct.ravel().tolist()


def test_what_does_not_fit_is_refused_with_the_file() -> None:
    with pytest.raises(LabelError, match=r"scan\.nii.*300"):
        to_freesurfer(line(300), "neuromorphometrics", "scan.nii")
    with pytest.raises(LabelError, match="neuromorphometrics protocol"):
        to_table(line(2, 3), "freesurfer", NEUROMORPHOMETRICS)


def test_freesurfers_own_files_are_read() -> None:
    image = line(2, 251, 41, 1012, 2034, 3012, 4034, 5001, 11120, 0)
    found = to_freesurfer(image, "freesurfer").ravel().tolist()
    assert found == [2, 41, 41, 3, 42, 2, 41, 2, 3, 0]
    with pytest.raises(LabelError, match="700"):
        to_freesurfer(line(2, 700), "freesurfer")


def test_the_corpus_callosum_of_wmparc_goes_to_the_nearer_white_matter() -> None:
    image = line(1012, 3012, 77, 251, 254, 80, 5002, 4012, 2012)
    found = to_freesurfer(image, "freesurfer").ravel().tolist()
    assert found == [3, 2, 2, 2, 41, 41, 41, 41, 42]
    # Of half a brain the other side is nowhere.
    assert to_freesurfer(line(3012, 251, 0), "freesurfer").ravel().tolist() == [2, 2, 0]
    assert to_freesurfer(line(4012, 251, 0), "freesurfer").ravel().tolist() == [41, 41, 0]


def test_what_other_tools_of_freesurfer_write_is_read() -> None:
    image = line(29, 61, 78, 79, 81, 82, 165, 258, 259, 130, 257, 173, 174, 175, 170, 178)
    assert to_freesurfer(image, "freesurfer").ravel().tolist() == [
        *(0, 0, 2, 41, 2, 41, 0, 0, 0, 0, 24, 16, 16, 16, 16, 16)
    ]
    # The vermis and SAMSEG's corpus callosum have no side.
    image = line(8, 172, 172, 47, 184, 183, 2, 192, 192, 41)
    assert to_freesurfer(image, "freesurfer").ravel().tolist() == [
        *(8, 8, 47, 47, 47, 8, 2, 2, 41, 41)
    ]


def test_unknown_ids_become_background_only_when_asked() -> None:
    image = line(2, -5, 2_000_000_000, 3)
    with pytest.raises(LabelError, match="-5"):
        to_freesurfer(image, "freesurfer")
    found = to_freesurfer(image, "freesurfer", ignore_unknown=True)
    assert found.ravel().tolist() == [2, 0, 0, 3]


def test_tissue_outside_the_brain_is_background() -> None:
    assert to_freesurfer(line(2, 511, 85, 77), "freesurfer").ravel().tolist() == [2, 0, 24, 2]
