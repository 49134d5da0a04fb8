"""All finished scans of OUT_DIR in one place."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fibromorph.errors import TableError
from fibromorph.postprocessing.volumes import VolumeRow, read_volumes
from fibromorph.serving.cohort.group.corrections import measure_corrected, regions_changed
from fibromorph.serving.cohort.store import Store
from fibromorph.serving.cohort.tasks import ScanTask, is_there, task_from

Values = NDArray[np.float64]
ETIV = "eTIV"


@dataclass(frozen=True)
class ScanQuality:
    """What the quality score of one scan says.

    Attributes:
        overall: 0 to 1.
        verdict: 'good', 'check' or 'bad'.
        measures: snr_white, cjv, ...
        flags: sentences, gravest first.
    """

    overall: float
    verdict: str
    measures: Mapping[str, float]
    flags: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Cohort:
    """n scans by c regions and totals.

    Attributes:
        tasks: n, in the order of subject, session and run.
        regions: c names, as in the label table, then the totals.
        soft_ml, hard_ml, sd_ml: (n, c), NaN = not estimable.
        quality: n.
        models: bundle and version of the package that were used, more than one after a change.
        responsiveness: region -> {'mean', 'sd'}, see `serving.responsiveness`; nothing where scans
            disagree.
        corrected: n, the regions that somebody has corrected by hand.
    """

    tasks: tuple[ScanTask, ...]
    regions: tuple[str, ...]
    soft_ml: Values
    hard_ml: Values
    sd_ml: Values
    quality: tuple[ScanQuality, ...]
    models: tuple[str, ...]
    responsiveness: Mapping[str, Mapping[str, float]]
    corrected: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.tasks)

    def at(self, rows: Sequence[int]) -> Cohort:
        """The cohort with these scans only."""
        pick = list(rows)
        return Cohort(
            tuple(self.tasks[i] for i in pick),
            self.regions,
            self.soft_ml[pick],
            self.hard_ml[pick],
            self.sd_ml[pick],
            tuple(self.quality[i] for i in pick),
            self.models,
            self.responsiveness,
            tuple(self.corrected[i] for i in pick),
        )


def gather(store: Store, bids: Path) -> tuple[Cohort, tuple[ScanTask, ...]]:
    """Read every finished scan that is in the study.

    Args:
        store: of OUT_DIR.
        bids: BIDS_DIR.

    Returns:
        (the cohort, finished scans that are no longer in BIDS_DIR: withdrawn, or renamed).

    Raises:
        TableError: no scan is finished, or a file that a record names is gone or damaged.
        LabelError: labels that were corrected by hand cannot be measured.
    """
    every = list(store.records())
    records = [record for record in every if is_there(bids, task_from(record["task"]))]
    if not records:
        rule = "run the participant stage first: no scan of this BIDS_DIR is finished"
        raise TableError(
            rule, value=f"{len(every)} of others" if every else None, subject=store.out
        )
    gone = tuple(task for r in every if not is_there(bids, task := task_from(r["task"])))
    tasks, tables, quality, shares, corrected = [], [], [], [], []
    for record in records:
        task = task_from(record["task"])
        tasks.append(task)
        facts = _facts(store.out / task.files["sidecar"])
        measured = read_volumes(store.out / task.files["volumes"])
        labels = store.corrected_labels(record)
        rows = measured if labels is None else measure_corrected(measured, labels, facts["input"])
        corrected.append(regions_changed(measured, rows))
        tables.append(_numbers(rows))
        quality.append(_quality(facts["quality"]))
        shares.append(facts["responsiveness"])
    regions = _regions(tables)
    values = np.full((3, len(tables), len(regions)), np.nan)
    for row, table in enumerate(tables):
        for column, name in enumerate(regions):
            values[:, row, column] = table.get(name, (np.nan,) * 3)
    models = sorted({_model(record["recipe"]) for record in records})
    soft, hard, sd = values
    agreed = shares[0] if all(share == shares[0] for share in shares) else {}
    cohort = Cohort(
        tuple(tasks),
        regions,
        soft,
        hard,
        sd,
        tuple(quality),
        tuple(models),
        agreed,
        tuple(corrected),
    )
    return cohort, gone


def _numbers(rows: Sequence[VolumeRow]) -> dict[str, tuple[float, float, float]]:
    numbers = {
        row.name: (_nan(row.soft_volume_ml), _nan(row.volume_ml), _nan(row.sd_ml)) for row in rows
    }
    if ETIV in numbers:
        # One head size in all tables: what lies inside the skull, not the sum of posteriors.
        _, inside, sd = numbers[ETIV]
        numbers[ETIV] = (inside, inside, sd)
    return numbers


def _nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _regions(tables: Sequence[Mapping[str, object]]) -> tuple[str, ...]:
    """All names, in the order in which the first table that has them has them."""
    return tuple(dict.fromkeys(name for table in tables for name in table))


def _facts(sidecar: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(sidecar.read_text())["Fibromorph"]
        # Sidecars of before responsiveness was measured know of none.
        facts = {
            "input": found["input"],
            "quality": found["quality"],
            "responsiveness": found.get("responsiveness", {}),
        }
    except (OSError, ValueError, KeyError) as error:
        rule = "a finished scan's sidecar must be there; run the participant stage again"
        raise TableError(rule, value=error, subject=sidecar) from error
    return facts


def _quality(facts: Mapping[str, Any]) -> ScanQuality:
    flags = tuple(str(flag["message"]) for flag in facts["flags"])
    return ScanQuality(facts["overall"], facts["verdict"], facts["measures"], flags)


def _model(recipe: Mapping[str, str]) -> str:
    jointly = ", sessions jointly" if recipe.get("sessions") == "jointly" else ""
    return f"{recipe['model']} (fibromorph {recipe['fibromorph']}, {recipe['engine']}{jointly})"
