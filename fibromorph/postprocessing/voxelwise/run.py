"""From maps, tables and a design to voxelwise results, and to files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from fibromorph.errors import TableError
from fibromorph.files import require_folder
from fibromorph.postprocessing.names import listed
from fibromorph.postprocessing.stats.designs.design import Design
from fibromorph.postprocessing.stats.people.flow import FlowStep
from fibromorph.postprocessing.stats.people.joining import build_study
from fibromorph.postprocessing.stats.people.study import SMALLEST_GROUP, Study
from fibromorph.postprocessing.stats.run import completed, read_people
from fibromorph.postprocessing.stats.tables import CohortVolumes, read_cohort
from fibromorph.postprocessing.voxelwise.atlas import regions_of
from fibromorph.postprocessing.voxelwise.clusters import Places, table_of
from fibromorph.postprocessing.voxelwise.effects import reach_of
from fibromorph.postprocessing.voxelwise.inference import OnBlock, permute, smoothness_mm
from fibromorph.postprocessing.voxelwise.maps import Key, TissueMaps, find_maps, load_maps
from fibromorph.postprocessing.voxelwise.question import Question
from fibromorph.postprocessing.voxelwise.questions import questions_of
from fibromorph.postprocessing.voxelwise.results import Answer, VoxelResults
from fibromorph.progress import bar as progress_bar

TOTALS = {"grey": "Total-Grey-Matter", "white": "Total-White-Matter"}
APART = 0.05
"""Share by which the sum of a map over the table's total may differ from the usual one."""
SEED = 5
"""Follows `inference.seed`, so that no other analysis draws the same numbers."""


def run_voxelwise(
    design: Design,
    maps: Sequence[Path],
    volumes: Path | Sequence[Path],
    participants: Path,
    out: Path,
    *,
    workers: int = 1,
    progress: bool = True,
) -> VoxelResults:
    """Read, analyse, and write images, tables and report into `out`.

    Args:
        design: from `load_design`; its section `vbm` says how.
        maps: folders and files, see `find_maps`.
        volumes: of the same scans, for eTIV, quality and exclusions; see `read_cohort`.
        participants: `participants.tsv`.
        out: made when it does not exist; no file is written before everything is computed.
        workers: processes for the permutations; results are the same for any number.
        progress: tell how far it is on stderr.

    Raises:
        ConfigError, TableError, ScanError: the rule, the value and where; nothing is written then.
    """
    from fibromorph.postprocessing.voxelwise.report import write_voxelwise

    tables = [volumes] if isinstance(volumes, Path) else list(volumes)
    cohort = read_cohort(tables, design.ids, "volume")
    people = read_people(design, participants)
    require_folder(out)
    study, whole = build_study(_of_maps(design), cohort, people)
    paths = find_maps(maps, design.ids, tables, design.vbm.tissue)
    results = _analyse(study, whole, paths, cohort, workers=workers, progress=progress)
    write_voxelwise(results, out)
    return results


def _of_maps(design: Design) -> Design:
    """The design with what differs for maps: their errors are not known."""
    own = f"{design.vbm.matter.capitalize()}, voxel by voxel"
    title = design.title if "title" in design.model_fields_set else own
    return design.model_copy(update={"weights": False, "title": title})


def _analyse(
    study: Study,
    whole: Study,
    paths: Mapping[Key, Path],
    cohort: CohortVolumes,
    *,
    workers: int,
    progress: bool,
) -> VoxelResults:
    study, whole, notes = _with_maps(study, whole, paths)
    study = completed(study)
    settings = study.design.vbm
    questions, said = questions_of(study, whole)
    used = {key: paths[key] for key in sorted(whole.volumes.index)}
    with progress_bar(2 * len(used), "maps", "reading", shown=progress, leave=False) as bar:
        maps = load_maps(used, settings, study.design.at("vbm"), bar.update)
    notes += [*said, *_sums_apart(maps, cohort, TOTALS[settings.tissue])]
    total = settings.permutations * len(questions)
    with progress_bar(total, "draws", "permutations", shown=progress, leave=False) as bar:
        answers = _answers(questions, maps, study.design, workers, bar.update)
    return VoxelResults(
        study=study,
        maps=maps,
        files=tuple(path.name for path in used.values()),
        answers=answers,
        notes=(*study.notes, *notes),
    )


