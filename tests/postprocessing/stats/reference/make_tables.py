"""Writes `people.tsv` and `visits.tsv`: made-up people that R and the tests both analyse.

Run with the reference folder as working directory; the tables are recorded, so this is only needed
to change them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

PATIENTS, CONTROLS = 23, 21


def people(rng: np.random.Generator) -> pd.DataFrame:
    """44 people at three sites: covariates, two scores, three volumes in ml with their sd."""
    n = PATIENTS + CONTROLS
    patient = np.arange(n) < PATIENTS
    age, etiv = rng.normal(48, 9, n).round(), rng.normal(1480, 110, n).round(1)
    table = pd.DataFrame(
        {
            "participant_id": [f"sub-{i + 1:02d}" for i in range(n)],
            "group": np.where(patient, "FM", "HC"),
            "age": age,
            "sex": np.where(rng.random(n) < 0.8, "F", "M"),
            "site": rng.choice(["a", "b", "c"], n),
            "eTIV": etiv,
            "pain": np.where(patient, rng.integers(2, 10, n), rng.integers(0, 4, n)),
            "bdi": (np.where(patient, 18, 8) + rng.normal(0, 5, n)).clip(0).round(),
        }
    )
    for name, mean, effect in (
        ("putamen", 5.0, 0.92),
        ("thalamus", 7.5, 1.05),
        ("caudate", 3.5, 1),
    ):
        sd = mean * 0.02 * rng.uniform(0.6, 2.0, n)
        true = mean * (1 + 0.4 * (etiv / 1480 - 1) - 0.003 * (age - 48) + 0.07 * rng.normal(size=n))
        table[name] = (np.where(patient, effect, 1) * true + sd * rng.normal(size=n)).round(5)
        table[f"{name}_sd"] = sd.round(5)
    table.loc[[3, 30], "thalamus"] = np.nan
    return table


def visits(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Two to three visits of the same people, with drop-out; patients' putamen grows by 4 %."""
    rows = []
    for person in table.to_dict("records"):
        for session in (1, 2, 3):
            if session > 1 and rng.random() < 0.3:
                continue
            growth = 1 + 0.02 * (session - 1) * (person["group"] == "FM")
            volume = round(float(person["putamen"]) * growth + 0.12 * rng.normal(), 5)
            rows.append([person["participant_id"], person["group"], session, person["age"], volume])
    return pd.DataFrame(rows, columns=["participant_id", "group", "session", "age", "putamen"])


def main() -> None:
    rng = np.random.default_rng(81)
    table = people(rng)
    table.to_csv("people.tsv", sep="\t", index=False, na_rep="n/a")
    visits(table, rng).to_csv(Path("visits.tsv"), sep="\t", index=False)


if __name__ == "__main__":
    main()
