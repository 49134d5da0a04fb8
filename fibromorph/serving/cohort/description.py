"""What makes OUT_DIR a BIDS derivative: description, label table, and what validators ignore."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import fibromorph
from fibromorph.file_names import DESC
from fibromorph.files import write_whole
from fibromorph.labels import LabelTable
from fibromorph.serving.cohort.outputs import DATASET_LINK
from fibromorph.serving.cohort.recipe import Recipe

BIDS_VERSION = "1.10.0"
# Tables and pages that BIDS derivatives have no names for yet.
IGNORED = (
    *("*_volumes.tsv", "*_report.html", "volumes*.tsv", "runs.tsv", "exclusions.tsv"),
    *("*_thickness.tsv", "*_thickness.nii.gz", "thickness*.tsv"),
    *("seg-*.tsv", "failures.tsv", "quality.tsv", "quality.html", "look.html"),
    *("logs/", "stats*/", ".fibromorph/"),
)


OF_TISSUE: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "desc-brain_mask": {
            "Type": "Brain",
            "Description": "Brain with its ventricles, without the fluid around it",
        },
        "desc-brain_T1w": {
            "SkullStripped": True,
            "Description": "The scan's own intensities inside the brain mask, 0 outside",
        },
        "label-CSF_probseg": {
            "Description": "Share of fluid; of a skull-stripped scan what stripping has left of it",
        },
    }
)
"""What sidecars say of all scans' images at once: files further down inherit it."""


def write_description(out: Path, bids: Path, table: LabelTable, recipe: Recipe) -> None:
    """Write `dataset_description.json`, the label table and `.bidsignore`, where they differ.

    If the recipe has tissue, also the sidecars of its images.

    Args:
        out: OUT_DIR; made when it does not exist.
        bids: the data set's folder.
        table: the bundle's labels.
        recipe: of the scans.
    """
    model = recipe.model
    out.mkdir(parents=True, exist_ok=True)
    content = {
        "Name": f"fibromorph: regional volumes ({model})",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [
            {
                "Name": "fibromorph",
                "Version": fibromorph.__version__,
                "Description": f"segmentation of T1-weighted scans by bundle {model}",
            }
        ],
        "DatasetLinks": {DATASET_LINK: _link(bids, out)},
    }
    _write(out / "dataset_description.json", json.dumps(content, indent=2) + "\n")
    _write(out / f"desc-{DESC}_dseg.tsv", lookup_table(table))
    _write(out / ".bidsignore", "\n".join(IGNORED) + "\n")
    for name, facts in OF_TISSUE.items() if recipe.beyond["tissue"] else ():
        _write(out / f"{name}.json", json.dumps(facts, indent=2) + "\n")


def lookup_table(table: LabelTable) -> str:
    """The labels as BIDS wants them beside a `dseg`: index, name, color."""
    rows = (
        f"{label.id}\t{label.name}\t#{''.join(f'{c:02x}' for c in label.colour)}" for label in table
    )
    return "\n".join(("index\tname\tcolor", *rows)) + "\n"


def _link(bids: Path, out: Path) -> str:
    """A relative link keeps its meaning when both folders move together."""
    return Path(os.path.relpath(bids.resolve(), out.resolve())).as_posix()


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        write_whole(path, text)