def _answers(
    questions: Sequence[Question], maps: TissueMaps, design: Design, workers: int, on_block: OnBlock
) -> tuple[Answer, ...]:
    regions, levels = regions_of(maps, design.vbm.tissue), design.inference
    answers = []
    for number, question in enumerate(questions):
        seed = (levels.seed, SEED, number)
        inference = permute(question, maps, design.vbm, seed, workers=workers, on_block=on_block)
        places = Places(question, inference, maps, regions, levels)
        answers.append(
            Answer(
                question=question,
                inference=inference,
                table=table_of(places),
                survives=places.survives,
                reach=reach_of(question, inference, levels),
                power=levels.power,
                smoothness_mm=smoothness_mm(question, maps),
            )
        )
    return tuple(answers)


def _with_maps(
    study: Study, whole: Study, paths: Mapping[Key, Path]
) -> tuple[Study, Study, list[str]]:
    """The scans that have maps; those without are left out, as people without scans are."""
    has = _each(study, paths)
    lost = [" ".join(key).strip() for key in study.volumes.index[~has]]
    step = FlowStep(f"with a map of {study.design.vbm.matter}", tuple(lost), int(has.sum()))
    kept = replace(study.rows(has), flow=(*study.flow, step))
    _require_groups(kept, step)
    people = {*kept.participants}
    later = whole.rows(pd.Series([p in people for p in whole.participants], whole.volumes.index))
    both = _each(later, paths)
    notes = []
    if lost:
        notes.append(f"Left out for want of a map: {step.names}.")
    gone = [" ".join(key).strip() for key in later.volumes.index[~both]]
    if gone:
        notes.append(f"Follow-up scans without a map, left out: {listed(gone)}.")
    strange = [path.name for key, path in paths.items() if key not in whole.volumes.index]
    if strange:
        notes.append(
            "Maps of scans that are not analysed (excluded, or of other sessions):"
            f" {listed(strange)}."
        )
    return kept, later.rows(both), notes


def _each(study: Study, paths: Mapping[Key, Path]) -> pd.Series:
    return pd.Series([key in paths for key in study.volumes.index], study.volumes.index, dtype=bool)


def _require_groups(study: Study, step: FlowStep) -> None:
    for title, members in (("patients", study.patients), ("controls", ~study.patients)):
        if int(members.sum()) < SMALLEST_GROUP:
            raise TableError(
                f"a comparison needs maps of {SMALLEST_GROUP} {title} at least",
                value=f"{int(members.sum())}; without a map: {step.names or 'nobody'}",
                subject="--maps",
            )


def _sums_apart(maps: TissueMaps, cohort: CohortVolumes, total: str) -> list[str]:
    """A note where maps sum to another share of the table's total than usual.

    What the usual share is depends on the table's protocol: manual ones count more as cortex.
    """
    if total not in cohort.soft:
        return []
    table = cohort.soft[total]
    shares = {key: sum_ml / float(table[key]) for key, sum_ml in maps.sums_ml.items()}
    usual = float(np.nanmedian([*shares.values()]))
    apart = {key: s / usual - 1 for key, s in shares.items() if abs(s / usual - 1) > APART}
    if not apart:
        return []
    worst = max(apart, key=lambda key: abs(apart[key]))
    return [
        f"Maps sum to {usual:.2f} of the table's {total} (median); {len(apart)} of {len(shares)}"
        f" differ from that by more than {100 * APART:.0f} %, most"
        f" {' '.join(worst).strip()} ({100 * apart[worst]:+.1f} %): look at the registration."
    ]
