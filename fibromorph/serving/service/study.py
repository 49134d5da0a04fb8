"""Group statistics as a job: what the service lays out, and what the worker makes of it."""

from __future__ import annotations

import hashlib
import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from fibromorph.errors import TableError
from fibromorph.file_names import SCAN, THICKNESS
from fibromorph.serving.outputs.placing import paths_of
from fibromorph.serving.service.files import FILES
from fibromorph.serving.service.ledger import Job
from fibromorph.serving.service.problems import Refusal
from fibromorph.serving.service.store import Store
from fibromorph.serving.service.work import Order, attempt, tell
from fibromorph.text import number_in, read_table

PARTICIPANTS, DESIGN, VOLUMES = "participants.tsv", "design.yaml", "volumes"
REPORT, TABLES = "report.html", "tables.zip"
FEWEST_SCANS = 4
ID_COLUMN = "participant_id"
SEPARATORS = ("\t", ",", ";", " ")


def lay_out(store: Store, study_id: str, scans: Sequence[Job], texts: Mapping[str, str]) -> None:
    """Put volumes, participants and design where a worker will read them, then in place at once.

    Args:
        store: results of `scans` come from here.
        study_id: of the job.
        scans: finished, see `check_scans`.
        texts: name of a file -> its content; empty ones are left out.

    Raises:
        Refusal: 409, a scan's results are gone.
    """
    folder = store.parsed(study_id)
    (folder / VOLUMES).mkdir(parents=True)
    for scan in scans:
        source = store.result(scan.id)
        target = paths_of(folder / VOLUMES, scan.label, {**SCAN, **THICKNESS})
        # The provenance has quality, and what volumes show of a change.
        kinds = ["volumes", "provenance"]
        if (source / FILES["thickness"]).exists():
            kinds.append("thickness")
        try:
            for kind in kinds:
                os.link(source / FILES[kind], target[kind])
        except FileNotFoundError as error:
            raise Refusal(409, "a scan's results must not be deleted", subject=scan.id) from error
    for name, text in texts.items():
        if text:
            (folder / name).write_text(text, encoding="utf-8")


def those_listed(scans: Sequence[Job], participants: str) -> list[Job]:
    """The scans whose labels are of people in the table.

    It is read here without what statistics are made with, so generously: with `sub-` or without, a
    number with or without its zeros, and before a session in the label. What is wrong with the
    table the statistics say.

    Raises:
        Refusal: 422, the text is no table.
    """
    try:
        people = _people(participants)
    except TableError as error:
        raise Refusal(422, error.rule, value=error.value, subject=PARTICIPANTS) from error
    return [scan for scan in scans if people & _persons(scan.label)]


def _people(participants: str) -> set[str]:
    with NamedTemporaryFile("w", encoding="utf-8", suffix=f"_{PARTICIPANTS}") as file:
        file.write(participants)
        file.flush()
        header, lines = read_table(Path(file.name), SEPARATORS)
    # A design may call the column otherwise.
    columns = [header.index(ID_COLUMN)] if ID_COLUMN in header else range(len(header))
    return {_plain(cells[column].strip()) for _, cells in lines for column in columns}


def _persons(label: str) -> set[str]:
    """Whom a label may be of: what it is, or what it begins with."""
    ends = [word.end() for word in re.finditer("[A-Za-z0-9]+", label)]
    return {_plain(label[:end]) for end in ends}


def _plain(person: str) -> str:
    name = person.removeprefix("sub-")
    return number_in(name) or name


def check_scans(scans: Sequence[Job]) -> None:
    """Refuse scans that cannot be one study.

    Raises:
        Refusal: 422, too few, one without a label, a label twice, or different models.
    """
    if len(scans) < FEWEST_SCANS:
        rule = f"a study needs at least {FEWEST_SCANS} finished scans labelled as in the table"
        raise Refusal(422, rule, value=len(scans), subject="jobs")
    labels = [scan.label for scan in scans]
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        rule = "each participant must be in a study once: name the jobs, or delete one"
        raise Refusal(422, rule, value=" ".join(twice[:5]), subject="jobs")
    if len(models := {scan.model_sha256 for scan in scans}) > 1:
        rule = "all scans of a study must be segmented with the same model"
        raise Refusal(422, rule, value=f"{len(models)} models", subject="jobs")


def content_of(scans: Sequence[Job], texts: Mapping[str, str]) -> str:
    """What makes two studies the same: the scans, the people and the design."""
    parts = [f"{scan.label} {scan.content}" for scan in scans]
    parts += [f"{name} {text}" for name, text in sorted(texts.items())]
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()


def carry_out_study(order: Order) -> Any:
    """Analyse what was laid out; tables and report go into the order's work folder."""
    return attempt(order, _analyse)


def _analyse(order: Order) -> dict[str, Any]:
    from fibromorph.postprocessing.stats import run_study

    tell(order, "statistics")
    source, folder = Path(order.input), Path(order.work)
    results = run_study(
        _design(source), source / VOLUMES, source / PARTICIPANTS, folder, progress=False
    )
    tell(order, "write")
    with zipfile.ZipFile(folder / TABLES, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.glob("*.tsv")):
            archive.write(path, path.name)
    tell(order, "publish")
    return {"summary": results.summary}


def _design(source: Path) -> Any:
    """The design that came with the study, or one guessed from its tables."""
    from fibromorph.postprocessing.stats import load_design, read_cohort, read_participants
    from fibromorph.postprocessing.stats.designs.starter import guess_design

    path = source / DESIGN
    if not path.exists():
        return guess_design(
            read_cohort([source / VOLUMES]), read_participants(source / PARTICIPANTS)
        )
    return load_design(path)
