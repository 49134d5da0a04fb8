"""How much of a change arrives, measured from end to end on a real head."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from fibromorph.cli import main
from fibromorph.manifest import open_bundle
from fibromorph.serving.measuring import responsiveness
from fibromorph.serving.measuring.responsiveness import summarise
from tests.serving.stand_in import write_stand_in


def test_heads_are_changed_and_the_bundle_learns_its_shares(
    template: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(responsiveness, "PATTERNS", 1)
    bundle, out = write_stand_in(tmp_path / "bundle"), tmp_path / "out"
    call = ["responsiveness", str(template), "--out", str(out), "--model", str(bundle)]
    assert main([*call, "--update-bundle"]) == 0
    assert "Left-Cerebral-Cortex" in capsys.readouterr().out
    entries = {entry.name: entry for entry in open_bundle(bundle).manifest.labels}
    cortex = entries["Left-Cerebral-Cortex"]
    assert cortex.responsiveness is not None
    assert abs(cortex.responsiveness) < 1.5
    # Nobody gave white matter a volume of its own: it takes up the difference.
    assert entries["Left-Cerebral-White-Matter"].responsiveness is None
    thickness = open_bundle(bundle).manifest.thickness
    assert thickness is not None
    assert set(thickness.responsiveness) == {"Left-Cerebral-Cortex", "Right-Cerebral-Cortex"}
    assert (out / "responsiveness_thickness.tsv").is_file()
    card = (bundle / "card.md").read_text()
    assert "| responsiveness |" in card
    assert card.index("## Thickness") < card.index("| Left-Cerebral-Cortex | ", card.index("## Th"))


def test_twins_share_what_was_found() -> None:
    table = pd.DataFrame(
        {
            "region_id": [12, 51, 12, 51, 17],
            "name": ["Left-Putamen", "Right-Putamen"] * 2 + ["Left-Hippocampus"],
            "true_log_change": [0.2, -0.2, -0.2, 0.2, 0.01],
            "found_log_change": [0.1, -0.1, -0.14, 0.14, 0.3],
        }
    )
    found = summarise(table)
    # The hippocampus was hardly changed.
    assert set(found) == {"Left-Putamen", "Right-Putamen"}
    assert found["Left-Putamen"] == found["Right-Putamen"]
    assert found["Left-Putamen"].mean == pytest.approx(0.6)
