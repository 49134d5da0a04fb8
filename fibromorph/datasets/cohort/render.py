"""From a person's part in the plan to their scans."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fibromorph.datasets.cohort.acquisition import draw_visit, scan_grid, take_scan, true_labels
from fibromorph.datasets.cohort.anatomy import Anatomy
from fibromorph.datasets.cohort.body import Body, Mould, draw_elastic, mould_of, shape_body
from fibromorph.datasets.cohort.files import TRUTH, scan_path, write_scan
from fibromorph.datasets.cohort.plan import Part, Plan
from fibromorph.datasets.cohort.targets import draw_constitution, target_volumes
from fibromorph.scans import write_labels


@dataclass(frozen=True, eq=False)
class Rendered:
    """One scan that was written.

    Attributes:
        person, session: whose, and when ('' in a study of one session).
        path: of the T1w file, from the study's folder.
        body: with the true volumes.
    """

    person: str
    session: str
    path: Path
    body: Body


class Renderer:
    """Writes the scans of one person after the other.

    Args:
        folder: of the study.
        anatomies: moulds are made of them when first needed.
        plan: settings and effects.
    """

    def __init__(self, folder: Path, anatomies: Sequence[Anatomy], plan: Plan) -> None:
        self.folder, self.anatomies, self.plan = folder, anatomies, plan
        self._moulds: dict[int, Mould] = {}

    def __call__(self, part: Part) -> list[Rendered]:
        """Write all scans of a person."""
        mould = self._mould(part.anatomy)
        sessions = self.plan.settings.session_names()[: part.person.attended]
        bodies = self._bodies(part, mould)
        return [
            self._write(part, mould, session, body)
            for session, body in zip(sessions, bodies, strict=False)
        ]

    def _mould(self, number: int) -> Mould:
        if number not in self._moulds:
            self._moulds[number] = mould_of(self.anatomies[number])
        return self._moulds[number]

    def _bodies(self, part: Part, mould: Mould) -> Iterator[Body]:
        """The person's body in each session; each begins from the one before."""
        sessions = self.plan.settings.sessions
        constitution = draw_constitution(part.rng, part.person.sex, mould.growth.ids, sessions)
        elastic = draw_elastic(part.rng, mould.lattice)
        amounts = None
        for session in range(sessions):
            targets = target_volumes(
                part.person,
                constitution,
                mould.reference_ml,
                self.plan.effects,
                session=session,
                gap_open=self.plan.gap_open(session),
            )
            body = shape_body(mould, elastic, targets, constitution.intracranial_ml, amounts)
            amounts = body.amounts
            yield body

    def _write(self, part: Part, mould: Mould, session: str, body: Body) -> Rendered:
        settings = self.plan.settings
        visit = draw_visit(part.rng, settings.voxel_mm, settings.noise)
        grid = scan_grid(mould, body, visit)
        path = scan_path(part.person.id, session)
        write_scan(self.folder / path, take_scan(mould, body, visit, grid), grid)
        if settings.true_labels:
            truth = self.folder / TRUTH / scan_path(part.person.id, session, "dseg")
            truth.parent.mkdir(parents=True, exist_ok=True)
            write_labels(truth, true_labels(mould, body, visit, grid), grid)
        return Rendered(part.person.id, session, path, body)
