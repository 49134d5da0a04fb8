"""Made-up cohorts of maps of tissue on a coarse grid, with the tables that go with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from fibromorph.file_names import MAP_OF
from fibromorph.labels import NEUROMORPHOMETRICS
from fibromorph.postprocessing.stats import Design, parse_design
from fibromorph.postprocessing.stats.report.brain import TEMPLATES
from tests.postprocessing.stats.cohorts import write

Map = NDArray[np.float32]
EVERY = 2
"""Voxels of the template (2 mm) from one of a map to the next."""
NOISE_SD_VOXELS, NOISE = 1.2, 0.05
MEAN_ETIV = 1480.0


@dataclass(frozen=True)
class Person:
    """What is known of somebody, as tables have it."""

    patient: bool
    treated: bool
    session: str
    pain: float
    etiv: float


Change = Callable[[Person], dict[str, float]]
"""Person -> region -> share of it that is there more (or less)."""


@dataclass(frozen=True)
class Heads:
    """What is simulated.

    Attributes:
        patients, controls: how many.
        change: of regions, by person.
        sessions: names; '' for one without a name.
        small_patients: share by which heads of patients are smaller.
        growing: maps grow in proportion to eTIV.
        seed: of everything.
        tissue: of the maps.
    """

    patients: int = 10
    controls: int = 10
    change: Change = lambda _: {}
    sessions: tuple[str, ...] = ("",)
    small_patients: float = 0.0
    growing: bool = False
    seed: int = 0
    tissue: str = "grey"


@lru_cache
def template(tissue: str = "grey") -> tuple[Map, NDArray[np.int32], NDArray[np.float64]]:
    """(tissue of an average head, labels, affine) on the coarse grid."""
    package = files("fibromorph.postprocessing.stats.report")
    with as_file(package / TEMPLATES["neuromorphometrics"]) as path:
        image = nibabel.load(path)
        labels = np.asarray(image.dataobj).astype(np.int32)
    inside = np.isin(labels, [label.id for label in NEUROMORPHOMETRICS if label.tissue == tissue])
    soft = gaussian_filter(inside.astype(np.float32), 0.7)
    affine = image.affine @ np.diag([EVERY, EVERY, EVERY, 1])
    step = (slice(None, None, EVERY),) * 3
    return soft[step], labels[step], affine


def write_heads(folder: Path, heads: Heads) -> None:
    """Write maps as BIDS derivatives below `folder / "maps"`, volumes.tsv and participants.tsv."""
    rng = np.random.default_rng(heads.seed)
    n = heads.patients + heads.controls
    average, _, _ = template(heads.tissue)
    rows, people = [], []
    for number in range(n):
        patient = number < heads.patients
        etiv = rng.normal(MEAN_ETIV, 90) * (1 - heads.small_patients * patient)
        pain = float(rng.integers(2, 11)) if patient else 0.0
        treated = patient and number % 2 == 0
        arm = ("therapy" if treated else "waiting") if patient else "n/a"
        name = f"sub-{number + 1:02d}"
        group = "FM" if patient else "HC"
        sex = "F" if number % 4 else "M"
        people.append([name, group, int(rng.normal(48, 8)), sex, pain, arm])
        own = 1 + NOISE * _noise(rng, average.shape)
        for session in heads.sessions:
            person = Person(patient, treated, session, pain, etiv)
            again = 1 + 0.3 * NOISE * _noise(rng, average.shape)
            values = _grown(average * own * again, heads, person)
            save(map_path(folder, name, session, heads.tissue), values)
            total = float(values.sum()) * (2 * EVERY) ** 3 / 1000
            thalamus = 7.5 * (1 + 0.05 * rng.standard_normal())
            rows.append([name, session or "n/a", 0.9, thalamus, total, etiv])
    columns = ["participant_id", "session_id", "quality", "Left-Thalamus"]
    columns.append(f"Total-{heads.tissue.capitalize()}-Matter")
    table = pd.DataFrame(rows, columns=[*columns, "eTIV"])
    # Rows of a table come in any order.
    write(folder / "volumes.tsv", table.sample(frac=1, random_state=heads.seed))
    columns = ["participant_id", "group", "age", "sex", "pain", "arm"]
    write(folder / "participants.tsv", pd.DataFrame(people, columns=columns))


def map_path(folder: Path, name: str, session: str = "", tissue: str = "grey") -> Path:
    """Where a person's map lies."""
    stem = f"{name}_{session}" if session else name
    return folder / "maps" / name / session / "anat" / f"{stem}{MAP_OF[tissue]}"


def save(path: Path, values: Map, affine: NDArray[np.float64] | None = None) -> None:
    """Write a map, on the coarse grid if no other is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    where = template()[2] if affine is None else affine
    nibabel.save(nibabel.Nifti1Image(np.asarray(values, np.float32), where), path)


def design(**changes: Any) -> Design:
    """A design for these cohorts, quick to run."""
    content: dict[str, Any] = {
        "groups": {"column": "group", "patients": "FM", "controls": "HC"},
        "vbm": {"permutations": 100, "tfce": False, "cluster_forming_p": None},
    }
    return parse_design({**content, **changes})


def _noise(rng: np.random.Generator, shape: tuple[int, ...]) -> Map:
    noise = gaussian_filter(rng.standard_normal(shape), NOISE_SD_VOXELS)
    return np.asarray(noise / noise.std(), np.float32)


def _grown(values: Map, heads: Heads, person: Person) -> Map:
    _, labels, _ = template()
    values = values * np.float32(person.etiv / MEAN_ETIV if heads.growing else 1)
    for region, share in heads.change(person).items():
        inside = labels == next(x.id for x in NEUROMORPHOMETRICS if x.name == region)
        values = np.where(inside, values * (1 + share), values)
    return np.asarray(values, np.float32)
