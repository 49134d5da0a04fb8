"""What the reader of a report has to know of the tables."""

from __future__ import annotations

import pandas as pd

from fibromorph.postprocessing.names import listed, plain_name
from fibromorph.postprocessing.stats.designs.design import Design
from fibromorph.postprocessing.stats.tables import CohortVolumes
from fibromorph.postprocessing.stats.tables.measure import BrainMeasure


def table_notes(design: Design, cohort: CohortVolumes, volumes: pd.DataFrame) -> tuple[str, ...]:
    """Sentences.

    Args:
        design: what is asked.
        cohort: the tables.
        volumes: (scans, regions) those that are analysed.
    """
    notes, measure = [], cohort.measure
    if cohort.zeros:
        notes.append(
            f"{cohort.zeros} {measure.many} of 0 {measure.unit} were taken as missing: nothing was"
            " found."
        )
    notes += [*cohort.notes, *_quality_notes(design, cohort, volumes.index)]
    if design.volumes == "hard" and cohort.hard is None:
        notes.append(
            f"The tables have one kind of {measure.name} only; it stands in for the hard one."
        )
    if design.etiv != measure.head_size == "none":
        notes.append(
            f"Head size was taken out of {measure.name} (etiv: {design.etiv}), which hardly goes"
            " with it: that adds the error of eTIV, and takes little away."
        )
    if design.weights and cohort.sd is None:
        notes.append("The tables carry no measurement error: nothing is weighted or corrected.")
    if design.weights and cohort.sd is not None:
        errors = cohort.sd.loc[volumes.index, volumes.columns]
        unknown = int((errors.isna() & volumes.notna()).to_numpy().sum())
        if unknown:
            notes.append(
                f"The error of {unknown} {measure.many} is not known: what is weighted by errors or"
                f" corrected for them leaves these {measure.many} out."
            )
    missing = int(volumes.isna().to_numpy().sum())
    if missing:
        notes.append(f"Missing {measure.many}, counted by region in the tables: {missing}.")
    used = {str(s) for _, s in volumes.index}
    unused = [s for s in cohort.sessions if s not in used]
    if unused:
        notes.append(f"Sessions that the design does not use: {', '.join(unused)}.")
    return (*notes, *_strange_note(volumes, measure))


def _strange_note(values: pd.DataFrame, measure: BrainMeasure) -> list[str]:
    """A sentence on single values that no region has; they stay, and somebody has to look."""
    if measure.bounds is None:
        return []
    low, high = measure.bounds
    names = [
        f"{f'{person} {session}'.strip()} {plain_name(str(region))} {column[person, session]:.3g}"
        for region, column in values.items()
        for person, session in column.index[(column < low) | (column > high)]
    ]
    if not names:
        return []
    return [
        f"Of {measure.many} outside {low:g} to {high:g} {measure.unit} something has gone wrong;"
        " they are analysed as they are, unless these scans are left out (exclusions.tsv):"
        f" {listed(names)}."
    ]


def _quality_notes(design: Design, cohort: CohortVolumes, index: pd.Index) -> list[str]:
    if design.exclusions.quality_below <= 0:
        return []
    if cohort.quality is None:
        return ["The tables carry no quality of scans: none is left out by it."]
    unknown = int(cohort.quality.loc[index].isna().sum())
    return [f"The quality of {unknown} scans is not known: they stay."] if unknown else []
