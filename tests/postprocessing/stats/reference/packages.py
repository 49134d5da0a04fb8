"""Recorded with neuroCombat 0.2.12 and pingouin 0.6.1, which are not needed by the tests.

Run with the reference folder as working directory; writes `packages.json`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pingouin  # type: ignore[import-not-found]
from neuroCombat import neuroCombat  # type: ignore[import-not-found]

REGIONS = ["putamen", "thalamus", "caudate"]


def main() -> None:
    table = pd.read_csv("people.tsv", sep="\t", na_values="n/a").dropna().reset_index(drop=True)
    table["patient"] = (table["group"] == "FM").astype(float)
    combat = neuroCombat(
        dat=table[REGIONS].to_numpy().T,
        covars=table[["site", "patient", "age", "eTIV"]],
        batch_col="site",
        categorical_cols=["patient"],
        continuous_cols=["age", "eTIV"],
    )
    patients = table[table["patient"] == 1]
    bend = pingouin.corr(patients["putamen"], patients["bdi"], method="percbend")
    recorded = {
        "combat": combat["data"].T.tolist(),
        "percentage_bend": float(bend["r"].iloc[0]),
    }
    Path("packages.json").write_text(json.dumps(recorded, indent=1) + "\n")


if __name__ == "__main__":
    main()
