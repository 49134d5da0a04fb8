"""A whole study: planned, rendered by one process or several, and written with its truth."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

from fibromorph.datasets.cohort.anatomy import Anatomy
from fibromorph.datasets.cohort.body import FREE
from fibromorph.datasets.cohort.effects import parse_effects
from fibromorph.datasets.cohort.files import write_study, write_truth
from fibromorph.datasets.cohort.plan import Part, Plan, draw_plan, shared_ids
from fibromorph.datasets.cohort.render import Rendered, Renderer
from fibromorph.datasets.cohort.settings import CohortSettings
from fibromorph.errors import ConfigError
from fibromorph.labels import FREESURFER
from fibromorph.progress import bar as progress_bar

ETIV = "eTIV"


@dataclass(frozen=True)
class Study:
    """What was written.

    Attributes:
        folder: BIDS root.
        scans: all T1w files, in the order of people and sessions.
    """

    folder: Path
    scans: tuple[Path, ...]


def simulate_cohort(
    out: Path,
    anatomies: Sequence[Anatomy],
    settings: CohortSettings,
    seed: int,
    workers: int = 1,
) -> Study:
    """Write a BIDS study of simulated people, with their true volumes.

    Everything follows from the seed, whatever the number of workers. The folder appears under its
    name only when the study is complete.

    Args:
        out: must not exist, or be empty.
        anatomies: each person is deformed from one, drawn at random.
        settings: sizes, effects, sessions.
        seed: of all that is drawn.
        workers: processes; each needs about 1 GB.

    Raises:
        ConfigError: `out` holds files, or an effect is wrong (see `parse_effects`).
    """
    require_possible(out, settings, workers)
    plan = draw_plan(settings, anatomies, seed)
    partial = out.with_name(f".{out.name}.{uuid4().hex}.partial")
    partial.mkdir(parents=True)
    try:
        rendered = _render_all(Renderer(partial, anatomies, plan), plan, workers)
        write_study(partial, plan.people)
        _write_truth(partial, plan, anatomies, rendered, seed)
        if out.exists():
            out.rmdir()
        os.replace(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Study(out, tuple(out / scan.path for scan in rendered))


def require_possible(out: Path, settings: CohortSettings, workers: int = 1) -> None:
    """See what needs no anatomy yet, which may take a minute to be segmented.

    Raises:
        ConfigError: see `simulate_cohort`.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError("the folder must be new or empty", value=out, subject="--out")
    if workers < 1:
        raise ConfigError("must be 1 or more", value=workers, subject="--workers")
    parse_effects(settings.effects, (i for i in FREESURFER.ids if i not in FREE))


def _render_all(renderer: Renderer, plan: Plan, workers: int) -> list[Rendered]:
    done = []
    with progress_bar(plan.scans, "scans") as bar:
        for scans in _rendered(renderer, plan.parts, workers):
            done += scans
            bar.update(len(scans))
    return done


def _rendered(renderer: Renderer, parts: Sequence[Part], workers: int) -> Iterator[list[Rendered]]:
    if workers == 1:
        yield from map(renderer, parts)
        return
    with ProcessPoolExecutor(workers, initializer=_take_over, initargs=(renderer,)) as pool:
        yield from pool.map(_render, parts)


_own: list[Renderer] = []
"""In a worker process: its renderer, so that moulds are made once."""


def _take_over(renderer: Renderer) -> None:
    _own[:] = [renderer]


def _render(part: Part) -> list[Rendered]:
    return _own[0](part)


def _write_truth(
    folder: Path, plan: Plan, anatomies: Sequence[Anatomy], scans: Sequence[Rendered], seed: int
) -> None:
    ids = shared_ids(anatomies)
    header = ("participant_id", "session_id", *(FREESURFER[i].name for i in ids), ETIV)
    rows = (
        [s.person, s.session, *(s.body.volumes_ml[i] for i in ids), s.body.intracranial_ml]
        for s in scans
    )
    record = {
        "seed": seed,
        "anatomies": [anatomy.name for anatomy in anatomies],
        "settings": asdict(plan.settings),
        "effects": [asdict(effect) for effect in plan.effects],
    }
    write_truth(folder, header, rows, record)
