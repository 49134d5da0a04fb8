"""The picture of an evaluation: every dot where its score is, in the colour of its side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageColor

from fibromorph.labels import FREESURFER
from fibromorph.postprocessing.score_picture import INK, write_score_picture

LEGEND, BETWEEN = 0.3, 0.54
"""Of a picture of one structure: share of the height that is the legend's, and of the width where
one panel ends and the other begins."""


def means(path: Path) -> dict[tuple[str, str], tuple[float, float]]:
    """(panel, side) -> column and row, as shares of the picture, of the line of the mean."""
    picture = np.asarray(Image.open(path).convert("RGB"), int)
    height, width, _ = picture.shape
    found = {}
    for side in ("left", "right"):
        ink = np.abs(picture - ImageColor.getrgb(INK[side])).max(axis=2) <= 25
        ink[: int(LEGEND * height)] = False
        middle = int(BETWEEN * width)
        for panel, columns in (("dice", slice(0, middle)), ("error", slice(middle, None))):
            rows, across = np.nonzero(ink[:, columns])
            found[panel, side] = (float(np.median(across)) / width, float(np.median(rows)) / height)
    return found


def test_every_side_is_where_its_scores_are(tmp_path: Path) -> None:
    path = tmp_path / "scores.png"
    scores = pd.DataFrame(
        {
            "region_id": [10, 10, 49, 49],
            "dice": [0.90, 0.92, 0.50, 0.52],
            "volume_error": [-0.10, -0.12, 0.20, 0.22],
        }
    )
    write_score_picture(path, scores, FREESURFER)
    assert list(tmp_path.iterdir()) == [path]
    found = means(path)
    assert found["dice", "left"][0] > found["dice", "right"][0] + 0.1
    assert found["error", "left"][0] < found["error", "right"][0] - 0.1
    for panel in ("dice", "error"):
        # The left of the body above the right one.
        assert found[panel, "left"][1] < found[panel, "right"][1]
