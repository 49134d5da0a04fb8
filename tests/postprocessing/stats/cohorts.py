"""Made-up cohorts as the files that a user has: measured regions, their errors, participants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fibromorph.postprocessing.stats import Design, parse_design

MEANS_ML = {
    "Left-Thalamus": 7.5,
    "Right-Thalamus": 7.4,
    "Left-Caudate": 3.5,
    "Right-Caudate": 3.6,
    "Left-Putamen": 5.0,
    "Right-Putamen": 4.9,
    "Left-Amygdala": 1.6,
    "Right-Amygdala": 1.7,
}
MEANS_MM = {
    "Left-Anterior-Insula": 3.4,
    "Right-Anterior-Insula": 3.4,
    "Left-Posterior-Insula": 3.1,
    "Right-Posterior-Insula": 3.1,
    "Left-Precentral-Gyrus": 2.6,
    "Right-Precentral-Gyrus": 2.6,
    "Left-Cerebral-Cortex": 2.5,
    "Right-Cerebral-Cortex": 2.5,
    "Mean-Thickness": 2.5,
}
PUTAMEN = "Left-Putamen"
INSULA = "Left-Anterior-Insula"
ERROR = 0.02


@dataclass(frozen=True)
class Cohort:
    """What is simulated.

    Attributes:
        patients, controls: how many.
        effects: region -> change in patients, as a share.
        sessions: names; '' for one without a name.
        growth: region -> change of treated patients at later sessions, as a share.
        drop_out: share of follow-up scans that are missing.
        sites: names, drawn at random.
        seed: of everything.
    """

    patients: int = 23
    controls: int = 21
    effects: dict[str, float] = field(default_factory=lambda: {PUTAMEN: -0.12})
    sessions: tuple[str, ...] = ("",)
    growth: dict[str, float] = field(default_factory=dict)
    drop_out: float = 0.0
    sites: tuple[str, ...] = ("a",)
    seed: int = 0


def participants(cohort: Cohort, rng: np.random.Generator) -> pd.DataFrame:
    """The table of people; pain is 0 in all controls, bdi much higher in patients."""
    n = cohort.patients + cohort.controls
    patient = np.arange(n) < cohort.patients
    treated = patient & (np.arange(n) % 2 == 0)
    return pd.DataFrame(
        {
            "participant_id": [f"sub-{i + 1:03d}" for i in range(n)],
            "group": np.where(patient, "FM", "HC"),
            "age": rng.normal(48, 9, n).round().astype(int),
            "sex": rng.permutation(np.where(np.arange(n) % 5 == 0, "M", "F")),
            "pain": np.where(patient, rng.integers(2, 11, n), 0),
            "bdi": np.where(patient, rng.integers(12, 30, n), rng.integers(0, 12, n)),
            "arm": np.where(patient, np.where(treated, "therapy", "waiting"), "n/a"),
            "site": rng.choice(cohort.sites, n),
        }
    )


def volumes(
    cohort: Cohort,
    people: pd.DataFrame,
    rng: np.random.Generator,
    means: Mapping[str, float] = MEANS_ML,
    head: float = 0.4,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(volumes, their sd) of all scans; `head` is the slope on eTIV, in shares of the means."""
    n, names = len(people), list(means)
    etiv = rng.normal(1480, 110, n)
    shares = (
        1 + head * (etiv / 1480 - 1)[:, None] - 0.003 * (people["age"].to_numpy() - 48)[:, None]
    )
    shares = shares + 0.06 * rng.standard_normal((n, len(names)))
    ill, treated = (people["group"] == "FM").to_numpy(), (people["arm"] == "therapy").to_numpy()
    for region, effect in cohort.effects.items():
        shares[ill, names.index(region)] *= 1 + effect
    rows, errors = [], []
    for number, session in enumerate(cohort.sessions):
        for i in range(n):
            if number and rng.random() < cohort.drop_out:
                continue
            grown = [cohort.growth.get(r, 0.0) * (number > 0) * treated[i] for r in names]
            true = shares[i] * list(means.values()) * (1 + np.array(grown))
            sd = ERROR * true * rng.uniform(0.6, 1.6)
            key = [people["participant_id"][i], session or "n/a"]
            rows.append([*key, 0.9, *(true + sd * rng.standard_normal(len(names))), etiv[i]])
            errors.append([*key, *sd])
    keys = ["participant_id", "session_id"]
    return (
        pd.DataFrame(rows, columns=[*keys, "quality", *names, "eTIV"]),
        pd.DataFrame(errors, columns=[*keys, *names]),
    )


def write_cohort(folder: Path, cohort: Cohort) -> pd.DataFrame:
    """Write volumes.tsv, volumes_sd.tsv, volumes_hard.tsv, participants.tsv; returns the last."""
    rng = np.random.default_rng(cohort.seed)
    people = participants(cohort, rng)
    table, errors = volumes(cohort, people, rng)
    write(folder / "volumes.tsv", table)
    write(folder / "volumes_sd.tsv", errors)
    hard = table.drop(columns=["quality", "eTIV"])
    hard[list(MEANS_ML)] *= 1 + 0.01 * rng.standard_normal((len(hard), len(MEANS_ML)))
    write(folder / "volumes_hard.tsv", hard)
    write(folder / "participants.tsv", people)
    return people


def write_thickness_cohort(folder: Path, cohort: Cohort) -> pd.DataFrame:
    """Write thickness.tsv, thickness_sd.tsv, participants.tsv; returns the last."""
    rng = np.random.default_rng(cohort.seed)
    people = participants(cohort, rng)
    table, errors = volumes(cohort, people, rng, MEANS_MM, head=0)
    write(folder / "thickness.tsv", table.drop(columns="eTIV"))
    write(folder / "thickness_sd.tsv", errors)
    write(folder / "participants.tsv", people)
    return people


def write(path: Path, table: pd.DataFrame) -> None:
    """A table as tab-separated text."""
    table.to_csv(path, sep="\t", index=False, na_rep="n/a")


def design(**changes: Any) -> Design:
    """A design for these cohorts, quick to run."""
    content: dict[str, Any] = {
        "groups": {"column": "group", "patients": "FM", "controls": "HC"},
        "inference": {"permutations": 400},
        "sessions": {"bootstraps": 400},
    }
    return parse_design({**content, **changes})
