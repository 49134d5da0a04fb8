"""What an evaluation found too large is drawn smaller."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch

from fibromorph.errors import TableError
from fibromorph.labels import FREESURFER, NEUROMORPHOMETRICS, LabelTable
from fibromorph.models.balance import balancing_offsets, read_errors
from fibromorph.models.graph import SegmentationGraph
from fibromorph.models.network import SegmentationNet

FOUND = {"Putamen": 1.2, "Caudate": 1.1, "Thalamus": 0.9}
"""Volume over reference."""


def write_scores(path: Path, scans: int = 8, scatter: float = 0.01) -> Path:
    """Scores of structures of 5 ml, off by what `FOUND` says and by more or less of `scatter`."""
    rows = []
    for number in range(scans):
        noise = scatter * (-1) ** number
        for name, ratio in FOUND.items():
            for label_id in FREESURFER.ids_of(name):
                volume = 5.0 * (ratio + noise)
                row = {"scan": f"{number:03d}", "protocol": "freesurfer", "region_id": label_id}
                volumes = {"volume_ml": volume, "soft_volume_ml": volume, "reference_ml": 5.0}
                rows.append({**row, **volumes})
    pd.DataFrame(rows).to_csv(path, sep="\t", index=False)
    return path


def test_borders_move_until_the_errors_are_gone(tmp_path: Path) -> None:
    torch.manual_seed(2)
    net = SegmentationNet(len(FREESURFER.structures) + 1, (4, 6, 8), 8).eval()
    torch.nn.init.normal_(net.head[1].weight, std=0.5)  # type: ignore[arg-type]
    graph = SegmentationGraph(net, FREESURFER).eval()
    image, brain = torch.randn(32, 64, 32), torch.rand(8, 16, 8)
    errors = read_errors(write_scores(tmp_path / "scores.tsv"), FREESURFER)

    def volumes() -> torch.Tensor:
        return sum(
            (part.flatten(1).sum(1) for part in graph.posteriors(image, brain)), torch.zeros(1)
        )

    with torch.inference_mode():
        before = volumes()
        offsets = balancing_offsets(graph.posteriors(image, brain), errors, FREESURFER)
        by_class = [0.0, *(offsets.get(name, 0.0) for name in FREESURFER.names)]
        net.shift_logits(torch.tensor(by_class))
        after = volumes()
    assert set(offsets) == set(FOUND)
    for name, ratio in FOUND.items():
        cls = FREESURFER.class_of_name(name)
        assert float(after[cls] / before[cls]) == pytest.approx(1 / ratio, rel=0.03)


def test_what_chance_explains_is_left_alone(tmp_path: Path) -> None:
    clear = read_errors(write_scores(tmp_path / "a.tsv"), FREESURFER)
    assert {FREESURFER.names[cls - 1]: 1 + e for cls, e in clear.items()} == pytest.approx(
        FOUND, abs=0.001
    )
    doubtful = dict(read_errors(write_scores(tmp_path / "b.tsv", scatter=0.5), FREESURFER))
    assert doubtful.pop(FREESURFER.class_of_name("Putamen")) < 0.05
    assert set(doubtful.values()) == {0.0}


@pytest.mark.parametrize(
    ("scans", "table", "rule"),
    [
        (3, FREESURFER, "5 scans or more"),
        (8, NEUROMORPHOMETRICS, "scored by neuromorphometrics"),
    ],
)
def test_too_few_scans_are_refused(
    tmp_path: Path, scans: int, table: LabelTable, rule: str
) -> None:
    with pytest.raises(TableError, match=rule):
        read_errors(write_scores(tmp_path / "few.tsv", scans), table)


def test_another_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "volumes.tsv"
    path.write_text("name\tvolume_ml\n")
    with pytest.raises(TableError, match=r"volumes\.tsv: must be the scores\.tsv"):
        read_errors(path, FREESURFER)


def test_a_volume_that_is_not_known_is_no_empty_one(tmp_path: Path) -> None:
    path = write_scores(tmp_path / "scores.tsv")
    rows = pd.read_csv(path, sep="\t", dtype={"scan": str})
    caudate = rows.region_id.isin(FREESURFER.ids_of("Caudate"))
    rows.loc[caudate, "soft_volume_ml"] = float("nan")
    rows.to_csv(path, sep="\t", index=False, na_rep="n/a")
    errors = read_errors(path, FREESURFER)
    assert FREESURFER.class_of_name("Caudate") not in errors
    assert FREESURFER.class_of_name("Putamen") in errors
