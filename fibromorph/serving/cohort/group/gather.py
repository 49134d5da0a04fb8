"""All finished scans of OUT_DIR in one place."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fibromorph.errors import LabelError, TableError
from fibromorph.postprocessing.volumes import VolumeRow, read_volumes
from fibromorph.serving.cohort.failures import FailedScan, one_line
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
        measures: of the image, snr_white, cjv, ..., and tilt_deg, where the head's pose is known.
        flags: sentences, gravest first.
    """

    overall: float
    verdict: str
    measures: Mapping[str, float]
    flags: tuple[str, ...]


OF_THE_TOOL = ("responsiveness", "repeatability")
"""What a sidecar says of the tool, by region: of volumes, and under `thickness` of that."""

ToolFacts = Mapping[str, Mapping[str, Any]]
"""Each of `OF_THE_TOOL`: responsiveness is a region's {'mean', 'sd'}, see `serving.responsiveness`,
repeatability the share of its standard deviation by which scans with one protocol err."""


@dataclass(frozen=True, eq=False)
class Cohort:
    """n scans by c regions and totals.

    Attributes:
        tasks: n, in the order of subject, session and run.
        regions: c names, as in the label table, then the totals.
        soft_ml, hard_ml, sd_ml: (n, c), NaN = not estimable.
        quality: n.
        models: bundle and version of the package that were used, more than one after a change.
        of_volumes, of_thickness: what the tool knows of both; nothing where scans disagree.
        corrected: n, the regions that somebody has corrected by hand.
    """

    tasks: tuple[ScanTask, ...]
    regions: tuple[str, ...]
    soft_ml: Values
    hard_ml: Values
    sd_ml: Values
    quality: tuple[ScanQuality, ...]
    models: tuple[str, ...]
    of_volumes: ToolFacts
    of_thickness: ToolFacts
    corrected: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.tasks)

    @property
    def mixed(self) -> str:
        """What to know where some scans have lost their skulls; '' = all or none have."""
        if ETIV not in self.regions:
            return ""
        # Only a scan without a skull has no eTIV.
        bare = int(np.isnan(self.hard_ml[:, self.regions.index(ETIV)]).sum())
        if bare in (0, len(self)):
            return ""
        return (
            f"{bare} of {len(self)} scans are skull-stripped, the others whole heads: for that"
            " alone volumes of one and the same head differ by 1 to 3 %"
        )

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
            self.of_volumes,
            self.of_thickness,
            tuple(self.corrected[i] for i in pick),
        )


@dataclass(frozen=True)
class _Measured:
    """What one scan brings to the cohort; `numbers`: name -> soft, counted, standard deviation.

    `of_volumes`, `of_thickness`: what its sidecar says of the tool; the latter is None where
    thickness was not measured.
    """

    task: ScanTask
    numbers: Mapping[str, tuple[float, float, float]]
    quality: ScanQuality
    model: str
    of_volumes: ToolFacts
    of_thickness: ToolFacts | None
    corrected: tuple[str, ...]


def gather(store: Store, bids: Path) -> tuple[Cohort, tuple[ScanTask, ...], tuple[FailedScan, ...]]:
    """Read every finished scan that is in the study.

    Args:
        store: of OUT_DIR.
        bids: BIDS_DIR.

    Returns:
        (the cohort, finished scans that are no longer in BIDS_DIR: withdrawn, or renamed, and those
        whose labels were corrected by hand and cannot be measured). The last are not in the cohort:
        their volumes before the correction are what somebody found wrong.

    Raises:
        TableError: no scan is finished or can be measured, or a file that a record names is gone or
            damaged.
    """
    every = list(store.records())
    records = [record for record in every if is_there(bids, task_from(record["task"]))]
    if not records:
        rule = "run the participant stage first: no scan of this BIDS_DIR is finished"
        raise TableError(
            rule, value=f"{len(every)} of others" if every else None, subject=store.out
        )
    gone = tuple(task for r in every if not is_there(bids, task := task_from(r["task"])))
    scans, damaged = [], []
    for record in records:
        try:
            scans.append(_measured(store, record))
        except (LabelError, OSError) as error:
            reason = one_line(error, store.out)
            damaged.append(FailedScan(task_from(record["task"]), "correction", reason))
    if not scans:
        rule = "corrected labels of one scan at least must be measurable"
        raise TableError(rule, value=damaged[0].reason, subject=damaged[0].task.stem)
    return _cohort(scans), gone, tuple(damaged)


def _measured(store: Store, record: Mapping[str, Any]) -> _Measured:
    """One finished scan, by its corrected labels if there are such.

    Raises:
        LabelError, OSError: these cannot be measured.
        TableError: another file that the record names is gone or damaged.
    """
    task = task_from(record["task"])
    facts = _facts(store.out / task.files["sidecar"])
    before = read_volumes(store.out / task.files["volumes"])
    labels = store.corrected_labels(record)
    rows = before if labels is None else measure_corrected(before, labels, facts["input"])
    return _Measured(
        task,
        _numbers(rows),
        _quality(facts["quality"], facts["input"].get("tilt_deg")),
        _model(record["recipe"]),
        _of_the_tool(facts),
        _of_the_tool(facts["thickness"]) if facts["thickness"] else None,
        regions_changed(before, rows),
    )


def _cohort(scans: Sequence[_Measured]) -> Cohort:
    regions = _regions([scan.numbers for scan in scans])
    values = np.full((3, len(scans), len(regions)), np.nan)
    for row, scan in enumerate(scans):
        for column, name in enumerate(regions):
            values[:, row, column] = scan.numbers.get(name, (np.nan,) * 3)
    soft, hard, sd = values
    return Cohort(
        tuple(scan.task for scan in scans),
        regions,
        soft,
        hard,
        sd,
        tuple(scan.quality for scan in scans),
        tuple(sorted({scan.model for scan in scans})),
        _agreed([scan.of_volumes for scan in scans]),
        _agreed([scan.of_thickness for scan in scans if scan.of_thickness is not None]),
        tuple(scan.corrected for scan in scans),
    )


def _of_the_tool(facts: Mapping[str, Any]) -> ToolFacts:
    """Sidecars of earlier versions know less of the tool."""
    return {name: facts.get(name, {}) for name in OF_THE_TOOL}


def _agreed(known: Sequence[ToolFacts]) -> ToolFacts:
    """What the sidecars of all scans say alike; nothing where they do not."""
    return {
        name: known[0][name] if known and all(one[name] == known[0][name] for one in known) else {}
        for name in OF_THE_TOOL
    }


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
        facts = {
            "input": found["input"],
            "quality": found["quality"],
            "thickness": found.get("thickness", {}),
            **_of_the_tool(found),
        }
    except (OSError, ValueError, KeyError) as error:
        rule = "a finished scan's sidecar must be there; run the participant stage again"
        raise TableError(rule, value=error, subject=sidecar) from error
    return facts


def _quality(facts: Mapping[str, Any], tilt_deg: float | None) -> ScanQuality:
    measures = facts["measures"] | ({} if tilt_deg is None else {"tilt_deg": tilt_deg})
    flags = tuple(str(flag["message"]) for flag in facts["flags"])
    return ScanQuality(facts["overall"], facts["verdict"], measures, flags)


def _model(recipe: Mapping[str, str]) -> str:
    jointly = ", sessions jointly" if recipe.get("sessions") == "jointly" else ""
    return f"{recipe['model']} (fibromorph {recipe['fibromorph']}, {recipe['engine']}{jointly})"
