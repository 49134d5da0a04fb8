"""What is drawn before anything is rendered: who takes part, from which anatomy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fibromorph.datasets.cohort.anatomy import Anatomy
from fibromorph.datasets.cohort.body import FREE
from fibromorph.datasets.cohort.effects import Effect, parse_effects
from fibromorph.datasets.cohort.people import Person, draw_people
from fibromorph.datasets.cohort.settings import CohortSettings


@dataclass(frozen=True, eq=False)
class Part:
    """One person's part in the study.

    Attributes:
        person: who.
        anatomy: index of the anatomy that they are deformed from.
        rng: all that is theirs alone is drawn from it: body first, then one visit after the other.
    """

    person: Person
    anatomy: int
    rng: np.random.Generator


@dataclass(frozen=True, eq=False)
class Plan:
    """A study before it is rendered.

    Attributes:
        settings: as the user chose them.
        effects: the planted changes, one a region and side.
        parts: one a person.
    """

    settings: CohortSettings
    effects: tuple[Effect, ...]
    parts: tuple[Part, ...]

    @property
    def people(self) -> tuple[Person, ...]:
        return tuple(part.person for part in self.parts)

    @property
    def scans(self) -> int:
        return sum(person.attended for person in self.people)

    def gap_open(self, session: int) -> float:
        """Share of the planted change that is left in a session, counted from 0."""
        last = max(self.settings.sessions - 1, 1)
        return 1.0 - self.settings.gap_closed * session / last


def draw_plan(settings: CohortSettings, anatomies: Sequence[Anatomy], seed: int) -> Plan:
    """Draw who takes part.

    Args:
        settings: sizes, effects, sessions.
        anatomies: each person is deformed from one, drawn at random.
        seed: of all that is drawn.

    Raises:
        ConfigError: an effect is wrong, see `parse_effects`.
    """
    effects = parse_effects(settings.effects, shaped_ids(anatomies))
    people_rng, *streams = np.random.default_rng(seed).spawn(
        1 + settings.patients + settings.controls
    )
    people = draw_people(people_rng, settings)
    choice = people_rng.integers(len(anatomies), size=len(people)).tolist()
    return Plan(settings, effects, tuple(map(Part, people, choice, streams)))


def shaped_ids(anatomies: Sequence[Anatomy]) -> tuple[int, ...]:
    """The labels that all anatomies have and that are given a volume."""
    return tuple(i for i in shared_ids(anatomies) if i not in FREE)


def shared_ids(anatomies: Sequence[Anatomy]) -> tuple[int, ...]:
    """The labels that all anatomies have."""
    first, *others = (a.ids for a in anatomies)
    return tuple(i for i in first if all(i in other for other in others))
