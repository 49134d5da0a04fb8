"""The files of one scan under BIDS derivative names; their bytes depend on scan and recipe alone.

When it ran, how long it took and on how many threads stands in the scan's log instead.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from fibromorph.files import write_whole
from fibromorph.postprocessing.report import Step
from fibromorph.serving.cohort.tasks import ScanTask
from fibromorph.serving.outputs.page import report_content
from fibromorph.serving.outputs.provenance import provenance
from fibromorph.serving.outputs.writing import write_files
from fibromorph.serving.pipeline import Segmented

DATASET_LINK = "raw"
RUN_DEPENDENT = ("created", "seconds")


def stage_outputs(result: Segmented, task: ScanTask, folder: Path) -> None:
    """Write a scan's files into a folder of their own.

    Args:
        result: of `segment_scan`.
        task: names the files.
        folder: made when it does not exist.
    """
    folder.mkdir(parents=True, exist_ok=True)
    timeless = without_run(result)
    place = {what: folder / path.name for what, path in task.files.items()}
    content = report_content(timeless, task.stem)
    write_files(timeless, place, replace(content, created=""))
    write_whole(place["sidecar"], json.dumps(sidecar(timeless, task), indent=2) + "\n")


def without_run(result: Segmented) -> Segmented:
    """The result without seconds and threads."""
    engine = result.engine.partition(",")[0]
    steps = tuple(
        Step(step.name, step.detail.replace(result.engine, engine)) for step in result.steps
    )
    return replace(result, engine=engine, steps=steps)


def sidecar(result: Segmented, task: ScanTask) -> dict[str, object]:
    """BIDS' own keys of a discrete segmentation, then the provenance of `segment`."""
    facts = provenance(result)
    return {
        "Description": "Regional segmentation of a T1-weighted scan on its own voxels",
        "Sources": [f"bids:{DATASET_LINK}:{path}" for path in (task.path, *task.siblings)],
        "SpatialReference": f"bids:{DATASET_LINK}:{task.path}",
        "Manual": False,
        "Fibromorph": {key: value for key, value in facts.items() if key not in RUN_DEPENDENT},
    }
