"""Who is in a simulated study: age, sex, group, and the scores that pain studies collect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fibromorph.datasets.cohort.settings import CohortSettings

PATIENT, CONTROL = "patient", "control"
AGE_MEAN, AGE_SD, AGE_RANGE = 47.0, 10.0, (20.0, 75.0)

Score = float | None


@dataclass(frozen=True)
class Person:
    """One participant.

    Attributes:
        id: 'sub-01' and so on; groups are mixed in the order.
        group: 'patient' or 'control'.
        age: years.
        sex: 'F' or 'M'.
        scores: column -> value; None = does not apply.
        attended: how many sessions, from the first.
    """

    id: str
    group: str
    age: float
    sex: str
    scores: Mapping[str, Score]
    attended: int

    @property
    def is_patient(self) -> bool:
        return self.group == PATIENT


def draw_people(rng: np.random.Generator, settings: CohortSettings) -> tuple[Person, ...]:
    """Draw all participants, groups in random order."""
    groups = [PATIENT] * settings.patients + [CONTROL] * settings.controls
    digits = max(2, len(str(len(groups))))
    return tuple(
        _draw_person(rng, f"sub-{n:0{digits}d}", groups[g], settings)
        for n, g in enumerate(rng.permutation(len(groups)).tolist(), start=1)
    )


def _draw_person(
    rng: np.random.Generator, name: str, group: str, settings: CohortSettings
) -> Person:
    age = round(_within(rng.normal(AGE_MEAN, AGE_SD), *AGE_RANGE), 1)
    sex = "F" if rng.random() < settings.women else "M"
    scores = _patient_scores(rng, age) if group == PATIENT else _control_scores(rng)
    return Person(name, group, age, sex, scores, _draw_attended(rng, settings))


def _draw_attended(rng: np.random.Generator, settings: CohortSettings) -> int:
    leaves = rng.random() < settings.dropout
    last = int(rng.integers(1, max(settings.sessions, 2)))
    return last if leaves else settings.sessions


def _patient_scores(rng: np.random.Generator, age: float) -> dict[str, Score]:
    """Scores that go together through one severity, as they do in patients."""
    severity = rng.normal()
    noise = rng.normal(size=8)
    return {
        "pain_intensity": _rounded(5.8 + 1.2 * severity + 1.0 * noise[0], 1, 10),
        "fiq": _rounded(55 + 10 * severity + 9 * noise[1], 5, 100),
        "depression_bdi": _rounded(17 + 4 * severity + 7 * noise[2], 0, 63, 0),
        "catastrophising": _rounded(24 + 5 * severity + 9 * noise[3], 0, 52, 0),
        "activity": _rounded(2.3 - 0.4 * severity + 0.8 * noise[4], 0, 6),
        "medication": _rounded(6 + 3 * severity + 4 * noise[5], 0, 40),
        "duration": _rounded(11 + 6 * noise[6], 0.5, max(age - 15, 0.5)),
        "pressure_threshold": _rounded(210 - 25 * severity + 60 * noise[7], 40, 1000, 0),
    }


def _control_scores(rng: np.random.Generator) -> dict[str, Score]:
    """Pain is 0 in every control, and what asks for the illness does not apply to them."""
    noise = rng.normal(size=4)
    return {
        "pain_intensity": 0.0,
        "fiq": None,
        "depression_bdi": _rounded(5 + 4 * noise[0], 0, 63, 0),
        "catastrophising": _rounded(10 + 7 * noise[1], 0, 52, 0),
        "activity": _rounded(3.1 + 0.9 * noise[2], 0, 6),
        "medication": 0.0,
        "duration": None,
        "pressure_threshold": _rounded(420 + 110 * noise[3], 40, 1000, 0),
    }


def _rounded(value: float, lowest: float, highest: float, digits: int = 1) -> float:
    return round(_within(value, lowest, highest), digits)


def _within(value: float, lowest: float, highest: float) -> float:
    return float(min(max(value, lowest), highest))
