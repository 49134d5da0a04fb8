"""The recorded answers of R and other packages, and the tables that they were computed on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

FOLDER = Path(__file__).parent / "reference"
R_TOLERANCE = 1e-6


def recorded(name: str) -> Any:
    """Answers of one script."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def table(name: str) -> pd.DataFrame:
    """A table of made-up people."""
    return pd.read_csv(FOLDER / f"{name}.tsv", sep="\t", na_values="n/a")
