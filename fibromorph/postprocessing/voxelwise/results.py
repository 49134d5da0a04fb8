"""Everything that a voxelwise analysis found, in words, numbers and images."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import nibabel
import numpy as np
import pandas as pd

import fibromorph
from fibromorph.postprocessing.names import listed
from fibromorph.postprocessing.stats.designs.design import Design
from fibromorph.postprocessing.stats.models.linear import Bools, Floats
from fibromorph.postprocessing.stats.people.study import Study
from fibromorph.postprocessing.voxelwise.effects import Reach, effect_of
from fibromorph.postprocessing.voxelwise.inference import Inference
from fibromorph.postprocessing.voxelwise.maps import TissueMaps
from fibromorph.postprocessing.voxelwise.question import Question

PACKAGES = ("numpy", "scipy", "nilearn", "nibabel")
LOGP_NAMES = {"voxel": "logp", "tfce": "logp_tfce", "cluster": "logp_cluster"}
"""Statistic -> what its map of -log10 of the family-wise p is called."""
MASK = "mask.nii.gz"


@dataclass(frozen=True, eq=False)
class Answer:
    """One question.

    Attributes:
        question: what was asked.
        inference: t and p of every voxel.
        table: its rows of clusters.tsv.
        survives: (V,) what is found.
        reach: what could have been found.
        power: that `reach` is of.
        smoothness_mm: of the residuals, full width at half maximum.
    """

    question: Question
    inference: Inference
    table: pd.DataFrame
    survives: Bools
    reach: Reach
    power: float
    smoothness_mm: float

    @property
    def clusters(self) -> pd.DataFrame:
        """Rows of what was found."""
        return self.table[self.table["survives"] == "yes"]

    @property
    def peaks_below(self) -> pd.DataFrame:
        """Rows of what was not."""
        return self.table[self.table["survives"] == "no"]

    @property
    def effect(self) -> Floats:
        """(V,) d or r."""
        return effect_of(self.question, self.inference.t)

    @property
    def sentence(self) -> str:
        """What was found, or what could have been."""
        title, effect = self.question.title, self.question.effect
        if not len(self.clusters):
            return (
                f"{title}: no voxel {self._verb}; what could have been found in a single one, with"
                f" {100 * self.power:.0f} % power, was {effect} = {self.reach.detectable:.2f} or"
                " more."
            )
        found = [
            f"{row['region']} ({row['direction']}, {effect} = {row['value']:.2f})"
            for _, row in self.clusters.iterrows()
        ]
        count = f"{len(found)} cluster{'s' if len(found) > 1 else ''}"
        return f"{title}: {count}, {listed(found, ' in clusters.tsv')}."

    @property
    def _verb(self) -> str:
        if self.question.effect == "r":
            return "goes with it"
        return "changes" if self.question.of_mean else "differs"


@dataclass(frozen=True, eq=False)
class VoxelResults:
    """One analysis.

    Attributes:
        study: baseline scans that were analysed.
        maps: of all scans.
        files: names of the maps as they were read.
        answers: in the order in which questions were asked.
        notes: what a reader of anything has to know.
    """

    study: Study
    maps: TissueMaps
    files: tuple[str, ...]
    answers: tuple[Answer, ...]
    notes: tuple[str, ...]

    @property
    def design(self) -> Design:
        return self.study.design

    @property
    def summary(self) -> str:
        """Who and what was analysed, then a sentence a question."""
        ill, well = int(self.study.patients.sum()), int((~self.study.patients).sum())
        head = f"{ill} patients, {well} controls, {self._voxels}."
        return " ".join([head, *(answer.sentence for answer in self.answers)])

    @property
    def _voxels(self) -> str:
        return f"{self.maps.values.shape[1]} voxels of {self.design.vbm.matter}"

    @property
    def clusters(self) -> pd.DataFrame:
        """The table of all questions."""
        columns = self.answers[0].table.columns
        rows = [row for a in self.answers for row in a.table.to_dict("records")]
        return pd.DataFrame(rows, columns=columns)

    def images(self) -> Iterator[tuple[str, nibabel.Nifti1Image]]:
        """File names and images, one question's after the other's."""
        yield MASK, self.maps.image(np.ones(self.maps.values.shape[1], dtype=bool))
        for answer in self.answers:
            name, inference = answer.question.name, answer.inference
            yield f"{name}_t.nii.gz", self.maps.image(inference.t)
            yield f"{name}_{answer.question.effect}.nii.gz", self.maps.image(answer.effect)
            for statistic, p in inference.p.items():
                values = -np.log10(p)
                yield f"{name}_{LOGP_NAMES[statistic]}.nii.gz", self.maps.image(values)

    def to_json(self, files: list[str]) -> str:
        """`results.json`: the numbers of the summary, and what they rest on."""
        content = {
            "summary": self.summary,
            "software": {"fibromorph": fibromorph.__version__, **versions()},
            "design": self.design.model_dump(mode="json"),
            "maps": {
                "tissue": self.design.vbm.tissue,
                "count": len(self.files),
                "names": list(self.files),
                "voxels": self.maps.values.shape[1],
                "spacing_mm": list(self.maps.spacing_mm),
                "mask_ml": self.maps.values.shape[1] * self.maps.voxel_ml,
            },
            "people": [
                {**asdict(step), "left_out": list(step.left_out)} for step in self.study.flow
            ],
            "questions": [_facts(answer) for answer in self.answers],
            "notes": list(self.notes),
            "files": files,
        }
        return json.dumps(content, indent=2, ensure_ascii=False, default=_known) + "\n"


def versions() -> dict[str, str]:
    """Package -> its version."""
    return {name: version(name) for name in PACKAGES}


def _facts(answer: Answer) -> Mapping[str, Any]:
    question = answer.question
    return {
        "name": question.name,
        "title": question.title,
        "effect": question.effect,
        "people": question.people,
        "n": len(question.tested),
        "df": question.df,
        "adjusted_for": list(map(str, question.nuisance.columns)),
        "decided_by": answer.inference.primary,
        "voxels_found": int(answer.survives.sum()),
        "clusters": len(answer.clusters),
        "smallest_p_fwe": float(answer.inference.p[answer.inference.primary].min()),
        "largest_t": float(np.abs(answer.inference.t).max()),
        "smoothness_mm": answer.smoothness_mm,
        **asdict(answer.reach),
        "sentence": answer.sentence,
    }


def _known(value: object) -> object:
    """What json cannot write by itself."""
    return value.item() if isinstance(value, np.generic) else str(value)
