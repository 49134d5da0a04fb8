"""Change within a person is held against the error of repetition with one protocol."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fibromorph.errors import TableError
from fibromorph.postprocessing.stats import read_cohort
from fibromorph.postprocessing.stats.change.analysis import Change, analyse_change
from fibromorph.postprocessing.volumes import VolumeRow, write_volumes
from tests.postprocessing.stats.cohorts import PUTAMEN, Cohort, write, write_cohort
from tests.postprocessing.stats.conftest import built, followed_in

NAME = "volumes_repeatability.json"
SESSIONS = {
    **{"baseline": "ses-01", "follow_up": ["ses-02"], "bootstraps": 200},
    **{"arm": "arm", "treated": "therapy", "untreated": "waiting"},
}
TRIAL = Cohort(patients=40, sessions=("ses-01", "ses-02"), growth={PUTAMEN: 0.06})


def write_repeats(folder: Path, **shares: float) -> None:
    (folder / NAME).write_text(json.dumps({"repeatability": shares}))


def change(folder: Path, **changes: object) -> Change:
    whole = built(folder, sessions=SESSIONS, **changes)[1]
    return analyse_change(whole, followed_in(whole))


def limits(found: Change, region: str) -> np.ndarray:
    people = found.individuals
    return people[people["region"] == region]["mdc_ml"].to_numpy(float)


def test_with_one_scanner_smaller_changes_of_a_person_can_be_told(tmp_path: Path) -> None:
    write_cohort(tmp_path, TRIAL)
    before = change(tmp_path)
    write_repeats(tmp_path, **{PUTAMEN: 0.5})
    after = change(tmp_path)
    assert limits(after, PUTAMEN) == pytest.approx(limits(before, PUTAMEN) / 2)
    assert limits(after, "Left-Caudate") == pytest.approx(limits(before, "Left-Caudate"))
    changed = [
        (f.individuals[f.individuals["region"] == PUTAMEN]["verdict"] == "increase").sum()
        for f in (before, after)
    ]
    assert changed[1] > changed[0]
    rows = [f.table.set_index("region").loc[PUTAMEN] for f in (before, after)]
    assert rows[1]["error_share_of_change"] < 0.4 < rows[0]["error_share_of_change"]


def test_whoever_changed_the_scanner_keeps_the_error_over_acquisitions(tmp_path: Path) -> None:
    people = write_cohort(tmp_path, TRIAL)
    write_repeats(tmp_path, **{PUTAMEN: 0.5})
    moved = people["participant_id"] <= "sub-010"
    second = people.assign(session_id="ses-02", site=np.where(moved, "b", "a"))
    write(tmp_path / "participants.tsv", pd.concat([people.assign(session_id="ses-01"), second]))
    site = {"column": "site", "method": "none"}
    whole = built(tmp_path, sessions=SESSIONS, site=site)[1]
    assert whole.sd is not None
    assert whole.sd_within is not None
    share = (whole.sd_within[PUTAMEN] / whole.sd[PUTAMEN]).groupby(level=0).first()
    assert (share[share.index <= "sub-010"] == 1).all()
    assert (share[share.index > "sub-010"] == 0.5).all()


def test_an_effect_free_of_error_is_not_given_where_error_is_most_of_it(tmp_path: Path) -> None:
    write_cohort(tmp_path, TRIAL)
    row = change(tmp_path).table.set_index("region").loc["Left-Caudate"]
    assert row["error_share_of_change"] > 0.5
    assert np.isnan(row["d_change_corrected"])
    write_repeats(tmp_path, **{PUTAMEN: 0.5})
    row = change(tmp_path).table.set_index("region").loc[PUTAMEN]
    assert row["error_share_of_change"] < 0.5
    assert row["d_corrected_low"] < row["d_change_corrected"] < row["d_corrected_high"]
    assert row["d_change_corrected"] > row["d_change"] > 0


def test_tables_of_single_scans_bring_it_too(tmp_path: Path) -> None:
    for person in ("sub-01", "sub-02"):
        rows = [VolumeRow(12, PUTAMEN, "left", "grey", 5.1, 5.0, 0.1, 0.9)]
        write_volumes(tmp_path / f"{person}_volumes.tsv", rows)
        (tmp_path / f"{person}.json").write_text(json.dumps({"repeatability": {PUTAMEN: 0.6}}))
    assert read_cohort([tmp_path]).repeats == {PUTAMEN: 0.6}
    (tmp_path / "sub-02.json").write_text("{}")
    assert read_cohort([tmp_path]).repeats == {}


@pytest.mark.parametrize("content", ['{"repeatability": {"a": "x"}}', "[", "[1]"])
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    write_cohort(tmp_path, Cohort())
    (tmp_path / NAME).write_text(content)
    with pytest.raises(TableError, match=NAME):
        read_cohort([tmp_path / "volumes.tsv"])
